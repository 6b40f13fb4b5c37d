"""Borrowing a descriptor of a child: the same socket, and nothing changes."""

import errno
import fcntl
import os
from pathlib import Path

import pytest
from tests.neighbours import as_nobody, left_as_it_was, neighbour

from deadpeer.errors import AccessDenied, ConfigError, KernelRefused
from deadpeer.kernel.borrow import Lender
from deadpeer.kernel.inspection import inspect

NO_PROCESS = 2**22 + 1


@pytest.fixture
def child():
    with neighbour() as made:
        made.told("a, b = pair()")
        made.told("a.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)")
        made.told("a.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77)")
        yield made


def our_descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def test_what_is_borrowed_is_the_same_socket(child):
    with Lender(child.pid) as lender, lender.borrowed(child.told("a.fileno()")) as copy:
        assert os.fstat(copy).st_ino == child.told("os.fstat(a.fileno()).st_ino")
        assert inspect(copy).keepalive.idle == 77


def test_it_is_not_inherited_by_programs_that_we_start(child):
    with Lender(child.pid) as lender, lender.borrowed(child.told("a.fileno()")) as copy:
        assert fcntl.fcntl(copy, fcntl.F_GETFD) & fcntl.FD_CLOEXEC


def test_everything_is_given_back(child):
    before = our_descriptors()

    with Lender(child.pid) as lender:
        for _ in range(100):
            with lender.borrowed(child.told("a.fileno()")) as copy:
                inspect(copy)
    lender.close()

    assert our_descriptors() == before


def test_it_is_given_back_after_an_error_too(child):
    before = our_descriptors()

    with (
        pytest.raises(ZeroDivisionError),
        Lender(child.pid) as lender,
        lender.borrowed(child.told("a.fileno()")),
    ):
        raise ZeroDivisionError

    assert our_descriptors() == before


@pytest.mark.parametrize("timeout", [None, 0.0, 5.0])
def test_the_owners_modes_and_options_stay_as_they_are(child, timeout):
    with (
        left_as_it_was(child, timeout=timeout),
        Lender(child.pid) as lender,
        lender.borrowed(child.told("a.fileno()")) as copy,
    ):
        inspect(copy)


def test_the_connection_lives_on_after_it(child):
    with Lender(child.pid) as lender, lender.borrowed(child.told("a.fileno()")):
        pass

    assert child.told("a.send(b'x')\nb.recv(1)") == b"x"


def test_a_descriptor_that_is_not_there_is_refused(child):
    with (
        Lender(child.pid) as lender,
        pytest.raises(KernelRefused, match="pidfd_getfd") as caught,
        lender.borrowed(9999),
    ):
        pass

    assert caught.value.errno == errno.EBADF


def test_a_process_that_has_ended_is_no_process(child):
    with Lender(child.pid) as lender:
        child.process.kill()
        child.process.wait()

        with pytest.raises(ConfigError, match=f"no process {child.pid}"):
            lender.borrowed(0).__enter__()


@pytest.mark.parametrize("pid", [NO_PROCESS, 0, -1, 10**30])
def test_there_must_be_such_a_process(pid):
    with pytest.raises(ConfigError, match=f"no process {pid}") as caught:
        Lender(pid)

    assert caught.value.field == "pid"


def test_somebody_elses_process_takes_a_capability_and_says_what_to_type():
    def refused() -> int:
        with Lender(1) as lender:
            try:
                lender.borrowed(0).__enter__()
            except AccessDenied as error:
                told = "sudo deadpeer check 1" in error.hint
                return 0 if told and error.capability == "CAP_SYS_PTRACE" else 1
        return 2

    assert as_nobody(refused) == 0


def test_a_system_without_pidfds_says_so(monkeypatch):
    from deadpeer.errors import UnsupportedError

    monkeypatch.delattr(os, "pidfd_open")

    with pytest.raises(UnsupportedError, match="cannot lend a descriptor") as caught:
        Lender(os.getpid())
    assert "Linux 5.6" in caught.value.hint
