"""Everything about the sockets of a namespace, at one look."""

import gc
import os
import socket

import pytest
from tests.neighbours import as_nobody, neighbour

from deadpeer.errors import AccessDenied, ConfigError
from deadpeer.kernel.namespaces import find_namespace, own
from deadpeer.kernel.settings_of import Wanted
from deadpeer.kernel.shared_work import settings_by_two
from deadpeer.kernel.snapshot import take_snapshot
from deadpeer.kernel.tcp_info import TcpState

pytestmark = pytest.mark.netns


@pytest.fixture
def child():
    with neighbour(namespace=True) as made:
        made.told(
            "a, b = pair(); a.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)"
        )
        made.told("a.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77)")
        yield made


def test_a_connection_has_its_holder_its_settings_and_its_systems(child):
    child.told("sysctl('tcp_keepalive_time', 31)")

    seen = take_snapshot([find_namespace(str(child.pid))])

    (space,) = seen.spaces
    port = child.told("a.getsockname()[1]")
    (mine,) = (
        one
        for one in space.dump.rows
        if one.ends.local_port == port and one.state == TcpState.ESTABLISHED
    )
    (holder,) = seen.owners.of(mine.inode)
    assert holder == (child.pid, child.told("a.fileno()"))
    settings = seen.settings_for(mine)
    assert settings is not None
    assert settings.keepalive
    assert settings.idle_s == 77
    assert space.defaults.idle == 31
    assert seen.processes[child.pid].name.startswith("python")
    assert seen.kernel == os.uname().release
    assert seen.closed_spaces == ()


def test_two_namespaces_are_two_spaces(child):
    with neighbour(namespace=True) as other:
        other.told("a, b = pair()")
        wanted = [find_namespace(str(one.pid)) for one in (child, other)]

        seen = take_snapshot(wanted)

    assert [space.namespace.inode for space in seen.spaces] == [
        space.inode for space in wanted
    ]
    # What may not be looked into may hold any of the sockets, and is told of too.
    hidden = set(seen.owners.unreadable)
    assert set(seen.processes) - hidden == {child.pid, other.pid}
    assert set(seen.processes) >= hidden


def test_one_that_is_gone_is_told_and_the_others_are_looked_at(child):
    with neighbour(namespace=True) as other:
        gone = find_namespace(str(other.pid))

    seen = take_snapshot([gone, find_namespace(str(child.pid))])

    ((namespace, error),) = seen.closed_spaces
    assert namespace == gone
    assert isinstance(error, ConfigError)
    assert len(seen.spaces) == 1


def test_without_a_wish_it_is_the_own_one():
    (space,) = take_snapshot(states=1 << TcpState.LISTEN).spaces

    assert space.namespace == own()


@pytest.mark.parametrize("is_on", [True, False])
def test_the_search_for_garbage_is_left_as_it_was(child, is_on):
    before = gc.isenabled()
    (gc.enable if is_on else gc.disable)()
    try:
        take_snapshot([find_namespace(str(child.pid))])

        assert gc.isenabled() == is_on
    finally:
        (gc.enable if before else gc.disable)()


def test_two_processes_see_what_one_sees(child):
    child.told("keep = [pair() for _ in range(100)]; twin = a.dup()")
    child.told("[p.setsockopt(6, 4, 100 + n) for n, (p, _) in enumerate(keep)]")
    here = find_namespace(str(child.pid))

    by_one, by_two = take_snapshot([here]), take_snapshot([here], processes=2)

    inodes = {one.inode for one in by_one.spaces[0].dump.rows}
    assert len(by_two.settings.settings) == 202
    assert by_two.settings.settings == by_one.settings.settings
    assert by_two.settings.gone == by_one.settings.gone == ()
    assert [by_two.owners.of(inode) for inode in inodes] == [
        by_one.owners.of(inode) for inode in inodes
    ]
    assert by_two.processes == by_one.processes


def test_the_copy_of_this_process_is_not_told_as_a_holder():
    with socket.create_server(("127.0.0.1", 0)) as server:
        seen = take_snapshot(states=1 << TcpState.LISTEN, processes=2)

        assert seen.owners.of(os.fstat(server.fileno()).st_ino) == (
            (os.getpid(), server.fileno()),
        )


def test_who_may_not_be_looked_into_is_told_by_two_processes_too():
    if os.geteuid() != 0:
        pytest.skip("needs another user's process: run as root")
    with neighbour() as theirs:
        theirs.told("a, b = pair()")
        fd, cookie = theirs.told("a.fileno(), a.getsockopt(1, 57, 8)")
        wanted = [Wanted(theirs.pid, fd, cookie)] * 2

        def refused() -> int:
            (error,) = settings_by_two(wanted).refused.values()
            return 0 if isinstance(error, AccessDenied) and error.capability else 1

        assert as_nobody(refused) == 0
