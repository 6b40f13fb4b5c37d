"""
What a loop does while a thread waits for it; the waiting may be interrupted.

What becomes of it is always known. A question takes no time: once asked, it is
answered, whether anybody still waits or not. An errand is a coroutine: interrupted,
it is cancelled and waited for, and a result that was there already is rescued.
"""

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from deadpeer.sync.refusals import is_over

__all__ = ["Errand", "Question"]

# Seconds for a cancelled coroutine to end; it should take none.
PATIENCE = 2.0

# Signals are heard on the main thread, between two waits of so many seconds. One that
# comes just before a wait, or was given to another thread, ends none; on Windows none
# does.
GLANCE = 0.2


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


class Question:
    """
    A function that the loop calls while a thread waits for what it returns.

    Args:
        loop: The loop.
        function: What to call there; it must not wait.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, function: Callable[[], Any]
    ) -> None:
        self._loop = loop
        self._function = function
        self._is_over = Latch()
        self._returned: Any = None
        self._raised: BaseException | None = None

    def start(self) -> None:
        """
        Have it done.

        Raises:
            LocalProtocolError: The loop has ended.
        """
        try:
            self._loop.call_soon_threadsafe(self._start)
        except RuntimeError:
            raise is_over() from None

    def _start(self) -> None:
        try:
            self._returned = self._function()
        except BaseException as error:  # noqa: BLE001 - it is the asking thread's
            self._raised = error
        self._is_over.open()

    def wait(self) -> None:
        """Wait until it is over; any exception of the waiting thread passes."""
        is_main = threading.get_ident() == threading.main_thread().ident
        while not self._is_over.wait(GLANCE if is_main else -1):
            pass

    def result(self) -> Any:
        """Return what it returned, or raise what it raised; once, when it is over."""
        raised, self._raised = self._raised, None
        if raised is None:
            return self._returned
        try:
            raise raised
        finally:
            del raised  # its traceback has this frame


class Errand(Question):
    """
    A coroutine that runs on the loop while a thread waits for it.

    Args:
        loop: The loop.
        function: What returns the coroutine; called on the loop.

    Attributes:
        is_given_up: Whether there is nothing left to be cancelled.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        function: Callable[[], Coroutine[Any, Any, Any]],
    ) -> None:
        super().__init__(loop, function)
        self._is_settled = Latch()
        self._is_stopped = False
        self.is_given_up = False
        self.task: asyncio.Task[Any] | None = None

    def _start(self) -> None:
        self.task = self._loop.create_task(self._function())
        self.task.add_done_callback(self._end)

    def _end(self, _task: "asyncio.Task[Any]") -> None:
        self._is_over.open()

    def result(self) -> Any:
        """
        Return what it returned, or raise what it raised; when it is over.

        Raises:
            LocalProtocolError: It was cut off by the loop's end.
        """
        if self.task is None or self.task.cancelled():
            raise is_over()
        return self.task.result()

    def give_up(self, rescue: Callable[[Any], object] | None) -> None:
        """
        Cancel it unless it has failed by itself, and wait for what becomes of that.

        Args:
            rescue: Called on the loop with the result, if there is one already.
        """
        if self._has_failed:
            self.is_given_up = True
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended, and it with it
            self._loop.call_soon_threadsafe(self._stop, rescue)
        self.is_given_up = True
        self._is_settled.wait(PATIENCE)

    @property
    def _has_failed(self) -> bool:
        task = self.task
        if task is None or not task.done():
            return False
        return task.cancelled() or task.exception() is not None

    def _stop(self, rescue: Callable[[Any], object] | None) -> None:
        if self._is_stopped:
            return
        self._is_stopped = True
        settle = functools.partial(self._settle, rescue)
        if self.task is None:  # interrupted before it was started
            self._is_settled.open()
        elif self.task.done():
            settle(self.task)  # now: the thread's next errand has to find it rescued
        else:
            self.task.cancel()
            self.task.add_done_callback(settle)

    def _settle(
        self, rescue: Callable[[Any], object] | None, task: "asyncio.Task[Any]"
    ) -> None:
        try:
            if rescue and not task.cancelled() and task.exception() is None:
                rescue(task.result())
        finally:
            self._is_settled.open()
