"""Supervising system calls: which machines can, what is asked, who is held."""

import errno
import os
import platform
import struct
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.host.launched import until

from deadpeer.errors import ConfigError, UnsupportedError
from deadpeer.kernel.call_filter import MACHINES
from deadpeer.kernel.seccomp import Desk, Listener, TaskLender
from deadpeer.kernel.seccomp_support import this_machine

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="system calls of Linux"
)


class Uname(NamedTuple):
    machine: str
    release: str


def test_this_machine_is_known():
    assert this_machine() is MACHINES[platform.machine()]


@pytest.mark.parametrize(
    ("uname", "sentence"),
    [
        (Uname("riscv64", "6.8.0"), "riscv64"),
        (Uname("x86_64", "5.8.0-1-generic"), "Linux 5.9 or later"),
        (Uname("x86_64", "4.19.5"), "Linux 5.9 or later"),
    ],
)
def test_other_machines_are_refused_by_name(uname, sentence, monkeypatch):
    monkeypatch.setattr(os, "uname", lambda: uname)

    with pytest.raises(UnsupportedError, match=sentence):
        this_machine()


def test_a_32_bit_python_is_refused(monkeypatch):
    monkeypatch.setattr(struct, "calcsize", lambda _: 4)

    with pytest.raises(UnsupportedError, match="64-bit Python"):
        this_machine()


def test_another_system_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")

    with pytest.raises(UnsupportedError, match="not Linux"):
        this_machine()


def test_nothing_waits_that_was_never_taken_down():
    desk = Desk()
    listener = Listener(os.open(os.devnull, os.O_RDONLY))

    assert desk.notification().id == 0
    assert not listener.is_waiting(desk.notification())
    listener.close()
    listener.close()


def test_a_descriptor_is_borrowed_of_any_thread():
    reading, writing = os.pipe()
    done = threading.Event()
    numbers: list[int] = []
    known = threading.Event()

    def work() -> None:
        numbers.append(threading.get_native_id())
        known.set()
        done.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert known.wait(10)
        assert numbers[0] != os.getpid()
        with TaskLender(numbers[0]) as lender, lender.borrowed(reading) as copy:
            os.write(writing, b"x")
            assert os.read(copy, 1) == b"x"
    finally:
        done.set()
        thread.join()
        os.close(reading)
        os.close(writing)


def test_before_linux_6_9_it_is_borrowed_of_the_threads_process(monkeypatch):
    opened: list[int] = []
    real = os.pidfd_open

    def old(pid: int, flags: int = 0) -> int:
        if flags:
            raise OSError(errno.EINVAL, "Invalid argument")
        opened.append(pid)
        return real(pid)

    monkeypatch.setattr(os, "pidfd_open", old)
    thread = threading.Thread(target=lambda: TaskLender(threading.get_native_id()))
    thread.start()
    thread.join()

    assert opened == [os.getpid()]


def test_a_thread_that_is_gone_is_told():
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    number = thread.native_id
    assert number
    # Python does not wait for the kernel to be done with it.
    until(lambda: not Path(f"/proc/self/task/{number}").exists())

    with pytest.raises(ConfigError, match="no process"):
        TaskLender(number)
