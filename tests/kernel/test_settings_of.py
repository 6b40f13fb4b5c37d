"""What many sockets of other processes have set, and that nothing is changed."""

import os
import socket
from pathlib import Path

import pytest
from tests.neighbours import as_nobody, left_as_it_was, neighbour

from deadpeer.kernel.settings_of import SocketSettings, Wanted, settings_of

SYSTEM = "socket.IPPROTO_TCP"


@pytest.fixture
def child():
    with neighbour() as made:
        made.told("a, b = pair()")
        made.told("a.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)")
        for option, value in ((4, 61), (5, 7), (6, 3), (18, 12_000)):
            made.told(f"a.setsockopt({SYSTEM}, {option}, {value})")
        yield made


def wanted(child, name: str) -> Wanted:
    fd, cookie = child.told(f"{name}.fileno(), {name}.getsockopt(1, 57, 8)")
    return Wanted(child.pid, fd, cookie)


MINE = SocketSettings(
    keepalive=True, idle_s=61, interval_s=7, probes=3, user_timeout_ms=12_000
)


def our_descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def test_the_five_values_are_those_that_were_set(child):
    a, b = wanted(child, "a"), wanted(child, "b")

    found = settings_of([a, b])

    assert found.settings[a.cookie] == MINE
    assert not found.settings[b.cookie].keepalive
    assert found.gone == ()
    assert found.refused == {}


def test_many_are_asked_in_pieces_and_everything_is_given_back(child):
    child.told("more = [pair() for _ in range(150)]")
    child.told("[p.setsockopt(6, 4, 100 + n) for n, (p, _) in enumerate(more)]")
    asked = [
        Wanted(child.pid, fd, cookie)
        for fd, cookie in child.told(
            "[(p.fileno(), p.getsockopt(1, 57, 8)) for p, _ in more]"
        )
    ]
    before = our_descriptors()

    found = settings_of(asked)

    values = [found.settings[one.cookie].idle_s for one in asked]
    assert values == [100 + number for number in range(150)]
    assert our_descriptors() == before


def test_equal_settings_are_one_object(child):
    child.told("c, d = pair()")
    asked = [wanted(child, name) for name in "cd"]

    found = settings_of(asked)

    assert found.settings[asked[0].cookie] is found.settings[asked[1].cookie]


def test_a_number_that_is_another_sockets_by_now_is_gone(child):
    a, b = wanted(child, "a"), wanted(child, "b")

    found = settings_of([a._replace(fd=b.fd), b])

    assert found.gone == (a.cookie,)
    assert list(found.settings) == [b.cookie]


@pytest.mark.parametrize("instead", ["a.close()", "os.dup2(0, a.fileno())"])
def test_a_number_that_is_no_sockets_by_now_is_gone(child, instead):
    a, b = wanted(child, "a"), wanted(child, "b")
    child.told(instead)
    before = our_descriptors()

    found = settings_of([a, b])

    assert found.gone == (a.cookie,)
    assert list(found.settings) == [b.cookie]
    assert our_descriptors() == before


def test_a_process_that_has_ended_has_no_sockets(child):
    a = wanted(child, "a")
    child.process.kill()
    child.process.wait()

    assert settings_of([a]).gone == (a.cookie,)


@pytest.mark.parametrize("timeout", [None, 0.0, 5.0])
def test_the_owners_modes_and_options_stay_as_they_are(child, timeout):
    with left_as_it_was(child, timeout=timeout):
        settings_of([wanted(child, "a"), wanted(child, "b")])

    assert child.told("a.send(b'x')\nb.recv(1)") == b"x"


def test_who_may_not_be_looked_into_is_told_and_the_others_are_asked(child):
    a = wanted(child, "a")

    def refused() -> int:
        with socket.socket() as own:
            cookie = own.getsockopt(1, 57, 8)
            mine = Wanted(os.getpid(), own.fileno(), cookie)
            found = settings_of([a, mine])
            return 0 if list(found.refused) == [a.pid] and not found.gone else 1

    if os.geteuid() != 0:
        pytest.skip("needs another user's process: run as root")
    assert as_nobody(refused) == 0


def test_multipath_sockets_have_no_user_timeout():
    try:
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    except OSError:
        pytest.skip("needs a kernel with MPTCP")
    with made:
        cookie = made.getsockopt(1, 57, 8)
        found = settings_of([Wanted(os.getpid(), made.fileno(), cookie)])

    settings = found.settings[cookie]
    assert settings.keepalive is False
    assert settings.user_timeout_ms is None
