"""Looking into processes: our own, a child of ours, and one that is not ours."""

import os
import socket

import pytest
from tests.neighbours import as_nobody, neighbour

from deadpeer.errors import AccessDenied, ConfigError
from deadpeer.kernel.procfs import namespace_of, socket_inodes, tcp_rows
from deadpeer.kernel.tcp_info import TcpState
from deadpeer.kernel.tcp_table import Timer

OURS = os.getpid()
ASKED = {"table": tcp_rows, "sockets": socket_inodes, "namespace": namespace_of}

# More than any process can have: include/linux/threads.h, PID_MAX_LIMIT.
NO_PROCESS = 2**22 + 1


def row_of(sock: socket.socket):
    inode = os.fstat(sock.fileno()).st_ino
    return next(row for row in tcp_rows(OURS) if row.inode == inode)


@pytest.fixture(params=["127.0.0.1", "::1"], ids=["v4", "v6"])
def server(request):
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server((request.param, 0), family=family) as made:
        yield made


def test_a_connection_is_found_with_both_its_ends(server):
    with socket.create_connection(server.getsockname()[:2]) as client:
        row = row_of(client)

        assert (row.local.host, row.local.port) == client.getsockname()[:2]
        assert (row.remote.host, row.remote.port) == server.getsockname()[:2]
        assert row.state is TcpState.ESTABLISHED
        assert row.timer is Timer.NONE
        assert row.uid == os.geteuid()


def test_the_listener_is_found(server):
    assert row_of(server).state is TcpState.LISTEN


def test_turning_keepalive_on_shows_as_an_armed_timer(server):
    with socket.create_connection(server.getsockname()[:2]) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1000)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        row = row_of(client)

    assert row.timer is Timer.KEEPALIVE
    assert 900 < row.expires <= 1000


def test_sockets_are_found_by_their_number_and_only_sockets(server):
    found = socket_inodes(OURS)

    assert found[os.fstat(server.fileno()).st_ino] == server.fileno()
    assert 0 not in found.values() or os.fstat(0).st_ino in found


def test_a_socket_with_two_descriptors_is_one_socket(server):
    with server.dup() as second:
        found = socket_inodes(OURS)

        assert found[os.fstat(second.fileno()).st_ino] == server.fileno()


def test_the_sockets_of_a_child_are_its_own():
    with neighbour() as child:
        child.told("a, b = pair()")
        inode = child.told("os.fstat(a.fileno()).st_ino")

        assert inode in socket_inodes(child.pid)
        assert inode not in socket_inodes(OURS)
        assert inode in {row.inode for row in tcp_rows(child.pid)}


def test_a_child_shares_our_namespace():
    with neighbour() as child:
        assert namespace_of(child.pid) == namespace_of(OURS)


@pytest.mark.netns
def test_a_namespace_has_a_number_and_a_table_of_its_own():
    with neighbour(namespace=True) as child, socket.create_server(("127.0.0.1", 0)):
        child.told("a, b = pair()")
        inodes = {row.inode for row in tcp_rows(child.pid)}

        assert namespace_of(child.pid) != namespace_of(OURS)
        assert child.told("os.fstat(a.fileno()).st_ino") in inodes
        assert not inodes & {row.inode for row in tcp_rows(OURS) if row.inode}


@pytest.mark.netns
def test_without_ipv6_the_other_table_is_read():
    with neighbour(namespace=True) as child:
        # A namespace without IPv6 addresses has an empty table, at least.
        child.told("a, b = pair()")

        assert {row.local.host for row in tcp_rows(child.pid)} == {"127.0.0.1"}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_a_process_that_does_not_exist_is_named(ask):
    with pytest.raises(ConfigError, match=f"no process {NO_PROCESS}") as caught:
        ask(NO_PROCESS)

    assert caught.value.value == NO_PROCESS
    assert caught.value.hint


@pytest.mark.parametrize("ask", [socket_inodes, namespace_of])
def test_somebody_elses_process_takes_a_capability(ask):
    def refused() -> int:
        try:
            ask(1)
        except AccessDenied as error:
            return 0 if (error.capability, error.pid) == ("CAP_SYS_PTRACE", 1) else 1
        return 2

    assert as_nobody(refused) == 0
