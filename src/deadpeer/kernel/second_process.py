"""
Work that a second process does at the same time, of which only the result is wanted.

Threads of Python do not run at the same time, and a pool of processes takes longer
to start than the work does. So this process is copied (``fork``), the copy does the
work, says what came of it and ends. If that fails for whatever reason, the work is
done here after all, so the result, or the error, is always the same.

Only a process with a single thread can be copied without harm.

Source: Linux fork(2), pipe(7), fcntl(2) on F_SETPIPE_SZ.
"""

import marshal
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, Self, TypeVar

__all__ = ["SecondProcess", "can_share_work"]

F_SETPIPE_SZ = 1031  # include/uapi/linux/fcntl.h; Python has the name since 3.10
PIPE = 1 << 20  # bytes, what anybody may have: the copy need not wait to be read

T = TypeVar("T")


def can_share_work() -> bool:
    """Tell whether this process can be copied, and the copy would have a processor."""
    if threading.active_count() > 1 or not hasattr(os, "sched_getaffinity"):
        return False
    return len(os.sched_getaffinity(0)) > 1


class SecondProcess(Generic[T]):
    """
    A copy of this process that does one piece of work.

    Use it with ``with``: at the end nothing of it is left.

    Args:
        action: What to do. Its result is of plain values, as ``marshal`` takes
            them: numbers, texts, bytes, and tuples, lists and dicts of these.
    """

    def __init__(self, action: Callable[[], T]) -> None:
        self._action = action
        self._reading, self._pid = -1, 0
        try:
            self._reading, writing = os.pipe()
        except OSError:
            return  # no descriptors: result() does it
        try:
            self._pid = os.fork()
        except OSError:
            os.close(writing)
            return
        if self._pid == 0:
            # Or else it would wait for itself to read what it writes.
            os.close(self._reading)
            _work(action, writing)
        os.close(writing)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def result(self) -> T:
        """Return what came of it; raise what the action raises."""
        data = b""
        if self._pid > 0:
            with open(self._reading, "rb", closefd=False) as pipe:
                data = pipe.read()
        self.close()
        try:
            made: T = marshal.loads(data)  # noqa: S302 - our own copy wrote it
        except (EOFError, ValueError, TypeError):
            return self._action()
        return made

    def close(self) -> None:
        """Wait for its end, which does not depend on being heard; harmless twice."""
        if self._reading >= 0:
            os.close(self._reading)
            self._reading = -1
        if self._pid > 0:
            pid, self._pid = self._pid, 0
            # Whoever ignores SIGCHLD has no children to wait for.
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _work(action: Callable[[], object], writing: int) -> None:
    """Do the work and end, whatever comes."""
    try:
        import fcntl

        with suppress(OSError):
            fcntl.fcntl(writing, F_SETPIPE_SZ, PIPE)
        result: Any = action()
        data = memoryview(marshal.dumps(result))
        while data:
            data = data[os.write(writing, data) :]
    finally:
        # Without anything that the copy inherited being flushed or closed twice.
        os._exit(0)
