"""
Our protocol on a transport: carries between bytes, conversation and judge.

Theory of operation. The conversation turns bytes into arrivals and says what may be
sent; the monitor judges; the inbox and the outbox bound what waits. ``_end`` is called
once, with the error that every later call of the program raises.
"""

import asyncio
import functools
import random
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from deadpeer.aio.changes import Changes
from deadpeer.aio.ending import ending_of
from deadpeer.aio.evidence import traffic_of, waiting_in
from deadpeer.aio.inbox import Inbox
from deadpeer.aio.outbox import Outbox
from deadpeer.aio.settings import Settings
from deadpeer.aio.timed import OPEN, Timed
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
from deadpeer.core.compiling import mypyc_attr
from deadpeer.core.conversation import Conversation
from deadpeer.core.events import Change, Closed, Died, Reason
from deadpeer.core.frames import Farewell, farewell_word
from deadpeer.core.monitor import Monitor
from deadpeer.core.reader import ANSWER
from deadpeer.core.verdicts import error_of
from deadpeer.errors import (
    DeadPeerError,
    LocalProtocolError,
    PeerClosed,
    RemoteProtocolError,
)
from deadpeer.kernel.sockets import peer_name

__all__ = ["PeerProtocol"]

# Bytes in the transport's own buffer above which fragments wait.
HIGH: Final = 16 * 1024

# Bytes that are taken in one piece, and messages after which the loop has a turn:
# some milliseconds of work, if each message has no bytes at all.
PIECE: Final = 4096
RUN: Final = 1000

# A thousand clients that say the same share one agreement.
agreed = functools.lru_cache(maxsize=1024)(agree)


