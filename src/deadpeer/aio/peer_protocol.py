"""
Our protocol on a transport: carries between bytes, conversation and judge.

Theory of operation. The conversation turns bytes into arrivals and says what may be
sent; the monitor judges; the inbox and the outbox bound what waits. This class
carries between them, and ``end`` is called once, with the error that every
later call of the program raises.
"""

import asyncio
import functools
import random
from collections.abc import Callable, Sequence
from typing import Any

from deadpeer.aio.changes import Changes
from deadpeer.aio.ending import ending_of
from deadpeer.aio.evidence import traffic_of
from deadpeer.aio.inbox import Inbox
from deadpeer.aio.judged import FEWEST_TURNS, Judged
from deadpeer.aio.outbox import Outbox
from deadpeer.aio.settings import Settings
from deadpeer.core import judge as codes
from deadpeer.core.agreement import agree, promise
from deadpeer.core.arrivals import (
    Arrival,
    Goodbye,
    Greeted,
    Message,
    Pinged,
    Ponged,
)
from deadpeer.core.beats import Beats
from deadpeer.core.conversation import Conversation
from deadpeer.core.events import Change, Closed, Died, Reason
from deadpeer.core.frames import Farewell, farewell_word
from deadpeer.core.monitor import Monitor
from deadpeer.core.stages import Stage
from deadpeer.core.verdicts import error_of
from deadpeer.errors import DeadPeerError, PeerClosed, RemoteProtocolError
from deadpeer.kernel.sockets import peer_name

__all__ = ["PeerProtocol"]

# Bytes in the transport's own buffer above which fragments wait.
HIGH = 16 * 1024

OPEN = Stage.OPEN

# A thousand clients that say the same share one agreement.
agreed = functools.lru_cache(maxsize=1024)(agree)


