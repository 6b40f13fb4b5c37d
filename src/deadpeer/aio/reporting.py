"""
How a verdict reaches a program: a callback, an iterator, an exception in a block.

Whoever judges a connection that is not its own, by questions or by the kernel's
evidence, reports through this, so that both are used alike.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any

from deadpeer.aio.arguments import require_plain
from deadpeer.aio.changes import Changes
from deadpeer.core.events import Change, Closed, Died
from deadpeer.core.verdicts import error_of
from deadpeer.errors import PeerDead

__all__ = ["Reporter"]

INSTEAD = (
    "give a plain function, such as one that creates a task, or "
    "await wait_dead or follow changes"
)


class Reporter:
    """
    Tell a program what changed.

    Args:
        peer: The other end's address, as text.
        on_dead: Called with the verdict, in place of raising it in a block.
        on_change: Called with each change.

    Attributes:
        peer: The other end's address, as text.
        verdict: The verdict, once there is one.
        hint: What a verdict says besides, if it is to say more than usual.

    Raises:
        ConfigError: A callback cannot be called, or is a coroutine function.
    """

    def __init__(
        self,
        *,
        peer: str,
        on_dead: Callable[[PeerDead], object] | None,
        on_change: Callable[[Change], object] | None,
    ) -> None:
        require_plain("on_dead", on_dead, "verdict", instead=INSTEAD)
        require_plain("on_change", on_change, "change", instead=INSTEAD)
        self.peer = peer
        self.verdict: PeerDead | None = None
        self.hint = ""
        self._on_dead = on_dead
        self._on_change = on_change
        self._changes = Changes()
        self._ended = False
        self._timeout: asyncio.Timeout | None = None

    def tell(self, change: Change) -> None:
        """
        Tell all who want to know.

        Args:
            change: What changed.
        """
        if self._ended:
            return  # a callback ended it while this was on its way
        self._ended = isinstance(change, Died | Closed)
        if isinstance(change, Died):
            self.verdict = error_of(change, peer=self.peer)
            self.verdict.hint = self.hint or self.verdict.hint
        # First, since a callback may bring about the next change.
        self._changes.tell(change, last=self._ended)
        self._call("on_change", self._on_change, change)
        if self.verdict is not None:
            if self._timeout is not None:
                self._timeout.reschedule(0.0)
            self._call("on_dead", self._on_dead, self.verdict)

    def changes(self) -> AsyncIterator[Change]:
        """Return an iterator of the changes from now on."""
        return self._changes.follow(ended=self._ended)

    async def wait_dead(self) -> PeerDead | None:
        """Wait for the end; return the verdict, or None if nobody died."""
        async for _ in self.changes():
            pass
        return self.verdict

    async def enter(self) -> None:
        """Begin a block that a verdict ends, unless a callback takes it."""
        if self._on_dead is None:
            self._timeout = asyncio.timeout(None)
            await self._timeout.__aenter__()

    async def leave(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """
        End the block; raise the verdict if there is one.

        Args:
            kind: The class of what was raised in the block.
            error: What was raised.
            trace: Where.

        Raises:
            PeerDead: The verdict.
        """
        timeout, self._timeout = self._timeout, None
        if timeout is None:
            return
        try:
            await timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            if self.verdict is None:
                raise
            raise self.verdict from None
        # What the abort did to a read or write in the block is the verdict's,
        # under whatever name a library or a task group gives it.
        if self.verdict is not None and (error is None or isinstance(error, Exception)):
            raise self.verdict from error

    def _call(
        self, name: str, callback: Callable[[Any], object] | None, news: object
    ) -> None:
        """Call back; what is raised there must not keep a verdict from others."""
        if callback is None:
            return
        try:
            callback(news)
        except Exception as error:  # noqa: BLE001
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"{name} failed", "exception": error}
            )
