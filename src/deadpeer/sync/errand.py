"""
A coroutine that runs on a loop while a thread waits for it, and may be interrupted.

What becomes of the coroutine is always known: one that is cancelled is waited for,
and a result that was there already is rescued.
"""

import asyncio
import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from deadpeer.errors import LocalProtocolError

__all__ = ["Errand", "over"]

# Seconds for a cancelled coroutine to end; it should take none.
PATIENCE = 2.0

# On Windows a thread that waits without a limit cannot be interrupted.
GLANCE = 0.2 if sys.platform == "win32" else -1


class Latch:
    """
    Something that happens once, and is waited for.

    Not an Event of threading: an exception in the midst of its ``wait``, as Ctrl+C
    raises it, leaves that broken. A lock is taken or is not.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def open(self) -> None:
        """It has happened; told once, by one thread."""
        self._lock.release()

    def wait(self, seconds: float = -1) -> bool:
        """
        Wait for it, in one thread, once; return whether it happened.

        Args:
            seconds: For how long; -1 waits for ever.
        """
        return self._lock.acquire(timeout=seconds)


class Errand:
    """
    A coroutine that runs on the loop while a thread waits for it.

    Args:
        loop: The loop.
        function: What returns the coroutine; called on the loop.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        function: Callable[[], Coroutine[Any, Any, Any]],
    ) -> None:
        self._loop = loop
        self._function = function
        self._is_over = Latch()
        self._is_settled = Latch()
        self.task: asyncio.Task[Any] | None = None

    def start(self) -> None:
        """
        Have it run.

        Raises:
            LocalProtocolError: The loop has ended.
        """
        try:
            self._loop.call_soon_threadsafe(self._start)
        except RuntimeError:
            raise over() from None

    def _start(self) -> None:
        self.task = self._loop.create_task(self._function())
        self.task.add_done_callback(self._end)

    def _end(self, _task: "asyncio.Task[Any]") -> None:
        self._is_over.open()

    def wait(self) -> None:
        """Wait until it is over; any exception of the waiting thread passes."""
        while not self._is_over.wait(GLANCE):
            pass

    def result(self) -> Any:
        """
        Return what it returned, or raise what it raised; when it is over.

        Raises:
            LocalProtocolError: It was cut off by the loop's end.
        """
        if self.task is None or self.task.cancelled():
            raise over()
        return self.task.result()

    @property
    def has_failed(self) -> bool:
        """Whether it ended with an error of its own."""
        task = self.task
        if task is None or not task.done():
            return False
        return task.cancelled() or task.exception() is not None

    def cancel(self, rescue: Callable[[Any], object] | None) -> None:
        """
        Cancel it, and wait for what becomes of that.

        Args:
            rescue: Called on the loop with the result, if there is one already.
        """
        with contextlib.suppress(RuntimeError):  # the loop has ended, and it with it
            self._loop.call_soon_threadsafe(self._stop, rescue)
            self._is_settled.wait(PATIENCE)

    def _stop(self, rescue: Callable[[Any], object] | None) -> None:
        if self.task is None:  # interrupted before it was started
            self._is_settled.open()
            return
        self.task.cancel()
        self.task.add_done_callback(functools.partial(self._settle, rescue))

    def _settle(
        self, rescue: Callable[[Any], object] | None, task: "asyncio.Task[Any]"
    ) -> None:
        try:
            if rescue and not task.cancelled() and task.exception() is None:
                rescue(task.result())
        finally:
            self._is_settled.open()


def over() -> LocalProtocolError:
    """Return the error of what comes after the interpreter's end."""
    return LocalProtocolError(
        "the interpreter is ending, and the background thread has ended",
        hint="end what uses connections before that, with `with`",
        breach="after-the-end",
    )
