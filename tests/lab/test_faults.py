import errno
import fcntl
import math
import select
import socket
import sys
import time

import pytest

from deadpeer.errors import LabError
from deadpeer.lab.faults import apply_fault, heal, return_without_state
from deadpeer.lab.peer import ANSWER, PORT, QUESTION, Peer
from deadpeer.lab.terms import Fault
from deadpeer.lab.topology import AF, LINK, SERVER, Topology
from deadpeer.lab.wire.weather import Weather

pytestmark = pytest.mark.netns

# What a packet that arrives needs at the most on a very busy machine.
SOON = 5.0
# How long nothing has to come for it to count as lost.
A_WHILE = 0.4
# Source: linux/sockios.h.
SIOCOUTQ = 0x5411


class Wired:
    """A network with a connection of each version across it."""

    def __init__(self, topology, peer):
        self.topology = topology
        self.peer = peer
        self.socks = {version: self.dial(version) for version in AF}

    def dial(self, version, patience=SOON):
        with self.topology.client.entered():
            sock = socket.socket(AF[version], socket.SOCK_STREAM)
        sock.settimeout(patience)
        try:
            sock.connect((SERVER[version], PORT))
            sock.sendall(b"v%d\n" % version + QUESTION)
            assert sock.recv(1) == ANSWER
        except BaseException:
            sock.close()
            raise
        return sock

    def apply(self, fault):
        apply_fault(fault, self.topology, self.peer)

    def is_answered(self, version):
        sock = self.socks[version]
        sock.settimeout(A_WHILE)
        sock.sendall(QUESTION)
        try:
            return sock.recv(1) == ANSWER
        except TimeoutError:
            return False

    def server_socket_holds(self, version):
        """Whether the question reached the server's kernel, by its counters."""
        with (
            self.topology.server.entered(),
            open(  # noqa: PTH123
                {4: "/proc/net/snmp", 6: "/proc/net/snmp6"}[version], encoding="ascii"
            ) as file,
        ):
            text = file.read()
        if version == 4:
            names, values = (
                line.split() for line in text.splitlines() if line.startswith("Ip:")
            )
            return int(dict(zip(names, values, strict=True))["InDelivers"])
        table = dict(line.split() for line in text.splitlines())
        return int(table["Ip6InDelivers"])


@pytest.fixture
def wired():
    with Topology() as topology, Peer(topology.server) as peer:
        wired = Wired(topology, peer)
        yield wired
        for sock in wired.socks.values():
            sock.close()


SILENT = [
    Fault.CABLE,
    Fault.SILENT_DROP,
    Fault.LOSS_TO_PEER,
    Fault.LOSS_FROM_PEER,
    Fault.OWN_NIC_DOWN,
    Fault.OUTAGE,
]


@pytest.mark.parametrize("fault", SILENT)
def test_nothing_comes_through_and_nobody_says_so(wired, fault):
    wired.apply(fault)

    assert [wired.is_answered(version) for version in AF] == [False, False]
    said = select.poll()
    for sock in wired.socks.values():
        said.register(sock, 0)  # errors and hang-ups alone
    assert said.poll(0) == []


def test_nothing_done_is_nothing_changed(wired):
    wired.apply(Fault.NONE)

    assert [wired.is_answered(version) for version in AF] == [True, True]


@pytest.mark.parametrize(
    ("fault", "arrives"), [(Fault.LOSS_TO_PEER, False), (Fault.LOSS_FROM_PEER, True)]
)
def test_a_one_way_loss_loses_one_way(wired, fault, arrives):
    wired.apply(fault)
    for version in AF:
        before = wired.server_socket_holds(version)
        wired.is_answered(version)

        assert (wired.server_socket_holds(version) > before) == arrives


def test_after_a_pulled_cable_our_own_carrier_stays(wired):
    wired.apply(Fault.CABLE)
    client = wired.topology.client
    ours = client.links.get_links(client.index(LINK))[0]

    assert ours.get_attr("IFLA_CARRIER") == 1