@mypyc_attr(allow_interpreted_subclasses=True)
class PeerProtocol(Timed):
    """
    The protocol of one transport.

    Args:
        settings: What is shared with others.
    """

    __slots__ = ("_changes", "_opened_at", "_settings")

    def __init__(self, settings: Settings) -> None:
        monitor = Monitor(
            settings.heartbeat, now=0.0, connecting=True, detector=settings.detector
        )
        super().__init__(monitor, asyncio.get_running_loop())
        self._settings = settings
        self._changes: Changes | None = None
        self._opened_at = codes.NEVER

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
        if settings.on_made is not None:
            settings.on_made(self)  # type: ignore[arg-type]

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
        if len(data) > PIECE:
            self._unread().hold(data)
            self._take_pieces(RUN)
            if row.state == codes.SUSPECT:
                self.hear(now)
            return
        number = conversation.heartbeat(data, now=now)
        if number >= ANSWER:
            monitor.answered(number - ANSWER, now=now)
            if row.state == codes.ALIVE:
                # Its data is at hand now; another look would fetch it once more.
                row.wake_at = codes.next_look(monitor.heartbeat, now)
                Timed._arm(self)  # noqa: SLF001 - as in Timed.due
        elif number >= 0:
            self._answer(number)
        else:
            try:
                arrivals = conversation.receive(data, now=now)
            except RemoteProtocolError as error:
                self._broken(error, now)
                return
            self._take_all(arrivals)
        if row.state == codes.SUSPECT:
            self.hear(now)

    def _take_pieces(self, most: int) -> None:
        # A read may hold a hundred thousand messages, and the loop has to have its
        # turns. Nothing is read meanwhile.
        inbox, now = self._unread(), self.monitor.row.heard_at
        taken = 0
        try:
            while taken < most and (piece := inbox.piece(PIECE)):
                arrivals = self._conversation.receive(piece, now=now)
                taken += len(arrivals)
                self._take_all(arrivals)
        except RemoteProtocolError as error:
            self._broken(error, now)
        finally:
            if self._conversation.error is not None:
                inbox.drop()
            if inbox.regulate(self._transport):
                asyncio.get_running_loop().call_soon(self._take_pieces, RUN)

    def _start_to_drain(self) -> None:
        if self._inbox is not None:
            self._take_pieces(sys.maxsize)  # as much as the loop will read for it
        super()._start_to_drain()

    def _take_all(self, arrivals: Sequence[Arrival]) -> None:
        now = self.monitor.row.heard_at
        for arrival in arrivals:
            if isinstance(arrival, Goodbye):
                self._part(arrival, now)
            elif self._error is not None:
                continue  # this end has left, perhaps in one of these callbacks
            elif isinstance(arrival, Ponged):
                self.monitor.answered(arrival.sequence, now=now)
            elif isinstance(arrival, Pinged):
                self._answer(arrival.sequence)
            elif isinstance(arrival, Message):
                self._deliver(arrival.data)
            elif isinstance(arrival, Greeted):
                self._agree(arrival, now)
        if self._conversation.error is not None:
            self._broken(self._conversation.error, now)
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
        if self._inbox is not None:
            self._take_pieces(sys.maxsize)  # it was said before the end
        if self._error is None:
            error, reason = ending_of(exc, self.peer)
            self._end(error)
            if reason is None:
                word = getattr(error, "reason", "destroyed")
                self._carry_out(self.monitor.close(word, now=now))
            else:
                self._carry_out(self.monitor.failed(reason, now=now))
        if self._outbox is not None:
            self._outbox.fail(self._error or PeerClosed("closed"))
        self._is_gone = True
        self.warden.wake(self, at=codes.NEVER)  # the wheel would keep it until its turn
        if self._settings.on_gone is not None:
            self._settings.on_gone(self)  # type: ignore[arg-type]

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._box().has_room = False

    def resume_writing(self) -> None:
        """The transport has room again."""
        box = self._box()
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
        if heartbeat.detection > settings.heartbeat.detection:
            settings.put_net(self._transport.get_extra_info("socket"), heartbeat)
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
        self._carry_out(events)
        self._arm()

    def _answer(self, sequence: int) -> None:
        if self._conversation.sending is OPEN and self._has_room():
            self._transport.write(self._conversation.pong(sequence))

    def _deliver(self, message: bytes) -> None:
        on_message = self._settings.on_message
        if on_message is None:
            self._unread().put(message, self._transport)
            return
        self._call("on_message", on_message, message)

    def _call(self, name: str, callback: Callable[..., object], told: object) -> None:
        try:
            callback(self, told)
        except Exception as error:  # noqa: BLE001 - the callback's fault, not the peer's
            message = f"{name} failed: {self!r}"
            asyncio.get_running_loop().call_exception_handler(
                {"message": message, "exception": error}
            )

    def _part(self, goodbye: Goodbye, now: float) -> None:
        if self._error is not None:
            # It answers our own goodbye, so it has read all that was before.
            self._transport.close()
            return
        word = farewell_word(goodbye.reason)
        said = f": {goodbye.text}" if goodbye.text else ""
        message = f"{self.peer or 'the peer'} said goodbye ({word}{said})"
        self._end(PeerClosed(message, reason=word, peer=self.peer))
        self._carry_out(self.monitor.close(word, now=now))
        self._leave(Farewell.DONE)

    def _broken(
        self,
        error: RemoteProtocolError,
        now: float,
        reason: int = Farewell.PROTOCOL_VIOLATED,
    ) -> None:
        """End a connection whose peer broke the protocol, and tell it why."""
        if self._error is not None:
            self._transport.abort()  # it was not to say any more than goodbye
            return
        error.peer = self.peer
        self._end(error)
        self._carry_out(self.monitor.failed(Reason.PROTOCOL_VIOLATED, now=now))
        self._leave(reason, error.breach)

    # What the judge asks.

    def _ask(self, sequence: int, now: float) -> None:
        """Ask the peer."""
        transport = self._transport
        try:
            transport.write(self._conversation.ping(sequence))
        except LocalProtocolError:
            return  # one side has left; the deadline runs all the same
        covers = None
        outbox = self._outbox
        if outbox is not None and outbox.was_used:
            # The ping stands behind what was sent; find out where.
            outbox.was_used = False
            traffic = traffic_of(transport, now=now)
            if traffic.acked is not None and traffic.outstanding is not None:
                waiting = traffic.outstanding + waiting_in(transport)
                covers = traffic.acked + waiting
        self.monitor.pinged(now=now, covers=covers)

    def _changed(self, change: Change) -> None:
        """Tell the program; a dead peer's connection is over."""
        if isinstance(change, Died) and self._error is None:
            self._end(error_of(change, peer=self.peer))
            # If only our way is open, it need not wait for its own verdict.
            if self._is_clear() and self._conversation.sending is OPEN:
                self._transport.write(
                    self._conversation.goodbye(Farewell.TAKEN_FOR_DEAD)
                )
            self._transport.abort()
        on_change = self._settings.on_change
        if on_change is not None:
            self._call("on_change", on_change, change)
        if self._changes is not None:
            self._changes.tell(change, last=isinstance(change, Died | Closed))

    # The end.

    def _box(self) -> Outbox:
        """Return the outbox, and make it if there is none yet."""
        if self._outbox is None:
            self._outbox = Outbox(self._transport)
        return self._outbox

    def _unread(self) -> Inbox:
        """Return the inbox, and make it if there is none yet."""
        if self._inbox is None:
            self._inbox = Inbox(self._settings.high)
        return self._inbox

    def _is_clear(self) -> bool:
        """Tell whether nothing waits, as far as this end can see."""
        return self._outbox is None or self._outbox.is_clear

    def _end(self, error: DeadPeerError) -> None:
        """Remember how it ended, and tell the reader."""
        self._error = error
        if self._inbox is not None:
            self._inbox.wake()

    def _leave(self, reason: int, text: str = "") -> None:
        """Close after a last word, without waiting for a peer that does not read."""
        transport, outbox = self._transport, self._outbox
        reads = self._is_clear()
        if outbox is not None and self._error is not None:
            outbox.fail(self._error)
        if self._conversation.sending is OPEN:
            transport.write(self._conversation.goodbye(reason, text))
        if not reads:
            transport.abort()
            return
        transport.close()
        self._linger(self.monitor.heartbeat.timeout)
