"""Who holds which sockets."""

import os
import socket
from pathlib import Path

import pytest
from tests.neighbours import as_nobody, neighbour

from deadpeer.errors import UnsupportedError
from deadpeer.kernel.owners import Holder, find_owners


@pytest.fixture
def child():
    with neighbour() as made:
        made.told("a, b = pair()")
        yield made


def inode_of(child, name: str) -> int:
    return int(child.told(f"os.fstat({name}.fileno()).st_ino"))


def test_a_socket_is_found_with_its_process_and_descriptor(child):
    found = find_owners()

    assert found.of(inode_of(child, "a")) == (
        Holder(pid=child.pid, fd=child.told("a.fileno()")),
    )


def test_all_that_hold_a_socket_are_told(child):
    child.told("c = a.dup()")
    with neighbour() as other:
        ours = socket.socket()
        copy = ours.dup()
        with ours, copy:
            inode = os.fstat(ours.fileno()).st_ino
            found = find_owners([child.pid, other.pid, os.getpid()])

            assert set(found.of(inode)) == {
                Holder(os.getpid(), ours.fileno()),
                Holder(os.getpid(), copy.fileno()),
            }
    fds = child.told("a.fileno(), c.fileno()")
    assert set(found.of(inode_of(child, "a"))) == {Holder(child.pid, fd) for fd in fds}
    assert len(found.others[inode_of(child, "a")]) == 1


def test_only_the_processes_asked_for_are_looked_into(child):
    assert find_owners([os.getpid()]).of(inode_of(child, "a")) == ()


def test_nobody_holds_no_socket(child):
    assert find_owners([child.pid]).of(0) == ()


def test_what_is_no_socket_is_passed_over(child):
    child.told("import tempfile; f = tempfile.TemporaryFile()")
    child.told("r, w = os.pipe()")

    held = {fd for _, fd in find_owners([child.pid]).first.values()}

    assert not held & set(child.told("f.fileno(), r, w"))


def test_a_process_that_has_ended_is_passed_over():
    found = find_owners([2**22 + 1])

    assert found.first == {}
    assert found.unreadable == ()


def test_who_may_not_be_looked_into_is_told(child):
    pid = child.pid

    def refused() -> int:
        found = find_owners([pid])
        return 0 if found.unreadable == (pid,) and not found.first else 1

    if os.geteuid() != 0:
        pytest.skip("needs another user's process: run as root")
    assert as_nobody(refused) == 0


def test_nothing_is_left_open(child):
    before = set(Path("/proc/self/fd").iterdir())

    find_owners()

    assert set(Path("/proc/self/fd").iterdir()) == before


def test_a_system_without_proc_says_so(monkeypatch):
    def absent(_path):
        raise FileNotFoundError(2, "none")

    monkeypatch.setattr(os, "listdir", absent)

    with pytest.raises(UnsupportedError, match="no /proc"):
        find_owners()
