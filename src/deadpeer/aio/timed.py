"""
What a connection does by the clock beside being judged, with the same wake-up.

It sends the beats that were promised, ends a peer that leaves a handshake or a frame
unfinished, and cuts off an end that would take for ever.
"""

import asyncio
from typing import Any, Final

from deadpeer.aio.inbox import Inbox
from deadpeer.aio.judged import FEWEST_TURNS, Judged
from deadpeer.aio.outbox import Outbox
from deadpeer.core import judge as codes
from deadpeer.core.agreement import promise
from deadpeer.core.beats import Beats
from deadpeer.core.compiling import mypyc_attr
from deadpeer.core.conversation import Conversation
from deadpeer.core.monitor import Monitor
from deadpeer.core.stages import Stage
from deadpeer.errors import DeadPeerError, RemoteProtocolError
from deadpeer.kernel.evidence import read_tcp_info
from deadpeer.kernel.tcp_info import TcpState

__all__ = ["OPEN", "Timed", "is_over"]

OPEN: Final = Stage.OPEN


def is_over(transport: Any) -> bool:
    """
    Tell whether the kernel knows that a connection is over, if it tells that.

    Args:
        transport: An asyncio transport.
    """
    sock = transport.get_extra_info("socket")
    info = None if sock is None or sock.fileno() < 0 else read_tcp_info(sock)
    return info is not None and info.state == TcpState.CLOSE


@mypyc_attr(allow_interpreted_subclasses=True)
class Timed(Judged):
    """
    A judged connection with chores.

    Args:
        monitor: Who judges.
        loop: Whose timer is used.
    """

    __slots__ = (
        "_beats",
        "_chore_at",
        "_conversation",
        "_error",
        "_inbox",
        "_is_gone",
        "_outbox",
        "_transport",
    )

    def __init__(self, monitor: Monitor, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(monitor, loop)
        self._transport: Any = None
        self._conversation: Conversation = None  # type: ignore[assignment]
        # What few connections need is made when it is needed.
        self._inbox: Inbox | None = None
        self._outbox: Outbox | None = None
        self._beats: tuple[Beats, float] | None = None
        self._chore_at = codes.NEVER
        self._error: DeadPeerError | None = None
        self._is_gone = False

    def _judged_transport(self) -> Any:
        """Return the transport, or None if it is closed."""
        return None if self._is_gone else self._transport

    def _broken(self, error: RemoteProtocolError, now: float) -> None:
        """End a connection whose peer broke the protocol."""
        raise NotImplementedError

    def _arm(self) -> None:
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
            # By their classes: in compiled code that is a call of C, and what
            # programs subclass is otherwise asked for its own first.
            Judged._look(self, now)  # noqa: SLF001
            Timed._arm(self)

    def _find_chores(self) -> None:
        """Find out what is due when: a beat, the end of a frame, the end of it all."""
        if self._error is not None:
            return  # from here on ``_linger`` says
        at = self._conversation.deadline
        if self._inbox is not None and self._inbox.paused:
            at = codes.NEVER  # its end may lie in what we do not read
            self._begin_to_beat()
        if self._beats is not None:
            at = min(at, self._beats[1])
        self._chore_at = at
        if at < self.armed_at:
            self._arm()

    def _linger(self, seconds: float) -> None:
        """Cut off the connection if it has not closed by then."""
        self._chore_at = self.warden.clock() + seconds
        self._arm()

    def _do_chores(self, now: float) -> None:
        if self._error is not None:
            self._chore_at = codes.NEVER
            self._transport.abort()
            return
        if now >= self._conversation.deadline:
            asyncio.get_running_loop().call_soon(self._expire, FEWEST_TURNS)
        if self._beats is not None and now >= self._beats[1]:
            self._beat(self._beats, now)
        self._chore_at = codes.NEVER if self._beats is None else self._beats[1]

    def _start_to_drain(self) -> None:
        inbox = self._inbox
        if inbox is not None and inbox.paused and is_over(self._transport):
            # Where reading is paused the loop does not see a reset.
            inbox.take_all(self._transport)
        super()._start_to_drain()

    def _begin_to_beat(self) -> None:
        """Beat unasked while nothing is read: so no question is answered, either."""
        theirs = self._conversation.theirs
        if self._beats is None and theirs is not None:
            at = self.warden.clock() + theirs.heartbeat_gap
            self._beats = Beats(interval=theirs.interval, first_at=at), at

    def _has_to_beat(self) -> bool:
        conversation = self._conversation
        theirs = conversation.theirs
        if conversation.sending is not OPEN or conversation.receiving is not OPEN:
            return False
        if self._inbox is not None and self._inbox.paused:
            return True
        return theirs is not None and promise(conversation.hello, theirs) is not None

    def _beat(self, planned: tuple[Beats, float], now: float) -> None:
        beats, at = planned
        conversation = self._conversation
        if not self._has_to_beat():
            self._beats = None
            return
        self._beats = beats, beats.next_after(now=max(now, at))
        if self._has_room():
            self._transport.write(conversation.beat())

    def _has_room(self) -> bool:
        """
        Tell whether a heartbeat is worth sending: is the transport's buffer not full?

        What waits there is as good a sign of life as the heartbeat behind it would
        be; and a peer that only writes and never reads must not fill our memory.
        """
        return self._outbox is None or self._outbox.has_room

    def _expire(self, turns: int) -> None:
        """End a handshake or frame that takes too long, once everything is read."""
        if turns > 0:
            asyncio.get_running_loop().call_soon(self._expire, turns - 1)
            return
        if self._inbox is not None and self._inbox.paused:
            return
        now = self.warden.clock()
        try:
            self._conversation.expired(now=now)
        except RemoteProtocolError as error:
            self._broken(error, now)
        else:
            self._find_chores()
