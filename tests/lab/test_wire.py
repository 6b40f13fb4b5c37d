import socket
import time

import pytest

from deadpeer.lab.peer import ANSWER, PORT, QUESTION, Peer
from deadpeer.lab.topology import SERVER, Topology

pytestmark = pytest.mark.netns

RTT = 0.02


@pytest.fixture(scope="module")
def stretched():
    with Topology(rtt=RTT) as topology, Peer(topology.server):
        yield topology


@pytest.fixture
def wire(stretched):
    yield stretched.wire
    stretched.wire.change(delay=RTT / 2, jitter=0.0, loss=0.0, reorder=0.0, cut=False)


@pytest.fixture
def sock(stretched, wire):
    with stretched.client.entered():
        sock = socket.socket()
    with sock:
        sock.settimeout(10)
        sock.connect((SERVER[4], PORT))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(b"wired\n")
        yield sock


def answer_time(sock):
    began = time.monotonic()
    sock.sendall(QUESTION)
    assert sock.recv(1) == ANSWER
    return time.monotonic() - began


def test_it_keeps_time(sock, wire):
    for _ in range(100):
        assert answer_time(sock) >= RTT
    report = wire.report()

    # Usual on an idle machine: 0.1 and 0.4 ms. A busy one may be much later now
    # and then, but not as a rule.
    assert report["p50"] < 0.002
    assert report["forwarded"] >= 200
    assert report["dropped"] == 0


def test_delay_can_be_changed_one_way(sock, wire):
    wire.change(ways=(1,), delay=0.1)

    assert 0.1 + RTT / 2 <= answer_time(sock) < 0.2


def test_a_cut_wire_carries_nothing_until_it_is_mended(sock, wire):
    wire.change(ways=(0,), cut=True)
    sock.sendall(QUESTION)
    sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        sock.recv(1)
    wire.change(cut=False)
    sock.settimeout(10)

    assert sock.recv(1) == ANSWER


def test_data_survives_loss_jitter_and_reordering(sock, wire):
    wire.change(loss=0.02, jitter=0.005, reorder=0.1)
    questions = 20_000
    sock.sendall((QUESTION + b"." * 9) * questions)
    heard = 0
    while heard < questions:
        data = sock.recv(65536)
        assert data == ANSWER * len(data)
        heard += len(data)

    assert wire.report()["dropped"] > 0


def test_whole_segments_pass_in_bulk(sock, wire):
    size = 4 << 20
    began = time.monotonic()
    sock.sendall(b"." * size + QUESTION)

    assert sock.recv(1) == ANSWER
    assert time.monotonic() - began < 5
