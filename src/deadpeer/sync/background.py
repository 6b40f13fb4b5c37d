"""
One event loop in a thread of its own, for all threads of a process.

Theory of operation. The loop starts when it is first needed and ends with the
interpreter. A thread hands it a coroutine and waits for what becomes of it: a
cancellation is waited for too, so it is always known whether something was
taken out of a queue. A child of fork gets a fresh loop when it first needs one;
what belongs to its parent's it cannot use, and its copies of the sockets are
put away, so that a close in the parent reaches the peer.
"""

import asyncio
import atexit
import contextlib
import functools
import os
import selectors
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

from deadpeer.errors import DeadPeerError
from deadpeer.policy.keepalive import require_seconds
from deadpeer.sync.errand import Errand, Question
from deadpeer.sync.refusals import (
    blocks_a_loop,
    is_over,
    is_the_parents,
    waits_for_itself,
)
from deadpeer.sync.workers import Workers

__all__ = ["Background", "Resident", "background"]

Result = TypeVar("Result")

# Seconds for all goodbyes when the interpreter ends, and for the thread then.
FAREWELL = 0.5
PATIENCE = 2.0


class Resident(Protocol):
    """Something that lives on the loop, and owns sockets there."""

    def descriptors(self) -> Iterable[int]:
        """Return the descriptors of its sockets, for a child of fork."""

    async def leave(self, within: float) -> None:
        """Say goodbye: the interpreter ends."""