class PeerProtocol(Judged, asyncio.Protocol):
    """
    The protocol of one transport.

    Args:
        settings: What is shared with others.
    """

    __slots__ = (
        "__weakref__",
        "_beats",
        "_busy",
        "_changes",
        "_chore_at",
        "_conversation",
        "_error",
        "_inbox",
        "_is_gone",
        "_opened_at",
        "_outbox",
        "_settings",
        "_transport",
    )

    def __init__(self, settings: Settings) -> None:
        monitor = Monitor(
            settings.heartbeat, now=0.0, connecting=True, detector=settings.detector
        )
        super().__init__(monitor, asyncio.get_running_loop())
        self._settings = settings
        self._transport: Any = None
        self._conversation: Conversation = None  # type: ignore[assignment]
        # What few connections need is made when it is needed.
        self._inbox: Inbox | None = None
        self._outbox: Outbox | None = None
        self._changes: Changes | None = None
        self._beats: tuple[Beats, float] | None = None
        self._chore_at = codes.NEVER
        self._error: DeadPeerError | None = None
        self._opened_at = codes.NEVER
        self._busy = False  # something beside heartbeats was sent of late
        self._is_gone = False

    @property
    def peer(self) -> str:
        """The other end's address, as text; empty for a Unix socket."""
        return peer_name(self._transport) if self._transport is not None else ""

    # What the transport tells.

    def connection_made(self, transport: Any) -> None:
        """
        Greet the peer; it has to greet too, within the handshake's time.

        Args:
            transport: The new transport.
        """
        self._transport = transport
        transport.set_write_buffer_limits(high=HIGH)
        settings = self._settings
        now = self.warden.clock()
        self.monitor.row.heard_at = now
        self._conversation = Conversation(settings.hello, settings.limits, now=now)
        settings.prepare(transport.get_extra_info("socket"))
        transport.write(self._conversation.greeting())
        self._find_chores()

    def data_received(self, data: bytes) -> None:
        """
        Take bytes; any of them is life.

        Args:
            data: What was read.
        """
        monitor = self.monitor
        row = monitor.row
        conversation = self._conversation
        now = row.heard_at = self.warden.clock()
        try:
            arrivals = conversation.receive(data, now=now)
        except RemoteProtocolError as error:
            self._broken(error, now)
            return
        if type(arrivals) is tuple and type(arrivals[0]) is Ponged:
            # Nearly every read of an idle connection: one heartbeat, nothing behind.
            monitor.answered(arrivals[0].sequence, now=now)
        else:
            self._take_all(arrivals)
        if row.state == codes.SUSPECT:
            self.hear(now)

    def _take_all(self, arrivals: Sequence[Arrival]) -> None:
        conversation = self._conversation
        now = self.monitor.row.heard_at
        for arrival in arrivals:
            if isinstance(arrival, Ponged):
                self.monitor.answered(arrival.sequence, now=now)
            elif isinstance(arrival, Pinged):
                self._answer(arrival.sequence)
            elif isinstance(arrival, Message):
                self._deliver(arrival.data)
            elif isinstance(arrival, Greeted):
                self._agree(arrival, now)
            elif isinstance(arrival, Goodbye):
                self._part(arrival, now)
        if conversation.error is not None:
            self._broken(conversation.error, now)
        self._find_chores()

    def eof_received(self) -> bool | None:
        """The peer will send nothing more: the transport closes."""
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        """
        Find out what it means, and tell.

        Args:
            exc: What the loop says, or None.
        """
        now = self.warden.clock()
        if self._error is None:
            error, reason = ending_of(exc, self.peer)
            self.end(error)
            if reason is None:
                self.carry_out(self.monitor.close(str(error.message), now=now))
            else:
                self.carry_out(self.monitor.failed(reason, now=now))
        if self._outbox is not None:
            self._outbox.fail(self._error or PeerClosed("closed"))
        self._is_gone = True
        self.armed_at = codes.NEVER
        if self._settings.on_gone is not None:
            self._settings.on_gone(self)  # type: ignore[arg-type]

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self.box().has_room = False

    def resume_writing(self) -> None:
        """The transport has room again."""
        box = self.box()
        box.has_room = True
        box.pump()

    # What arrives.

    def _agree(self, greeted: Greeted, now: float) -> None:
        settings = self._settings
        try:
            heartbeat = agreed(settings.heartbeat, greeted.hello, settings.limits)
        except RemoteProtocolError as error:
            self._broken(error, now, reason=Farewell.UNACCEPTABLE)
            return
        monitor = self.monitor
        monitor.heartbeat = heartbeat
        monitor.row.margin = heartbeat.floor
        self._opened_at = now
        period = promise(settings.hello, greeted.hello)
        if period is not None:
            beats = Beats.starting(interval=period, now=now, jitter=random.random())  # noqa: S311 - spreads load, hides nothing
            self._beats = beats, beats.first_at
        events = monitor.opened(now=now)
        if settings.on_open is not None:
            settings.on_open(self)  # type: ignore[arg-type]
        self.carry_out(events)
        self.arm()

    def _answer(self, sequence: int) -> None:
        if self._conversation.sending is OPEN:
            self._transport.write(self._conversation.pong(sequence))

    def _deliver(self, message: bytes) -> None:
        on_message = self._settings.on_message
        if on_message is None:
            if self._inbox is None:
                self._inbox = Inbox(self._settings.high)
            self._inbox.put(message, self._transport)
            return
        self._call(on_message, message)

    def _call(self, callback: Callable[..., object], told: object) -> None:
        try:
            callback(self, told)
        except Exception as error:  # noqa: BLE001 - the callback's fault, not the peer's
            message = f"{callback!r} failed"
            asyncio.get_running_loop().call_exception_handler(
                {"message": message, "exception": error}
            )

    def _part(self, goodbye: Goodbye, now: float) -> None:
        word = farewell_word(goodbye.reason)
        said = f": {goodbye.text}" if goodbye.text else ""
        message = f"{self.peer or 'the peer'} said goodbye ({word}{said})"
        self.end(PeerClosed(message, reason=word, peer=self.peer))
        self.carry_out(self.monitor.close(word, now=now))
        self.leave(Farewell.DONE)

    def _broken(
        self,
        error: RemoteProtocolError,
        now: float,
        reason: int = Farewell.PROTOCOL_VIOLATED,
    ) -> None:
        if self._error is not None:
            return
        error.peer = self.peer
        self.end(error)
        self.carry_out(self.monitor.failed(Reason.PROTOCOL_VIOLATED, now=now))
        self.leave(reason)

    # What the judge asks.

    def judged_transport(self) -> Any:
        """Return the transport, or None if it is closed."""
        return None if self._is_gone else self._transport

    def send_ping(self, sequence: int, now: float) -> None:
        """
        Ask the peer.

        Args:
            sequence: The number of the question.
            now: The present, in seconds.
        """
        conversation, transport = self._conversation, self._transport
        if conversation.sending is not OPEN or conversation.receiving is not OPEN:
            return  # one side has left; the deadline runs all the same
        transport.write(conversation.ping(sequence))
        covers = None
        if self._busy:
            # The ping stands behind what was sent; find out where.
            self._busy = False
            traffic = traffic_of(transport, now=now)
            if traffic.acked is not None and traffic.outstanding is not None:
                waiting = traffic.outstanding + transport.get_write_buffer_size()
                covers = traffic.acked + waiting
        self.monitor.pinged(now=now, covers=covers)

    def arm(self) -> None:
        """Have the warden call when somebody wants to look."""
        at = self.monitor.row.wake_at
        if self._chore_at < at:  # noqa: PLR1730 - twice a heartbeat
            at = self._chore_at
        if at != self.armed_at and not self._is_gone:
            self.warden.wake(self, at=at)

    def due(self, now: float) -> None:
        """
        Look at the peer, and do what else is due.

        Args:
            now: The present, in seconds.
        """
        if now >= self._chore_at:
            self._do_chores(now)
        if not self._is_gone:
            super().due(now)

    def _find_chores(self) -> None:
        """Find out what is due when, beside the judgement: a beat, or half a frame."""
        at = self._conversation.deadline
        if self._inbox is not None and self._inbox.paused:
            at = codes.NEVER  # its end may lie in what we do not read
        if self._beats is not None:
            at = min(at, self._beats[1])
        self._chore_at = at
        if at < self.armed_at:
            self.arm()

    def _do_chores(self, now: float) -> None:
        if now >= self._conversation.deadline:
            asyncio.get_running_loop().call_soon(self._expire, FEWEST_TURNS)
        if self._beats is not None and now >= self._beats[1]:
            self._beat(self._beats, now)
        self._chore_at = codes.NEVER if self._beats is None else self._beats[1]

    def _beat(self, planned: tuple[Beats, float], now: float) -> None:
        beats, at = planned
        conversation = self._conversation
        if conversation.sending is not OPEN or conversation.receiving is not OPEN:
            self._beats = None
            return
        self._beats = beats, beats.next_after(now=max(now, at))
        self._transport.write(conversation.beat())

    def _expire(self, turns: int) -> None:
        """End a handshake or frame that takes too long, once everything is read."""
        if turns > 0:
            asyncio.get_running_loop().call_soon(self._expire, turns - 1)
            return
        now = self.warden.clock()
        if self._inbox is not None and self._inbox.paused:
            return
        try:
            self._conversation.expired(now=now)
        except RemoteProtocolError as error:
            self._broken(error, now)
        else:
            self._find_chores()

    def changed(self, change: Change) -> None:
        """
        Tell the program; a dead peer's connection is over.

        Args:
            change: What changed.
        """
        if isinstance(change, Died) and self._error is None:
            self.end(error_of(change, peer=self.peer))
            self._transport.abort()
        on_change = self._settings.on_change
        if on_change is not None:
            self._call(on_change, change)
        if self._changes is not None:
            self._changes.tell(change, last=isinstance(change, Died | Closed))

    # The end.

    def box(self) -> Outbox:
        """Return the outbox, and make it if there is none yet."""
        if self._outbox is None:
            self._outbox = Outbox(self._transport)
        return self._outbox

    def end(self, error: DeadPeerError) -> None:
        """
        Remember how it ended, and tell the reader.

        Args:
            error: What every later call raises.
        """
        self._error = error
        if self._inbox is not None:
            self._inbox.wake()

    def leave(self, reason: int) -> None:
        """
        Close after a last word, without waiting for a peer that does not read.

        Args:
            reason: The last word, one of ``Farewell``.
        """
        transport = self._transport
        if self._conversation.sending is OPEN:
            transport.write(self._conversation.goodbye(reason))
        if transport.get_write_buffer_size():
            transport.abort()
        else:
            transport.close()
