"""The network namespaces of the host, and the way into each."""

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tests.neighbours import as_nobody, neighbour

from deadpeer.errors import AccessDenied, ConfigError
from deadpeer.kernel.namespaces import (
    Namespace,
    all_namespaces,
    find_namespace,
    in_namespace,
    mounts,
    own,
)

pytestmark = pytest.mark.netns


@pytest.fixture
def child():
    with neighbour(namespace=True) as made:
        yield made


def inode() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino


def inode_of(child) -> int:
    return Path(f"/proc/{child.pid}/ns/net").stat().st_ino


def test_the_own_one_comes_first_and_others_follow_with_their_processes(child):
    spaces, _ = all_namespaces()

    assert spaces[0].inode == inode() == own().inode
    assert os.getpid() in spaces[0].pids
    (theirs,) = (space for space in spaces if space.inode == inode_of(child))
    assert theirs.pids == (child.pid,)


@pytest.mark.parametrize(
    "form", ["{pid}", "/proc/{pid}/ns/net", "{inode}", "net:[{inode}]"]
)
def test_one_is_found_by_whatever_people_write(child, form):
    wanted = form.format(pid=child.pid, inode=inode_of(child))

    assert find_namespace(wanted).inode == inode_of(child)


@pytest.mark.parametrize(
    "wanted", ["", "no-such", "/no/such", "4194305", "net:[1]", "9" * 5000]
)
def test_what_is_none_is_said_to_be(wanted):
    with pytest.raises(ConfigError, match="no network namespace") as caught:
        find_namespace(wanted)

    assert caught.value.field == "netns"
    assert "ip netns list" in caught.value.hint


def test_what_is_something_else_is_not_opened(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # to open it is to wait for somebody who writes

    for path in (str(pipe), "/dev/null", "/proc/self/ns/mnt"):
        with pytest.raises(ConfigError, match="is no network namespace"):
            in_namespace(find_namespace(path), dict)


def test_what_is_called_there_is_in_it_and_this_process_stays(child):
    before, threads = inode(), threading.active_count()

    assert in_namespace(find_namespace(str(child.pid)), inode) == inode_of(child)
    assert inode() == before
    assert threading.active_count() == threads


def test_at_home_it_is_a_plain_call():
    assert in_namespace(own(), threading.get_ident) == threading.get_ident()


def test_the_own_one_of_a_thread_elsewhere_can_be_entered_from_here(child):
    there = in_namespace(find_namespace(str(child.pid)), own)

    assert there.inode == inode_of(child)
    assert f"/task/{threading.get_native_id()}/" not in there.path


def test_what_is_raised_there_is_raised_here(child):
    with pytest.raises(ZeroDivisionError):
        in_namespace(find_namespace(str(child.pid)), lambda: 1 // 0)


def test_another_one_in_its_place_is_not_entered(child):
    space = find_namespace(str(child.pid))

    with pytest.raises(ConfigError, match="is gone"):
        in_namespace(replace(space, inode=space.inode + 1), inode)


def test_one_whose_process_has_ended_is_gone(child):
    space = find_namespace(str(child.pid))
    child.process.kill()
    child.process.wait()

    with pytest.raises(ConfigError, match="is gone"):
        in_namespace(space, inode)


def test_going_there_takes_a_capability(child):
    space = find_namespace(str(child.pid))
    descriptor = os.open(space.path, os.O_RDONLY)

    def refused() -> int:
        try:
            in_namespace(replace(space, path=f"/proc/self/fd/{descriptor}"), inode)
        except AccessDenied as error:
            return 0 if error.capability == "CAP_SYS_ADMIN" else 1
        return 2

    try:
        assert as_nobody(refused) == 0
    finally:
        os.close(descriptor)


def test_mounted_ones_are_found_with_their_names(tmp_path):
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 0:21 / /proc rw,nosuid - proc proc rw\n"
        "90 25 0:4 net:[4026532250] /run/netns/blue rw shared:40 - nsfs nsfs rw\n"
        "91 25 0:4 net:[4026532251] /run/netns/with\\040space rw - nsfs nsfs rw\n"
        "92 25 0:4 mnt:[4026532252] /run/other rw - nsfs nsfs rw\n"
        "93 25 0:4 net:[4026532250] /run/netns/second rw - nsfs nsfs rw\n"
        "broken\n",
        encoding="utf-8",
    )

    assert mounts(str(table)) == {
        4026532250: "/run/netns/blue",
        4026532251: "/run/netns/with space",
    }
    assert mounts(str(tmp_path / "absent")) == {}


def test_its_name_is_what_people_call_it():
    assert str(Namespace(inode=7, path="/x", name="blue")) == "blue"
    assert str(Namespace(inode=7, path="/x")) == "net:[7]"
