"""
What a guard and a watch have in common: how a program begins, follows and ends them.

Who judges, and by what, is theirs.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import TracebackType
from typing import ClassVar, Self

from deadpeer.aio.reporting import Reporter
from deadpeer.core.events import Change, Reason
from deadpeer.core.states import State
from deadpeer.core.verdicts import reason_of
from deadpeer.errors import LocalProtocolError, PeerDead
from deadpeer.kernel.verdicts import verdict_on

__all__ = ["CLOSED", "Judging", "loop_for"]

CLOSED = "the connection was closed"


class Judging:
    """A judgement that a program starts and stops, or puts around a block."""

    _word: ClassVar[str]
    _reporter: Reporter

    def __repr__(self) -> str:
        who = self._reporter.peer or "a peer"
        return f"<{type(self).__name__} of {who}: {self.state}>"

    # What judges.

    @property
    def state(self) -> State:
        """What is known of the peer."""
        raise NotImplementedError

    def start(self) -> None:
        """Begin to judge."""
        raise NotImplementedError

    def stop(self, reason: str = "") -> None:
        """Judge no more."""
        raise NotImplementedError

    def _fail(self, reason: Reason) -> None:
        """Give the kernel's verdict."""
        raise NotImplementedError

    def _is_over(self) -> bool:
        """Tell whether the connection is known to be over."""
        raise NotImplementedError

    # The life of it.

    def _require_fresh(self) -> None:
        if self.state is not State.CONNECTING:
            raise LocalProtocolError(
                f"this {self._word} was used before",
                hint=f"make a new one: {self._word}(...) for each use",
                breach=f"{self._word}-used-twice",
            )

    async def __aenter__(self) -> Self:
        self._require_fresh()
        await self._reporter.enter()
        try:
            self.start()
        except BaseException:
            await self._reporter.leave(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and self._is_over():
            self.lost(error)  # whoever read or wrote has met the kernel's verdict
        self.stop()
        await self._reporter.leave(kind, error, trace)

    def lost(self, error: BaseException | None = None) -> None:
        """
        Tell that the connection is over, as ``connection_lost`` does.

        Without it that is seen at the next look. A reset, or the end of the
        kernel's own patience, is a verdict; anything else ends the judgement.

        Args:
            error: Why, or None for a good end.
        """
        kind = verdict_on(error) if isinstance(error, OSError) else None
        reason = reason_of(kind)
        if reason is None:
            self.stop(CLOSED)
        else:
            self._fail(reason)

    # What a program asks.

    @property
    def verdict(self) -> PeerDead | None:
        """The verdict, once there is one."""
        return self._reporter.verdict

    async def wait_dead(self) -> PeerDead | None:
        """
        Wait for the end; return the verdict, or None if nobody died.

        Raises:
            LocalProtocolError: It was not started, so there would be no end.
        """
        if self.state is State.CONNECTING:
            raise LocalProtocolError(
                f"this {self._word} was not started",
                hint="call start() first, or put it around a block",
                breach=f"{self._word}-not-started",
            )
        return await self._reporter.wait_dead()

    def changes(self) -> AsyncIterator[Change]:
        """Return an iterator of the changes from now on; it ends with the last."""
        return self._reporter.changes()


def loop_for(word: str) -> asyncio.AbstractEventLoop:
    """
    Return the running loop.

    Args:
        word: For what.

    Raises:
        LocalProtocolError: There is none.
    """
    with contextlib.suppress(RuntimeError):
        return asyncio.get_running_loop()
    raise LocalProtocolError(
        f"there is no running event loop for a {word}",
        hint=f"call {word}(...) in a coroutine; deadpeer.sync has one for threads",
        breach="no-running-loop",
    )
