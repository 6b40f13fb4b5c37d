"""
A thread that names the line on which the event loop is blocked.

A loop that is blocked answers no heartbeat, and its peers rightly give it up. It
cannot look at itself meanwhile. So a thread asks it for a sign now and then, and
if none comes, looks at what the loop's thread is running.
"""

import asyncio
import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from deadpeer.aio.arguments import require_plain
from deadpeer.aio.blocked import Blocked, Place, depth_of, stack_of
from deadpeer.errors import ConfigError
from deadpeer.policy.keepalive import require_seconds

__all__ = ["Watchdog"]

INSTEAD = "give a plain function; it is called in the watchdog's own thread"

LOG = logging.getLogger("deadpeer")


class Watchdog:
    """
    Tells while an event loop is blocked where it is, and then for how long it was.

    Use it as ``async with Watchdog():`` around the program, or call ``start`` and
    ``close``. Its thread ends by itself when the loop is closed. Each loop takes
    a watchdog of its own. It asks once in a threshold: a shorter block is never
    told, one of twice the threshold always.

    Args:
        loop: The loop to watch; the running one if None.
        threshold: Seconds without a sign of life from which on a loop is blocked.
        on_blocked: What to call, in the watchdog's thread: once while the loop is
            blocked, and once more when that is over. None warns in the log
            ``deadpeer``. What it raises is logged, and the watch goes on.

    Raises:
        ConfigError: *loop* is no event loop, *threshold* no duration, or *on_blocked*
            cannot be called or is a coroutine function.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        threshold: float = 0.25,
        on_blocked: Callable[[Blocked], object] | None = None,
    ) -> None:
        _require_loop(loop)
        require_seconds("threshold", threshold)
        require_plain("on_blocked", on_blocked, "blocked", instead=INSTEAD)
        self._loop = loop
        self._threshold = threshold
        self._report = _warn if on_blocked is None else on_blocked
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()  # nothing more to do for the thread
        self._through = asyncio.Event()  # the thread has done it
        self._met = asyncio.Event()  # it is known where the loop runs
        self._worst = 0.0
        # Written by the loop, read by the thread.
        self._answered_at = 0.0
        self._runner = 0
        self._depth = 0

    @property
    def worst(self) -> float:
        """The longest time, in seconds, that the loop took to give a sign so far."""
        return self._worst

    @property
    def is_watching(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """
        Watch from now on.

        Raises:
            ConfigError: It is watching already, or there is no loop to watch, or
                none any more.
        """
        if self.is_watching:
            raise ConfigError(
                "this watchdog is watching already",
                hint="each start takes a close; another loop takes another watchdog",
                field="loop",
            )
        loop = _running() if self._loop is None else self._loop
        if loop.is_closed():
            raise _nothing_to_watch(
                "this event loop is closed: there is nothing to watch"
            )
        self._ended = threading.Event()
        self._through = asyncio.Event()
        self._met = asyncio.Event()
        self._answered_at = self._runner = 0
        self._thread = threading.Thread(
            target=self._run,
            args=(loop, self._ended, self._through),
            name="deadpeer watchdog",
            daemon=True,
        )
        self._thread.start()

    def close(self) -> None:
        """
        Stop watching; returns when the thread has ended.

        It waits for a report that is being made, so in the loop's own thread
        prefer ``async with``, and do not let reports wait for the loop.
        """
        self._ended.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            self._thread = None

    async def __aenter__(self) -> Self:
        if self._loop not in (None, asyncio.get_running_loop()):
            raise ConfigError(
                "this watchdog is for another event loop than the running one",
                hint="a block waits for signs of its own loop; for another one, call "
                "start and close",
                field="loop",
            )
        self.start()
        try:
            await self._met.wait()
        except BaseException:
            self._ended.set()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        # A report may want something of this loop: let it run until the thread
        # is through.
        await self._through.wait()
        self.close()

    def _run(
        self,
        loop: asyncio.AbstractEventLoop,
        ended: threading.Event,
        through: asyncio.Event,
    ) -> None:
        try:
            self._watch(loop, ended)
        finally:
            with contextlib.suppress(RuntimeError):  # it is closed
                loop.call_soon_threadsafe(through.set)

    def _watch(self, loop: asyncio.AbstractEventLoop, ended: threading.Event) -> None:
        asked_at = 0.0
        blocked: Blocked | None = None
        due = time.monotonic()
        while not ended.wait(max(0.0, due - time.monotonic())):
            now = time.monotonic()
            late = now - due
            if late >= self._threshold:
                # Nobody could look, not at the loop either.
                self._worst = max(self._worst, late)
                self._tell((), since_at=now - late, lasted=late, over=True)
            answered_at = self._answered_at
            if answered_at >= asked_at:
                took = answered_at - asked_at if asked_at else 0.0
                self._worst = max(self._worst, took)
                if blocked:
                    self._tell(blocked.stack, since_at=asked_at, lasted=took, over=True)
                    blocked = None
                asked_at = time.monotonic()
                try:
                    loop.call_soon_threadsafe(self._answer)
                except RuntimeError:
                    return  # it is closed
            elif loop.is_closed():
                return
            elif not loop.is_running():
                # Between two runs nothing is blocked; the sign comes in the next.
                asked_at, blocked = now, None
            # A thread that came late itself knows too little to accuse the loop.
            elif not blocked and late < self._threshold / 2:
                blocked = self._look(asked_at, now)
            due = time.monotonic() + self._threshold  # after any report

    def _look(self, asked_at: float, now: float) -> Blocked | None:
        """Tell what the loop is running, if it is known where it runs."""
        frame = sys._current_frames().get(self._runner)  # noqa: SLF001
        if frame is None:
            return None
        stack = stack_of(frame, beyond=self._depth)
        self._worst = max(self._worst, now - asked_at)
        del frame  # it would keep what is in it alive
        return self._tell(stack, since_at=asked_at, lasted=now - asked_at, over=False)

    def _tell(
        self, stack: tuple[Place, ...], *, since_at: float, lasted: float, over: bool
    ) -> Blocked:
        blocked = Blocked(stack=stack, since_at=since_at, lasted=lasted, over=over)
        try:
            self._report(blocked)
        except Exception:
            LOG.exception("a watchdog's report failed: %s", blocked)
        return blocked

    def _answer(self) -> None:
        """Give the sign: called by the loop."""
        self._runner = threading.get_ident()
        # One frame is this one; those below it run the loop, whatever its kind.
        self._depth = depth_of(sys._getframe(1))  # noqa: SLF001
        self._answered_at = time.monotonic()
        self._met.set()


def _require_loop(loop: Any) -> None:
    if loop is not None and not isinstance(loop, asyncio.AbstractEventLoop):
        raise ConfigError(
            f"loop={loop!r} is no event loop",
            hint="give none for the running one; seconds are threshold=",
            field="loop",
            value=loop,
        )


def _running() -> asyncio.AbstractEventLoop:
    with contextlib.suppress(RuntimeError):
        return asyncio.get_running_loop()
    raise _nothing_to_watch("there is no running event loop to watch")


def _nothing_to_watch(message: str) -> ConfigError:
    hint = "start inside of a running one, or give loop="
    return ConfigError(message, hint=hint, field="loop")


def _warn(blocked: Blocked) -> None:
    LOG.warning("%s", blocked)
