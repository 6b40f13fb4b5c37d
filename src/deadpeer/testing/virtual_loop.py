"""
An asyncio event loop whose time is a number: a day of timers takes milliseconds.

When nothing is ready, the loop does not wait; it moves its clock to the next
timer or arrival. Everything else is asyncio's own selector loop. There is
nothing outside such a loop, so what reaches outside (sockets, threads,
processes, signals) is refused: it would come in at an instant of its own.
Bytes travel over a ``FakeLink``.
"""

import asyncio
import contextvars
import heapq
import itertools
import math
import selectors
import threading
import types
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from deadpeer.errors import (
    ConfigError,
    LocalProtocolError,
    SimulationStuck,
    UnsupportedError,
)
from deadpeer.policy.keepalive import require_seconds
from deadpeer.policy.numbers import require_whole

__all__ = ["VirtualLoop", "run"]

T = TypeVar("T")

# A day of heartbeats every second takes about a million turns.
MOST_TURNS = 10_000_000
# Nobody waits for so many.
LIMIT = 10**15
# What a stuck simulation may still use to take down its tasks.
LAST_TURNS = 10_000
# How many waiting tasks an error names.
MOST_NAMED = 10


class VirtualLoop(asyncio.SelectorEventLoop):
    """
    An event loop in virtual time.

    ``time()`` stands still while callbacks run, and jumps when none is ready.
    The order is the real selector loop's: what has arrived comes first, then the
    timers that are due. A timer never runs early, not even by the clock's
    resolution. When neither a callback, a timer nor an arrival is left,
    ``SimulationStuck`` tells which tasks wait, and where.

    Args:
        start: What ``time()`` says at first, in seconds.
        limit: The number of turns after which ``SimulationStuck`` is raised,
            so that no test runs for ever.
        io_first: False lets the timers that are due go before what has arrived,
            always. uvloop does so after a callback of I/O which took long, and
            only then; a program that holds in the worst case holds there too.

    Raises:
        ConfigError: *start* is no instant, or *limit* no count.

    Source: CPython Lib/asyncio/base_events.py, BaseEventLoop._run_once();
    libuv src/unix/core.c, uv_run(), since 1.45 (timers run after the poll).
    """

    # What the base class keeps, and its own documentation does not name.
    _scheduled: list[asyncio.TimerHandle]
    _ready: Any
    _clock_resolution: float
    _thread_id: int | None

    def __init__(
        self,
        *,
        start: float = 0.0,
        limit: int = MOST_TURNS,
        io_first: bool = True,
    ) -> None:
        selector = _Outside(self._turn)
        super().__init__(selector)
        selector.sealed = True
        try:
            require_seconds("start", start, zero=True)
            require_whole("limit", limit, 1, LIMIT)
        except ConfigError:
            self.close()
            raise
        self._move_to(float(start))
        self._turns = 0
        self._limit = limit
        self._io_first = io_first
        self._held = False
        self._arrivals: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count()

    def time(self) -> float:
        """Return the virtual time, in seconds."""
        return self._now

    def block(self, seconds: float) -> None:
        """
        Let time pass in which no callback runs, as ``time.sleep`` in one would.

        Timers that mature meanwhile run late, and what arrives meanwhile waits
        in the buffers of the (fake) kernels, which go on working.

        Args:
            seconds: How long, in seconds.

        Raises:
            ConfigError: *seconds* is negative or no number.
        """
        require_seconds("seconds", seconds, zero=True)
        self._move_to(self._now + seconds)

    def call_arrival_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """
        Arrange for a callback of I/O: it runs where that of a ready socket would.

        Args:
            when: When the socket becomes ready, in seconds of this loop.
            callback: What is called.
            args: What it is called with.
            context: What it runs in; the current context by default.

        Returns:
            A handle that can be cancelled.
        """
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._arrivals, (when, next(self._numbers), handle))
        return handle

    def _turn(self, timeout: float | None) -> None:
        """Do what a selector does: wait for something, and say what is ready."""
        self._turns += 1
        if self._turns > self._limit:
            self._limit = self._turns + LAST_TURNS
            raise self._stuck(f"not done after {self._turns - 1} turns")
        while self._arrivals and self._arrivals[0][2].cancelled():
            heapq.heappop(self._arrivals)
        if timeout is None or timeout > 0:
            self._jump()
        if not self._arrivals or self._arrivals[0][0] > self._now:
            return
        if not self._io_first and not self._held and self._timer_is_due():
            self._held = True  # once: timers that block for ever starve nobody
            return
        self._held = False
        while self._arrivals and self._arrivals[0][0] <= self._now:
            self._ready.append(heapq.heappop(self._arrivals)[2])

    def _timer_is_due(self) -> bool:
        return bool(self._scheduled) and self._scheduled[0].when() <= self._now

    def _jump(self) -> None:
        """Move to the next instant at which anything happens."""
        timer = self._scheduled[0].when() if self._scheduled else math.inf
        arrival = self._arrivals[0][0] if self._arrivals else math.inf
        instant = min(timer, arrival)
        if instant == math.inf:
            raise self._stuck("nothing is left to happen")
        self._move_to(max(self._now, instant))

    def _move_to(self, instant: float) -> None:
        self._now = instant
        # asyncio runs a timer early by up to this. One step of the float is the
        # least with which a timer that is due is seen as due at any instant.
        self._clock_resolution = math.ulp(instant)

    def _stuck(self, what: str) -> SimulationStuck:
        waiting = tuple(sorted(describe(task) for task in asyncio.all_tasks(self)))
        named = list(waiting[:MOST_NAMED])
        if len(waiting) > MOST_NAMED:
            named.append(f"and {len(waiting) - MOST_NAMED} more")
        return SimulationStuck(
            f"{what}, at {self._now:g} s of virtual time"
            + (f"; waiting: {', '.join(named)}" if named else ""),
            hint="what they wait for has to happen on this loop",
            waiting=waiting,
        )

    # What would reach outside.

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """
        Refuse another thread than the loop's own: it comes in at an instant of its own.

        Raises:
            UnsupportedError: Another thread asks.
        """
        if self._thread_id not in (None, threading.get_ident()):
            raise _refusal("call_soon_threadsafe in another thread")
        return super().call_soon_threadsafe(callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> NoReturn:  # type: ignore[override]  # noqa: ARG002
        """
        Refuse: a thread takes real time.

        Raises:
            UnsupportedError: Always.
        """
        raise _refusal("run_in_executor (to_thread, getaddrinfo)")

    def add_signal_handler(self, sig: Any, callback: Any, *args: Any) -> NoReturn:  # type: ignore[override]  # noqa: ARG002
        """
        Refuse: a signal comes at an instant of its own.

        Raises:
            UnsupportedError: Always.
        """
        raise _refusal("add_signal_handler")

    async def subprocess_exec(self, *_: Any, **__: Any) -> NoReturn:
        """
        Refuse: a process takes real time.

        Raises:
            UnsupportedError: Always.
        """
        raise _refusal("subprocess_exec")

    async def subprocess_shell(self, *_: Any, **__: Any) -> NoReturn:
        """
        Refuse: a process takes real time.

        Raises:
            UnsupportedError: Always.
        """
        raise _refusal("subprocess_shell")


class _Outside(selectors.SelectSelector):
    """The loop's view of real descriptors: its own, and no other."""

    def __init__(self, turn: Callable[[float | None], None]) -> None:
        super().__init__()
        self.sealed = False
        self._turn = turn

    def register(self, fileobj: Any, events: int, data: Any = None) -> Any:
        if self.sealed:
            raise _refusal("a real socket or pipe")
        return super().register(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[Any]:
        self._turn(timeout)
        return []


def run(
    main: Coroutine[Any, Any, T],
    *,
    start: float = 0.0,
    limit: int = MOST_TURNS,
    io_first: bool = True,
) -> T:
    """
    Run a coroutine on a fresh ``VirtualLoop``, like ``asyncio.run``.

    Args:
        main: The coroutine.
        start: What the loop's ``time()`` says at first, in seconds.
        limit: The number of turns of the loop after which it is stuck.
        io_first: Whether what has arrived goes before the timers that are due.

    Returns:
        What the coroutine returned.

    Raises:
        ConfigError: *start* is no instant, *limit* no count, or *main* no coroutine.
        LocalProtocolError: An event loop runs here already.
        SimulationStuck: Nothing is left to happen, or the limit is reached.

    >>> async def day():
    ...     for _ in range(24):
    ...         await asyncio.sleep(3600)
    ...     return asyncio.get_running_loop().time()
    >>> run(day())
    86400.0
    """

    def fresh() -> VirtualLoop:
        return VirtualLoop(start=start, limit=limit, io_first=io_first)

    if not asyncio.iscoroutine(main):
        raise ConfigError(
            f"main={main!r} is no coroutine",
            hint="call the async function, as in run(main())",
            field="main",
            value=main,
        )
    try:
        _require_no_loop()
        with asyncio.Runner(loop_factory=fresh) as runner:
            return runner.run(main)
    finally:
        main.close()  # a coroutine that never ran would warn


def _require_no_loop() -> None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    raise LocalProtocolError(
        f"run() makes a loop, and {loop!r} runs here already",
        hint="await the coroutine, or call run() where no loop runs",
    )


def describe(task: asyncio.Task[Any]) -> str:
    """
    Return a task's name, and the line on which it waits; not one of asyncio's own.

    Args:
        task: A task that is not done.
    """
    waits: Any = task.get_coro()
    frame: types.FrameType | None = None
    while waits is not None:
        inner: types.FrameType | None = getattr(waits, "cr_frame", None)
        if inner and not inner.f_globals.get("__name__", "").startswith("asyncio."):
            frame = inner
        waits = getattr(waits, "cr_await", None)
    if frame is None:
        return task.get_name()
    code = frame.f_code
    place = f"{Path(code.co_filename).name}:{frame.f_lineno}"
    return f"{task.get_name()} in {code.co_name} ({place})"


def _refusal(what: str) -> UnsupportedError:
    return UnsupportedError(
        f"{what} has no place on a loop in virtual time",
        hint="join the two ends by a FakeLink, or use a real loop",
        option=what,
        platform="VirtualLoop",
    )
