import itertools
import math
import socket
import time

import pytest

from deadpeer.lab.peer import ANSWER, PORT, QUESTION, Peer
from deadpeer.lab.topology import AF, SERVER, Topology
from deadpeer.lab.wire.cable import BACK, FORTH
from deadpeer.lab.wire.weather import CUT, Weather

pytestmark = pytest.mark.netns

RTT = 0.02
FAIR = Weather(delay=RTT / 2)

# How long nothing has to come for it to count as lost.
A_WHILE = 0.3


@pytest.fixture(scope="module")
def stretched():
    with Topology(rtt=RTT) as topology, Peer(topology.server):
        yield topology


@pytest.fixture
def wire(stretched):
    yield stretched.wire
    stretched.wire.change(FAIR)
    stretched.wire.remember(idle=math.inf)


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
    assert report.p50 < 0.002
    assert report.forwarded >= 200
    assert report.dropped == 0
    assert f"{report.forwarded} packets forwarded" in str(report)


def test_delay_can_be_changed_one_way(sock, wire):
    wire.change(Weather(delay=0.1), ways=BACK)

    assert 0.1 + RTT / 2 <= answer_time(sock) < 0.2


def test_a_cut_wire_carries_nothing_until_it_is_mended(sock, wire):
    wire.change(CUT, ways=FORTH)
    sock.sendall(QUESTION)
    sock.settimeout(A_WHILE)
    with pytest.raises(TimeoutError):
        sock.recv(1)
    wire.change(FAIR)
    sock.settimeout(10)

    assert sock.recv(1) == ANSWER


def test_data_survives_loss_jitter_and_reordering(sock, wire):
    wire.change(Weather(delay=RTT / 2, loss=0.02, jitter=0.005, reorder=0.1))
    questions = 20_000
    sock.sendall((QUESTION + b"." * 9) * questions)
    heard = 0
    while heard < questions:
        data = sock.recv(65536)
        assert data == ANSWER * len(data)
        heard += len(data)

    assert wire.report().lost > 0


def test_whole_segments_pass_in_bulk(sock, wire):
    size = 4 << 20
    began = time.monotonic()
    sock.sendall(b"." * size + QUESTION)

    assert sock.recv(1) == ANSWER
    assert time.monotonic() - began < 5


# -- packets one by one: datagrams, which nobody repeats ------------------------

COUNT = 2000
PORT_OF_DATAGRAMS = 9999


@pytest.fixture
def datagrams(stretched, wire):
    """A socket that sends through the wire, and one that receives."""
    with stretched.client.entered():
        sender = socket.socket(AF[4], socket.SOCK_DGRAM)
    with stretched.server.entered():
        receiver = socket.socket(AF[4], socket.SOCK_DGRAM)
    with sender, receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        receiver.bind((SERVER[4], PORT_OF_DATAGRAMS))
        sender.connect((SERVER[4], PORT_OF_DATAGRAMS))
        # The neighbours are found before anything is counted.
        receiver.settimeout(10)
        sender.send(b"first")
        assert receiver.recv(100) == b"first"
        receiver.settimeout(A_WHILE)
        yield sender, receiver


def pass_through(datagrams, count=COUNT, size=20):
    """Send numbered datagrams, and return which came, when, in their order."""
    sender, receiver = datagrams
    for number in range(count):
        sender.send(number.to_bytes(size, "big"))
        if number % 100 == 0:
            time.sleep(0.001)  # no more than the buffers hold
    came = []
    try:
        while True:
            came.append((int.from_bytes(receiver.recv(2000), "big"), time.monotonic()))
    except TimeoutError:
        return came


@pytest.mark.parametrize("burst", [None, 4.0])
def test_packets_are_lost_at_the_rate_that_was_asked_for(wire, datagrams, burst):
    loss = 0.3
    wire.change(Weather(delay=0.005, loss=loss, burst=burst), ways=FORTH)
    before = wire.report().lost
    came = [number for number, _ in pass_through(datagrams)]
    lost = COUNT - len(came)
    # Five standard deviations of as many throws; of bursts there are fewer, and
    # each counts for more: (2·burst - 1) times the variance, at most.
    spread = math.sqrt(COUNT * loss * (1 - loss) * (2 * (burst or 1) - 1))

    assert abs(lost - COUNT * loss) < 5 * spread
    assert wire.report().lost - before == lost
    assert came == sorted(came)
    gaps = [b - a - 1 for a, b in itertools.pairwise(came) if b - a > 1]
    mean = sum(gaps) / len(gaps)
    assert mean > 2.5 if burst else mean < 2


def test_jitter_reorders_only_where_it_may(wire, datagrams):
    wire.change(Weather(delay=0.02, jitter=0.02), ways=FORTH)
    kept = [number for number, _ in pass_through(datagrams, count=300)]
    wire.change(Weather(delay=0.02, jitter=0.02, keeps_order=False), ways=FORTH)
    mixed = [number for number, _ in pass_through(datagrams, count=300)]

    assert kept == list(range(300))
    assert mixed != kept
    assert sorted(mixed) == kept


def test_a_narrow_line_takes_its_time_and_drops_what_it_has_no_room_for(
    wire, datagrams
):
    # 1000 bytes, 20 + 8 + 14 of headers: 100 in a second, and 100 have room.
    size = 1042
    slow = Weather(bandwidth=size * 8 * 100, queue=size * 100)
    wire.change(slow, ways=FORTH)
    before = wire.report().overflowed
    began = time.monotonic()
    came = pass_through(datagrams, count=150, size=1000)

    assert [number for number, _ in came[:90]] == list(range(90))
    assert 100 <= len(came) < 110
    assert wire.report().overflowed - before == 150 - len(came)
    assert came[-1][1] - began == pytest.approx(len(came) / 100, rel=0.1)


# -- the box that forgets -------------------------------------------------------


def dial(stretched, version=4):
    with stretched.client.entered():
        sock = socket.socket(AF[version])
    try:
        sock.settimeout(10)
        sock.connect((SERVER[version], PORT))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(b"wired\n")
        answer_time(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def is_silent(sock):
    sock.settimeout(A_WHILE)
    sock.sendall(QUESTION)
    try:
        return not sock.recv(1)
    except TimeoutError:
        return True
    finally:
        sock.settimeout(10)


@pytest.mark.parametrize("version", [4, 6])
def test_a_forgotten_flow_is_silent_and_a_new_one_is_not(stretched, wire, version):
    wire.remember(idle=math.inf)
    with dial(stretched, version) as old:
        wire.forget()

        assert is_silent(old)
        with dial(stretched, version) as new:
            answer_time(new)
        assert is_silent(old)
        assert wire.report().forgotten > 0


@pytest.mark.parametrize("version", [4, 6])
def test_a_box_may_reset_what_it_does_not_know(stretched, wire, version):
    wire.remember(idle=math.inf, resets=True)
    with dial(stretched, version) as old:
        wire.forget()
        old.sendall(QUESTION)

        with pytest.raises(ConnectionResetError):
            old.recv(1)


def test_a_flow_is_forgotten_when_it_has_been_idle_for_too_long(stretched, wire):
    wire.remember(idle=0.5)
    with dial(stretched) as busy, dial(stretched) as idle:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            answer_time(busy)
            time.sleep(0.05)

        assert is_silent(idle)
        answer_time(busy)
