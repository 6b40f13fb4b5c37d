"""
How a verdict reaches a thread: at the end of a block, by a callback, or awaited.

A thread that waits in a system call can be told nothing. So a dead peer's socket
is shut down, which wakes the thread, and whatever it is told then, an error or
an end of file, is turned into the verdict at the end of its block.
"""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Protocol, Self

from deadpeer.core.events import Change, Evidence
from deadpeer.core.states import State
from deadpeer.errors import PeerDead
from deadpeer.sync.background import Background
from deadpeer.sync.changes import Following, as_told

__all__ = ["Judging"]


class Ended(Protocol):
    """A connection that can tell whether it still stands."""

    def is_gone(self) -> bool:
        """Tell whether the kernel has ended the connection."""


class Judging:
    """
    What a guard and a watch have in common.

    Args:
        background: Where it is judged.
        inner: Who judges there.
        connection: What is judged.
        raises: Whether a verdict is raised from a block.
    """

    def __init__(
        self, background: Background, inner: Any, connection: Ended, *, raises: bool
    ) -> None:
        self._background = background
        self._aio = inner
        self._connection = connection
        self._raises = raises

    def __repr__(self) -> str:
        return repr(self._aio)

    def start(self) -> None:
        """
        Begin to judge; silence counts from now.

        Raises:
            LocalProtocolError: It was started before.
            KernelRefused: A watch found no descriptor left, or the kernel refused
                the probes.
            UnsupportedError: This kind of socket takes none.
            AccessDenied: A privilege is missing.
        """
        self._background.ask(self._aio.start)

    def stop(self, reason: str = "") -> None:
        """
        Judge no more; the connection is left as it is.

        Args:
            reason: What is told to those who wait for changes.
        """
        self._background.ask(self._aio.stop, reason)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException as error:
            if not isinstance(error, Exception):  # interrupted, and begun perhaps
                self._background.tell(self._aio.stop)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._background.is_lost:
            return  # it goes on in the parent
        if isinstance(error, OSError) and self._connection.is_gone():
            self.lost(error)  # whoever read or wrote has met the kernel's verdict
        self.stop()
        verdict = self.verdict
        if verdict is None or not self._raises:
            return
        # What the shutdown did to a read or write in the block is the verdict's,
        # under whatever name a library gives it.
        if error is None or isinstance(error, Exception):
            raise verdict from error

    def lost(self, error: BaseException | None = None) -> None:
        """
        Tell that the connection is over.

        A reset, or the end of the kernel's own patience, is a verdict; anything
        else ends the judgement.

        Args:
            error: Why, or None for a good end.
        """
        self._background.ask(self._aio.lost, error)

    @property
    def state(self) -> State:
        """What is known of the peer."""
        self._background.require_here()
        found: State = self._aio.state
        return found

    @property
    def verdict(self) -> PeerDead | None:
        """The verdict, once there is one."""
        found: PeerDead | None = self._aio.verdict
        return found

    def evidence(self) -> Evidence:
        """Return what is known right now, as a verdict would show it."""
        found: Evidence = self._background.ask(self._aio.evidence)
        return found

    def changes(self) -> Iterator[Change]:
        """Return an iterator of the changes from now on; it ends with the judgement."""
        told = self._background.ask(self._aio.changes)
        return Following(self._background, told, as_told)

    def wait_dead(self, timeout: float | None = None) -> PeerDead | None:
        """
        Wait for the end; return the verdict, or None if nobody died.

        Args:
            timeout: Seconds to wait; None waits for ever.

        Raises:
            ConfigError: *timeout* is no number of seconds.
            TimeoutError: It goes on for longer than that.
            LocalProtocolError: It was not started, so there would be no end; or
                this is a callback or runs inside an event loop, which must not wait.
        """
        found: PeerDead | None = self._background.call(self._aio.wait_dead, timeout)
        return found