class Background:
    """
    A loop in its thread; made by ``background``.

    Attributes:
        loop: The loop; its clock is ``time.monotonic``.
        workers: Threads for what may block.
        is_lost: Whether it stayed behind in the process that was forked.
        servers: Those that run: they go on when a program holds them no more.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.loop: asyncio.AbstractEventLoop
        if sys.platform == "win32":
            self.loop = asyncio.new_event_loop()
        else:
            self.loop = asyncio.SelectorEventLoop(self._selector)
        self.workers = Workers()
        self.is_lost = False
        self._is_leaving = False
        self._has_left = False
        self.servers: set[Resident] = set()
        self._residents: WeakSet[Any] = WeakSet()
        self._unawaited: set[Any] = set()  # a loop holds its tasks weakly
        self._thread = threading.Thread(
            target=self._run, name="deadpeer background", daemon=True
        )
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._is_leaving:
                # What would end a program ends no more than the callback here:
                # all peers are judged on this thread, and all threads wait for it.
                with contextlib.suppress(SystemExit, KeyboardInterrupt):
                    self.loop.run_forever()
        finally:
            self.loop.close()

    @property
    def is_here(self) -> bool:
        """Whether the calling thread is the loop's own."""
        return threading.get_ident() == self._thread.ident

    def house(self, resident: Resident) -> None:
        """
        Take in what has to leave when the interpreter ends.

        Args:
            resident: Who; it is held weakly.
        """
        self._residents.add(resident)

    def call(
        self,
        function: Callable[[], Coroutine[Any, Any, Result]],
        timeout: float | None = None,
        *,
        rescue: Callable[[Result], object] | None = None,
    ) -> Result:
        """
        Run a coroutine function on the loop, and wait for its result.

        An exception of the waiting thread, such as ``KeyboardInterrupt``,
        cancels the coroutine.

        Args:
            function: What to run.
            timeout: Seconds after which it is cancelled; 0 takes what is there,
                None waits for ever.
            rescue: Called on the loop with a result that was there already when
                the waiting thread was interrupted.

        Raises:
            ConfigError: *timeout* is no number of seconds.
            TimeoutError: It was cancelled after *timeout*.
            LocalProtocolError: This is the loop's own thread, or another loop
                runs on this one, or there is no such loop any more.
        """
        self.require_here()
        limited = function
        if timeout is not None:
            require_seconds("timeout", timeout, zero=True)
            limited = functools.partial(_limited, function, timeout)
        if timeout != 0:
            self.require_may_wait()
        elif self.is_here:
            raise waits_for_itself()
        errand = Errand(self.loop, limited)
        try:
            errand.start()
            errand.wait()
            result: Result = errand.result()
        except BaseException:
            while not errand.is_given_up:
                try:
                    errand.give_up(rescue)
                except BaseException:  # Ctrl+C again: once more, if it came too soon
                    if errand.is_given_up:
                        raise
            raise
        return result

    def ask(self, function: Callable[..., Result], *args: Any) -> Result:
        """
        Return what a function returns on the loop; it must not wait.

        Once asked, it is called, even if the asking thread is interrupted.

        Args:
            function: What to call, in any thread, the loop's own included.
            *args: What with.

        Raises:
            LocalProtocolError: There is no such loop any more.
        """
        self.require_here()
        if self.is_here:
            return function(*args)
        question = Question(self.loop, functools.partial(function, *args))
        question.start()
        question.wait()
        answer: Result = question.result()
        return answer

    def tell(self, function: Callable[..., object], *args: Any) -> None:
        """
        Have a function called on the loop, and do not wait for that.

        Args:
            function: What to call.
            *args: What with.
        """
        if self.is_lost:
            return
        with contextlib.suppress(RuntimeError):  # the interpreter ends
            self.loop.call_soon_threadsafe(function, *args)

    def spawn(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """
        Have a coroutine run that nobody waits for; on the loop.

        Args:
            coroutine: What.
        """
        task = self.loop.create_task(coroutine)
        self._unawaited.add(task)
        task.add_done_callback(self._unawaited.discard)

    def require_here(self) -> None:
        """
        Refuse what belongs to the process that this one was forked from.

        Raises:
            LocalProtocolError: It does, or the interpreter is ending.
        """
        if self._has_left:
            raise is_over()
        if self.is_lost:
            raise is_the_parents()

    def require_may_wait(self) -> None:
        """
        Refuse to wait where an event loop would have to wait, too.

        Raises:
            LocalProtocolError: This is the loop's own thread, or another loop
                runs on this one.
        """
        if self.is_here:
            raise waits_for_itself()
        if is_in_a_loop():
            raise blocks_a_loop()

    # The end.

    def put_away(self) -> None:
        """
        Let go, in a child of fork, of everything that the parent goes on using.

        The loop's epoll is left alone: it is shared with the parent, and what is
        done to it is done to the parent's.
        """
        self.is_lost = True
        nothing = os.open(os.devnull, os.O_RDWR)
        found = {fd for resident in list(self._residents) for fd in _of(resident)}
        found |= {key.fd for key in self._selector.get_map().values()}
        for number in found - {-1}:
            # The number stays taken, so that whoever closes it later, the
            # collector of garbage for instance, closes nobody else's.
            with contextlib.suppress(OSError):
                os.dup2(nothing, number, inheritable=False)
        os.close(nothing)

    def stop(self) -> None:
        """Say goodbye to all, and end the thread; for the interpreter's end."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._start_to_leave)
            self._thread.join(PATIENCE)
        self._has_left = True  # or was given up, since a callback blocks it

    def _start_to_leave(self) -> None:
        self._is_leaving = True
        leaving = self.loop.create_task(self._leave())
        leaving.add_done_callback(lambda _: self.loop.stop())

    async def _leave(self) -> None:
        residents = [r.leave(FAREWELL) for r in list(self._residents)]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await asyncio.gather(*residents, return_exceptions=True)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.loop.shutdown_asyncgens()
        await asyncio.sleep(0)  # transports are closed a turn after they are told


def is_in_a_loop() -> bool:
    """Tell whether an event loop of asyncio runs on this thread right now."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _limited(
    function: Callable[[], Coroutine[Any, Any, Result]], seconds: float
) -> Result:
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await function()
    except TimeoutError as error:
        # A peer that timed out is a TimeoutError, too.
        if limit.expired() and not isinstance(error, DeadPeerError):
            raise TimeoutError(f"nothing came within {seconds:g} s") from None
        raise


def _of(resident: Resident) -> list[int]:
    try:
        return list(resident.descriptors())
    except Exception:  # noqa: BLE001 - a child of fork has nobody to complain to
        return []


# The loop of this process.
state: dict[str, Any] = {"lock": threading.Lock(), "loop": None, "is_ending": False}


def background() -> Background:
    """
    Return the loop of this process; it is started when it is first needed.

    Raises:
        LocalProtocolError: The interpreter is ending.
    """
    with state["lock"]:
        if state["is_ending"]:
            raise is_over()
        if state["loop"] is None:
            state["loop"] = Background()
        found: Background = state["loop"]
        return found


def end() -> None:
    """End the loop of this process; called when the interpreter ends."""
    with state["lock"]:
        state["is_ending"] = True
        found, state["loop"] = state["loop"], None
    if found is not None:
        found.stop()


def forget() -> None:
    """Begin anew in a child of fork."""
    state["lock"] = threading.Lock()  # another thread may have held it
    found, state["loop"] = state["loop"], None
    if found is not None:
        found.put_away()


atexit.register(end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget)
