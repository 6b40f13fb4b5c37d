"""A connection that speaks our protocol, as a program uses it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Any, Self

from deadpeer.aio.changes import Changes
from deadpeer.aio.inbox import Inbox
from deadpeer.aio.peer_protocol import PeerProtocol
from deadpeer.aio.settings import Settings
from deadpeer.aio.stats import Stats
from deadpeer.core import judge as codes
from deadpeer.core.events import Change
from deadpeer.core.frames import Farewell, encode_bye, farewell_word
from deadpeer.errors import (
    DeadPeerError,
    LocalProtocolError,
    PeerClosed,
    PeerDead,
)
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.policy.keepalive import require_seconds

__all__ = ["Connection"]


class Connection(PeerProtocol, asyncio.Protocol):
    """
    A connection to a peer; made by ``connect_peer`` and ``serve_peers``.

    Args:
        settings: What is shared with other connections.

    Attributes:
        session: Yours: whatever belongs to this peer.
    """

    __slots__ = ("__weakref__", "_gone", "session")

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.session: Any = None
        self._gone: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Connection to {self.peer or 'a peer'}: {self.state}>"

    # What is known.

    @property
    def heartbeat(self) -> Heartbeat:
        """What is in force: my wish until the peer has agreed."""
        return self.monitor.heartbeat

    @property
    def error(self) -> DeadPeerError | None:
        """How the connection ended, or None while it stands."""
        return self._error

    @property
    def transport(self) -> Any:
        """The asyncio transport."""
        return self._transport

    def stats(self) -> Stats:
        """Return a snapshot of what is known, and of what waits."""
        now = self.warden.clock()
        row = self.monitor.row
        inbox, outbox = self._inbox, self._outbox
        return Stats(
            peer=self.peer,
            state=self.state,
            connected_for=max(0.0, now - self._opened_at),
            silence=now - row.heard_at,
            rtt=self.rtt,
            unread_messages=0 if inbox is None else len(inbox),
            unsent_messages=0 if outbox is None else len(outbox),
            unsent_bytes=self._transport.get_write_buffer_size(),
            reading_paused=inbox is not None and inbox.paused,
        )

    def changes(self) -> AsyncIterator[Change]:
        """Return an asynchronous iterator of the changes from now on."""
        if self._changes is None:
            self._changes = Changes()
        return self._changes.follow(ended=self._error is not None)

    # Messages.

    async def send(self, message: bytes) -> None:
        """
        Send a message; wait while there is no room for it.

        It returns when the message was handed to the transport, not when the
        peer has it. Cancelled, the message is sent whole or not at all.

        Args:
            message: Its bytes.

        Raises:
            PeerDead: The peer is dead.
            PeerClosed: The connection was closed.
            RemoteProtocolError: The peer broke the protocol.
            LocalProtocolError: The message is larger than the peer takes.
            ConfigError: *message* is not bytes.
        """
        self._require_open()
        await self._box().send(self._fragments(message))

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
        self._require_open()
        return self._box().offer(self._fragments(message))

    def _require_open(self) -> None:
        if self._error is not None:
            raise self._error.with_traceback(None)

    def _fragments(self, message: bytes) -> Iterator[bytes]:
        return self._conversation.fragments(message)

    async def recv(self) -> bytes:
        """
        Return the next message.

        What arrived before the end is returned before the end is told.
        Cancelled, nothing is lost.

        Raises:
            PeerDead: The peer is dead.
            PeerClosed: The connection was closed.
            RemoteProtocolError: The peer broke the protocol.
            LocalProtocolError: Another task waits for a message already, or
                messages go to a callback.
        """
        inbox = self._box_to_read()
        while (news := self._news(inbox)) is not None:
            await news
        return self._take(inbox)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        # Not by way of recv: in each idle connection a coroutine waits for each call.
        inbox = self._box_to_read()
        try:
            while (news := self._news(inbox)) is not None:
                await news
        except PeerClosed:
            raise StopAsyncIteration from None
        return self._take(inbox)

    def _box_to_read(self) -> Inbox:
        if self._settings.on_message is not None:
            raise LocalProtocolError(
                "recv was called, but messages go to on_message",
                hint="use one of the two",
                breach="two-readers",
            )
        return self._unread()

    def _news(self, inbox: Inbox) -> "asyncio.Future[None] | None":
        """Return what to wait for, or None if there is a message; raise the end."""
        if len(inbox):
            return None
        if self._error is not None:
            raise self._error.with_traceback(None)
        return inbox.wait()

    def _take(self, inbox: Inbox) -> bytes:
        message, resumed = inbox.take(self._transport)
        if resumed:
            # A frame that stopped half way was not the peer's fault.
            self._conversation.resumed(now=self.warden.clock())
            self._find_chores()
        return message

    # The end.

    async def wait_dead(self) -> PeerDead | None:
        """Wait for the end; return the verdict, or None if nobody died."""
        await self.wait_closed()
        return self._error if isinstance(self._error, PeerDead) else None

    async def wait_closed(self) -> None:
        """Wait until the connection is over and its socket closed."""
        if self._is_gone:
            return
        if self._gone is None:
            self._gone = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._gone)

    async def close(
        self,
        reason: int = Farewell.DONE,
        text: str = "",
        *,
        within: float | None = None,
    ) -> None:
        """
        Say goodbye, and close once the peer has everything.

        It has when it answers the goodbye or closes. What it sends meanwhile is
        read and dropped: a socket that is closed with something unread resets the
        connection, and what was on its way would be lost. A peer that is dead
        or suspect is not waited for.

        Args:
            reason: One of ``Farewell``, or an application's own, 128 to 255.
            text: For a person to read.
            within: Seconds to wait for all of that; None is the heartbeat's
                timeout. Then, or if this is cancelled, the connection is aborted.

        Raises:
            ConfigError: *within* is no number of seconds.
            LocalProtocolError: *reason* is no number of 0 to 255, or *text* is none.
        """
        encode_bye(reason, text)  # a mistake is told whatever state this is in
        patience = self.heartbeat.timeout
        if within is not None:
            patience = require_seconds("within", within, zero=True)
        if self._is_gone:
            return
        state = self.monitor.row.state
        if state == codes.ALIVE:
            self._say_goodbye(reason, text)
        elif state != codes.CLOSED:  # then the goodbye is on its way already
            self.abort()
        try:
            async with asyncio.timeout(patience):
                await self.wait_closed()
        except TimeoutError:
            self._transport.abort()
            await self.wait_closed()
        except asyncio.CancelledError:
            self._transport.abort()
            raise

    def abort(self) -> None:
        """Close at once, without a word."""
        if self._error is None:
            self._stop(PeerClosed("this end aborted", reason="aborted", peer=self.peer))
        self._transport.abort()

    def _say_goodbye(self, reason: int, text: str) -> None:
        bye = self._conversation.goodbye(reason, text)
        word = farewell_word(reason)
        self._stop(PeerClosed("this end said goodbye", reason=word, peer=self.peer))
        if self._inbox is not None:
            self._inbox.go_on(self._transport)  # or its answer is never read
        self._box().finish(bye)

    def _stop(self, error: PeerClosed) -> None:
        self._end(error)
        now = self.warden.clock()
        self._carry_out(self.monitor.close(error.reason, now=now))

    def connection_lost(self, exc: Exception | None) -> None:
        """
        Tell those who wait for the end.

        Args:
            exc: What the loop says, or None.
        """
        super().connection_lost(exc)
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
