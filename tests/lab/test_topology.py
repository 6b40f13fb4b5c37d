import socket
import time

import pytest

from deadpeer.lab.faults import apply_fault
from deadpeer.lab.peer import ANSWER, PORT, QUESTION, Peer
from deadpeer.lab.terms import Fault
from deadpeer.lab.topology import AF, BYSTANDER, CLIENT, CLIENT_TOO, SERVER, Topology
from deadpeer.lab.wire.weather import Weather
from deadpeer.platforms import Defaults

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def plain():
    with Topology() as topology, Peer(topology.server) as peer:
        yield topology, peer


def dial(topology, version):
    with topology.client.entered():
        sock = socket.socket(AF[version], socket.SOCK_STREAM)
    sock.settimeout(10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.connect((SERVER[version], PORT))
    return sock


def ask(sock):
    sock.sendall(QUESTION)
    return sock.recv(1)


@pytest.mark.parametrize("version", [4, 6])
def test_the_client_reaches_the_server_through_the_router(plain, version):
    topology, _ = plain

    with dial(topology, version) as sock:
        sock.sendall(b"name\n")

        assert sock.getsockname()[0] == CLIENT[version]
        assert ask(sock) == ANSWER


@pytest.mark.parametrize("version", [4, 6])
def test_each_packet_passes_a_router(plain, version):
    topology, _ = plain
    level, option = {
        4: (socket.IPPROTO_IP, socket.IP_TTL),
        6: (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS),
    }[version]
    with topology.client.entered():
        sock = socket.socket(AF[version], socket.SOCK_STREAM)

    with sock:
        sock.settimeout(10)
        sock.setsockopt(level, option, 1)  # enough for one hop only
        with pytest.raises(OSError, match=r"(host|unreachable)"):
            sock.connect((SERVER[version], PORT))


def test_the_client_has_the_settings_of_the_system_that_it_stands_for():
    defaults = Defaults(idle=11, interval=3, probes=2, retries=5)
    options = socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT
    with (
        Topology(defaults=defaults) as topology,
        topology.client.entered(),
        socket.socket() as sock,
    ):
        values = [sock.getsockopt(socket.IPPROTO_TCP, option) for option in options]

    assert values == [11, 3, 2]


@pytest.mark.parametrize("version", [4, 6])
def test_a_stretched_hop_takes_its_time(version):
    with (
        Topology(rtt=0.1) as topology,
        Peer(topology.server),
        dial(topology, version) as sock,
    ):
        sock.sendall(b"name\n")
        began = time.monotonic()
        assert ask(sock) == ANSWER
        took = time.monotonic() - began

    assert 0.1 <= took < 0.2


def test_a_peer_answers_each_question_and_nothing_else(plain):
    topology, _ = plain
    with dial(topology, 4) as sock:
        sock.sendall(b"chatter\n....?..?")

        heard = b""
        while len(heard) < 2:
            heard += sock.recv(9)

    assert heard == ANSWER * 2


def test_a_peer_that_pauses_closes_its_window_and_opens_it_again(plain):
    topology, peer = plain
    with dial(topology, 4) as sock:
        sock.sendall(b"stalled\n")
        assert ask(sock) == ANSWER
        peer.pause("stalled")
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sock.sendall(b"." * (32 << 20))
        peer.read_on("stalled")
        sock.settimeout(10)
        sock.sendall(QUESTION)

        assert sock.recv(1) == ANSWER


def test_a_peer_that_shuts_down_still_reads(plain):
    topology, peer = plain
    with dial(topology, 4) as sock:
        sock.sendall(b"half\n")
        assert ask(sock) == ANSWER
        peer.shut_down("half")

        assert sock.recv(1) == b""
        sock.sendall(b"." * 100_000)  # and no reset


def test_a_peer_goes_on_listening_to_who_has_shut_down(plain):
    topology, _ = plain
    with dial(topology, 4) as sock:
        sock.sendall(b"quiet\n?")
        assert sock.recv(1) == ANSWER
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(0.3)

        with pytest.raises(TimeoutError):  # neither data nor an end
            sock.recv(1)


@pytest.mark.parametrize("version", [4, 6])
def test_a_bystander_has_a_cable_of_its_own(version):
    weather = Weather(delay=0.01)
    with (
        Topology(weather=weather) as topology,
        Peer(topology.server) as peer,
        Peer(topology.bystander),
        dial(topology, version) as watched,
    ):
        with topology.client.entered():
            beside = socket.create_connection(
                (BYSTANDER[version], PORT),
                timeout=10,
                source_address=(CLIENT_TOO[version], 0),
            )
        with beside:
            watched.sendall(b"one\n")
            beside.sendall(b"other\n")

            # Its coming changes nothing for who talks to the server.
            assert watched.getsockname()[0] == CLIENT[version]
            assert ask(watched) == ask(beside) == ANSWER
            apply_fault(Fault.SILENT_DROP, topology, peer)
            watched.settimeout(0.3)
            with pytest.raises(TimeoutError):
                ask(watched)
            assert ask(beside) == ANSWER