def test_after_a_pulled_cable_the_router_reports_the_host_unreachable(wired):
    wired.apply(Fault.CABLE)
    began = time.monotonic()

    with pytest.raises(OSError) as caught:
        wired.dial(4, patience=10)

    assert caught.value.errno == errno.EHOSTUNREACH
    assert time.monotonic() - began == pytest.approx(3.1, abs=0.5)


def test_without_our_own_card_a_connect_fails_at_once(wired):
    wired.apply(Fault.OWN_NIC_DOWN)

    with pytest.raises(OSError) as caught:
        wired.dial(4)

    assert caught.value.errno == errno.ENETUNREACH


def test_an_outage_heals(wired):
    wired.apply(Fault.OUTAGE)
    assert not wired.is_answered(4)
    heal(wired.topology)
    for sock in wired.socks.values():
        sock.settimeout(SOON)
        sock.sendall(QUESTION)

    assert all(sock.recv(1) == ANSWER for sock in wired.socks.values())


@pytest.mark.parametrize("version", [4, 6])
def test_a_rebooted_peer_is_silent_and_then_resets(wired, version):
    wired.apply(Fault.REBOOT)
    assert not wired.is_answered(version)
    return_without_state(wired.topology)
    sock = wired.socks[version]
    sock.settimeout(SOON)

    with pytest.raises(ConnectionResetError):
        sock.recv(1)  # the retransmission gets it
    with pytest.raises(ConnectionRefusedError):
        wired.dial(version)


@pytest.mark.parametrize("fault", [Fault.PROCESS_KILLED, Fault.NORMAL_CLOSE])
@pytest.mark.parametrize("version", [4, 6])
def test_a_peer_that_ends_says_goodbye(wired, fault, version):
    wired.apply(fault)

    assert wired.socks[version].recv(1) == b""


def test_a_killed_peer_is_gone(wired):
    wired.apply(Fault.PROCESS_KILLED)

    assert wired.peer.process.returncode == -9


def test_a_stopped_process_is_silent_and_its_kernel_is_not(wired):
    wired.apply(Fault.PROCESS_STOPPED)
    for version in AF:
        before = wired.server_socket_holds(version)

        assert not wired.is_answered(version)
        assert wired.server_socket_holds(version) > before
        # Acknowledged: nothing is left to send again.
        unsent = fcntl.ioctl(wired.socks[version], SIOCOUTQ, bytes(4))
        assert int.from_bytes(unsent, sys.byteorder) == 0
    wired.peer.resume()
    wired.socks[4].settimeout(SOON)

    assert wired.socks[4].recv(1) == ANSWER


@pytest.fixture
def boxed(request):
    with (
        Topology(weather=Weather(delay=0.005)) as topology,
        Peer(topology.server) as peer,
    ):
        assert topology.wire
        topology.wire.remember(idle=math.inf, resets=request.param)
        wired = Wired(topology, peer)
        yield wired
        for sock in wired.socks.values():
            sock.close()


@pytest.mark.parametrize("boxed", [False], indirect=True)
def test_a_connection_that_was_forgotten_is_silent(boxed):
    assert boxed.is_answered(4)
    boxed.apply(Fault.FORGOTTEN)

    assert [boxed.is_answered(version) for version in AF] == [False, False]
    boxed.dial(4).close()


@pytest.mark.parametrize("boxed", [True], indirect=True)
def test_a_connection_that_was_forgotten_may_be_reset(boxed):
    boxed.apply(Fault.FORGOTTEN_WITH_RESETS)
    for sock in boxed.socks.values():
        sock.sendall(QUESTION)

        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_without_a_wire_there_is_no_box_to_forget(wired):
    with pytest.raises(LabError, match="wire"):
        wired.apply(Fault.FORGOTTEN)
