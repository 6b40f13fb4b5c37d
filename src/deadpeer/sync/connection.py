"""A connection that speaks our protocol, as a program of threads uses it."""

from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Self

from deadpeer.aio.connection import Connection as AioConnection
from deadpeer.aio.stats import Stats
from deadpeer.core.events import Change, Evidence
from deadpeer.core.frames import Farewell
from deadpeer.core.rtt import Rtt
from deadpeer.core.states import State
from deadpeer.errors import DeadPeerError, PeerClosed, PeerDead
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.sync.background import Background
from deadpeer.sync.blocks import ClosedAtTheEnd
from deadpeer.sync.changes import Following, as_told

__all__ = ["Connection", "facing"]


class Connection(ClosedAtTheEnd):
    """
    A connection to a peer; made by ``connect_peer`` and ``serve_peers``.

    Any thread may use it, and several at the same time, but only one may wait for
    messages. What waits can be interrupted (Ctrl+C), and loses no message by that.

    Args:
        background: Where it lives.
        inner: The connection there.

    Attributes:
        session: Yours: whatever belongs to this peer.
    """

    def __init__(self, background: Background, inner: AioConnection) -> None:
        super().__init__(background)
        self.session: Any = None
        self._aio = inner
        self._kept: deque[bytes] = deque()  # messages of interrupted waits
        inner.session = self  # the way back, for callbacks
        background.house(self)

    def __repr__(self) -> str:
        if self._background.is_lost:
            return "<Connection of the process that was forked>"
        return repr(self._aio)

    @property
    def _inner(self) -> AioConnection:
        self._background.require_here()
        return self._aio

    # What is known.

    @property
    def state(self) -> State:
        """What is known of the peer."""
        return self._inner.state

    @property
    def rtt(self) -> Rtt | None:
        """Round trips so far, in seconds, or None without an answered ping."""
        return self._inner.rtt

    @property
    def heartbeat(self) -> Heartbeat:
        """What is in force: my wish until the peer has agreed."""
        return self._inner.heartbeat

    @property
    def error(self) -> DeadPeerError | None:
        """How the connection ended, or None while it stands."""
        return self._inner.error

    @property
    def peer(self) -> str:
        """The other end's address, as text; empty for a Unix socket."""
        return self._inner.peer

    def evidence(self) -> Evidence:
        """Return what is known right now, as a verdict would show it."""
        return self._background.ask(self._aio.evidence)

    def stats(self) -> Stats:
        """Return a snapshot of what is known, and of what waits."""
        return self._background.ask(self._aio.stats)

    def changes(self) -> Iterator[Change]:
        """Return an iterator of the changes from now on; it waits for the next."""
        told = self._background.ask(self._aio.changes)
        return Following(self._background, told, as_told)

    # Messages.

    def send(self, message: bytes) -> None:
        """
        Send a message; wait while there is no room for it.

        It returns when the message was handed to the transport, not when the
        peer has it. Interrupted, the message is sent whole or not at all.

        Args:
            message: Its bytes.

        Raises:
            PeerDead: The peer is dead.
            PeerClosed: The connection was closed.
            RemoteProtocolError: The peer broke the protocol.
            LocalProtocolError: The message is larger than the peer takes, or this
                is a callback, which must not wait.
            ConfigError: *message* is not bytes.
        """
        self._background.call(partial(self._aio.send, message))

    def send_nowait(self, message: bytes) -> bool:
        """
        Send a message if there is room for it, from a callback that cannot wait.

        Args:
            message: Its bytes.

        Returns:
            Whether it was taken. If not, nothing was sent.

        Raises:
            PeerDead: The peer is dead.
            PeerClosed: The connection was closed.
            RemoteProtocolError: The peer broke the protocol.
            LocalProtocolError: The message is larger than the peer takes.
            ConfigError: *message* is not bytes.
        """
        return self._background.ask(self._aio.send_nowait, message)

    def recv(self, timeout: float | None = None) -> bytes:
        """
        Return the next message.

        What arrived before the end is returned before the end is told.
        Interrupted or timed out, nothing is lost.

        Args:
            timeout: Seconds to wait; 0 takes what is there, None waits for ever.

        Raises:
            ConfigError: *timeout* is no number of seconds.
            TimeoutError: No message came in that time.
            PeerDead: The peer is dead.
            PeerClosed: The connection was closed.
            RemoteProtocolError: The peer broke the protocol.
            LocalProtocolError: Another thread waits for a message already, or
                messages go to a callback.
        """
        return self._background.call(self._recv, timeout, rescue=self._kept.append)

    async def _recv(self) -> bytes:
        # On the loop, since what an interrupted wait had is rescued there.
        return self._kept.popleft() if self._kept else await self._aio.recv()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        try:
            return self.recv()
        except PeerClosed:
            raise StopIteration from None

    # The end.

    def wait_dead(self, timeout: float | None = None) -> PeerDead | None:
        """
        Wait for the end; return the verdict, or None if nobody died.

        Args:
            timeout: Seconds to wait; None waits for ever.

        Raises:
            ConfigError: *timeout* is no number of seconds.
            TimeoutError: It stands for longer than that.
        """
        return self._background.call(self._aio.wait_dead, timeout)

    def wait_closed(self, timeout: float | None = None) -> None:
        """
        Wait until the connection is over and its socket closed.

        Args:
            timeout: Seconds to wait; None waits for ever.

        Raises:
            ConfigError: *timeout* is no number of seconds.
            TimeoutError: It stands for longer than that.
        """
        self._background.call(self._aio.wait_closed, timeout)

    def close(
        self,
        reason: int = Farewell.DONE,
        text: str = "",
        *,
        within: float | None = None,
    ) -> None:
        """
        Say goodbye, and close once everything was handed over.

        A peer that is dead or suspect is not waited for.

        Args:
            reason: One of ``Farewell``, or an application's own, 128 to 255.
            text: For a person to read.
            within: Seconds to wait for what is still to be sent; None is the
                heartbeat's timeout.

        Raises:
            ConfigError: *within* is no number of seconds.
            LocalProtocolError: *reason* is no number of 0 to 255; or this is a
                callback or runs inside an event loop, which must not wait.
        """
        self._background.call(partial(self._aio.close, reason, text, within=within))

    def abort(self) -> None:
        """Close at once, without a word."""
        self._background.ask(self._aio.abort)

    # What the background asks.

    def descriptors(self) -> Iterable[int]:
        """Return its socket's descriptor, for a child of fork."""
        transport = self._aio.transport
        sock = None if transport is None else transport.get_extra_info("socket")
        return () if sock is None else (sock.fileno(),)

    async def leave(self, within: float) -> None:
        """
        Say goodbye: the interpreter ends.

        Args:
            within: Seconds to wait for what is still to be sent.
        """
        await self._aio.close(Farewell.GOING_AWAY, within=within)


def facing(background: Background, inner: AioConnection) -> Connection:
    """
    Return the face that a connection shows to threads, always the same; on the loop.

    Args:
        background: Where it lives.
        inner: The connection there.
    """
    if inner.session is None:
        return Connection(background, inner)
    shown: Connection = inner.session
    return shown
