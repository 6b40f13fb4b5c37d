"""Work that a copy of this process does: the result is the same, and nothing is left."""

import errno
import os
import threading
from pathlib import Path

import pytest

from deadpeer.kernel.second_process import SecondProcess, can_share_work


def children() -> str:
    me = os.getpid()
    return Path(f"/proc/{me}/task/{me}/children").read_text(encoding="ascii")


@pytest.fixture(autouse=True)
def _nothing_is_left():
    before = set(Path("/proc/self/fd").iterdir()), children()
    yield
    assert (set(Path("/proc/self/fd").iterdir()), children()) == before


def test_the_work_is_done_in_another_process():
    with SecondProcess(os.getpid) as second:
        assert second.result() != os.getpid()


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
def test_a_result_of_any_size_arrives_whole(size):
    with SecondProcess(lambda: {b"x": (bytes(size), [1, None, "y"])}) as second:
        assert second.result() == {b"x": (bytes(size), [1, None, "y"])}


def test_what_the_work_raises_is_raised_here():
    with SecondProcess(lambda: 1 // 0) as second, pytest.raises(ZeroDivisionError):
        second.result()


def test_if_the_copy_dies_the_work_is_done_here():
    me = os.getpid()

    def act() -> int:
        if os.getpid() != me:
            os.kill(os.getpid(), 9)
        return 7

    with SecondProcess(act) as second:
        assert second.result() == 7


def test_if_there_can_be_no_copy_the_work_is_done_here(monkeypatch):
    def refused() -> int:
        raise BlockingIOError(errno.EAGAIN, "no more processes")

    monkeypatch.setattr(os, "fork", refused)

    with SecondProcess(os.getpid) as second:
        assert second.result() == os.getpid()


def test_a_copy_that_nobody_asks_for_its_result_ends_too():
    with SecondProcess(lambda: bytes(3_000_000)):
        pass


def test_a_process_with_threads_is_not_copied():
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert not can_share_work()
    finally:
        done.set()
        thread.join()


def test_a_machine_with_one_processor_shares_no_work(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0})

    assert not can_share_work()
