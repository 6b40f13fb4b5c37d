r"""
Your protocol, our judgement: a guard over any asyncio connection.

::

    async with guard(writer, heartbeat=Heartbeat(interval=20, timeout=10),
                     send_ping=lambda number: writer.write(b"ping\n")) as g:
        while line := await reader.readline():
            g.heard()                       # any byte is life
    # PeerSilent is raised in the block when the peer is dead
"""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from deadpeer.aio.arguments import (
    require_callable,
    require_detector,
    require_heartbeat,
)
from deadpeer.aio.judged import Judged
from deadpeer.aio.judging import CLOSED, Judging, loop_for
from deadpeer.aio.reporting import Reporter
from deadpeer.aio.warden import warden_of
from deadpeer.core import judge as codes
from deadpeer.core.detectors.base import Detector
from deadpeer.core.events import Change, Died, Reason
from deadpeer.core.monitor import Monitor
from deadpeer.errors import ConfigError, PeerDead
from deadpeer.kernel.sockets import peer_name
from deadpeer.policy.heartbeat import Heartbeat

__all__ = ["Guard", "guard", "require_number"]

DEFAULT = Heartbeat()

# More bytes than are ever acknowledged. A question that still waits for room is
# behind whatever the kernel has: a peer that takes all of that, slowly, is not to
# blame for an answer that it was not asked for yet.
UNSENT = 1 << 64


def guard(
    connection: Any,
    *,
    send_ping: Callable[[int], object] | None = None,
    heartbeat: Heartbeat = DEFAULT,
    on_dead: Callable[[PeerDead], object] | None = None,
    on_change: Callable[[Change], object] | None = None,
    detector: Detector | None = None,
) -> "Guard":
    """
    Return a guard that asks and judges the peer of a connection.

    Use it as ``async with``: if the peer dies, the block is cancelled and the
    verdict raised from it, unless *on_dead* takes it. Or ``start`` and ``stop``
    it. In any case a dead peer's transport is aborted.

    Args:
        connection: An asyncio transport, a ``StreamWriter``, or anything with
            an attribute ``transport``.
        send_ping: Sends your protocol's smallest question; it gets the number
            of the question, 0 to 65535. It may be a coroutine function, and may
            wait for a full buffer: the deadline does not. It is not called
            again while it waits, and what it raises goes to the loop's exception
            handler: the deadline runs on. None asks nothing and waits for what
            the peer has promised to send.
        heartbeat: When to ask, suspect and give up.
        on_dead: Called with the verdict, in place of raising it; a plain
            function. What it raises goes to the loop's exception handler.
        on_change: The same, with each change of state.
        detector: An adaptive detector for suspicion, as an empty prototype.

    Raises:
        ConfigError: *connection* has no transport, nobody could ask, *heartbeat*
            is no ``Heartbeat``, *detector* no detector, or a callback cannot be
            called or is a coroutine function.
        LocalProtocolError: There is no running event loop.
    """
    transport = _transport_of(connection)
    require_heartbeat(heartbeat)
    require_callable("send_ping", send_ping, "number")
    require_detector(detector)
    if send_ping is None and not heartbeat.one_way:
        raise ConfigError(
            "send_ping is missing: nobody can ask the peer",
            hint="give send_ping, or Heartbeat(one_way=True) if the peer has "
            "promised to send something in every interval",
            field="send_ping",
        )
    return Guard(
        transport,
        send_ping=send_ping,
        heartbeat=heartbeat,
        on_dead=on_dead,
        on_change=on_change,
        detector=detector,
    )


class Guard(Judged, Judging):
    """
    A guard over one connection, made by ``guard``.

    Raises:
        ConfigError: A callback is a coroutine function.
        LocalProtocolError: There is no running event loop.
    """

    _word = "guard"

    def __init__(
        self,
        transport: Any,
        *,
        send_ping: Callable[[int], object] | None,
        heartbeat: Heartbeat,
        on_dead: Callable[[PeerDead], object] | None,
        on_change: Callable[[Change], object] | None,
        detector: Detector | None,
    ) -> None:
        loop = loop_for(self._word)
        now = warden_of(loop).clock()
        monitor = Monitor(heartbeat, now=now, connecting=True, detector=detector)
        super().__init__(monitor, loop)
        self.transport = transport
        self._send_ping = send_ping
        self._asking: asyncio.Future[Any] | None = None
        self._unasked: tuple[int, BaseException] | None = None
        self._reporter = Reporter(
            peer=peer_name(transport), on_dead=on_dead, on_change=on_change
        )

    # The life of a guard.

    def start(self) -> None:
        """
        Begin to judge; silence counts from now.

        Raises:
            LocalProtocolError: It was started before.
        """
        self._require_fresh()
        self._carry_out(self.monitor.opened(now=self.warden.clock()))
        self._arm()

    def stop(self, reason: str = "") -> None:
        """
        Judge no more; the connection is left as it is.

        Args:
            reason: What is told to those who wait for changes.
        """
        self._carry_out(self.monitor.close(reason, now=self.warden.clock()))
        self._arm()
        if self._asking is not None:
            self._asking.cancel()

    def _fail(self, reason: Reason) -> None:
        self._carry_out(self.monitor.failed(reason, now=self.warden.clock()))
        self._arm()

    def _is_over(self) -> bool:
        return bool(self.transport.is_closing())

    # What your protocol tells.

    def heard(self) -> None:
        """Tell that bytes arrived, any bytes: that is life."""
        self.hear(self.warden.clock())

    def answered(self, sequence: int | None = None) -> None:
        """
        Tell that a ping was answered: life, and a round-trip time.

        Args:
            sequence: The number that came back; None for the latest question.

        Raises:
            ConfigError: *sequence* is not a whole number, but text perhaps.
        """
        require_number(sequence)
        monitor = self.monitor
        number = monitor.row.sequence if sequence is None else sequence
        now = self.warden.clock()
        monitor.answered(number, now=now)
        self.hear(now)

    # What the judge asks.

    def _judged_transport(self) -> Any:
        """Return the transport."""
        return self.transport

    def due(self, now: float) -> None:
        """
        Look at the peer, unless its connection was closed meanwhile.

        Args:
            now: The present, in seconds.
        """
        transport = self.transport
        if transport.is_closing() and not transport.get_write_buffer_size():
            self.stop(CLOSED)
            return
        super().due(now)

    def _ask(self, sequence: int, now: float) -> None:
        """Have your protocol ask."""
        # The question is open, sent or not. Behind one that still waits for
        # room, or behind the last words of a closing stream, none is added.
        if self._asking:
            self.monitor.row.covers = UNSENT
        if self._send_ping is None or self._asking or self.transport.is_closing():
            return
        self.monitor.pinged(now=now)
        try:
            asked = self._send_ping(sequence)
        except Exception as error:  # noqa: BLE001 - the judgement goes on
            self._failed_to_ask(error)
            return
        if inspect.isawaitable(asked):
            self._asking = asyncio.ensure_future(asked)
            self._asking.add_done_callback(self._asked)
            self.monitor.row.covers = UNSENT

    def _asked(self, asking: "asyncio.Future[Any]") -> None:
        self._asking = None
        row = self.monitor.row
        if row.covers == UNSENT:
            row.covers = codes.UNKNOWN  # the next look tells what is before it
        error = None if asking.cancelled() else asking.exception()
        if error is not None:
            self._failed_to_ask(error)

    def _failed_to_ask(self, error: BaseException) -> None:
        if isinstance(error, ConnectionError) or self.transport.is_closing():
            return  # the connection says so itself
        self._unasked = self.monitor.row.sequence, error
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"send_ping failed: {self!r}", "exception": error}
        )

    def _changed(self, change: Change) -> None:
        """Tell the program."""
        if isinstance(change, Died) and self._unasked is not None:
            sequence, error = self._unasked
            if sequence == change.evidence.sequence:
                self._reporter.hint = f"it was not asked: send_ping failed: {error!r}"
        self._reporter.tell(change)
        if isinstance(change, Died):
            if self._asking is not None:
                self._asking.cancel()
            self.transport.abort()


def require_number(sequence: Any) -> None:
    """
    Refuse an answer's number that is none: it would never be measured.

    Args:
        sequence: What was given; None is the latest question's.

    Raises:
        ConfigError: It is of another type, such as the bytes that came.
    """
    if sequence is not None and not isinstance(sequence, int):
        raise ConfigError(
            f"sequence={sequence!r} is no whole number",
            hint="give int(…) of what came back, or nothing for the latest question",
            field="sequence",
            value=sequence,
        )


def _transport_of(connection: Any) -> Any:
    found = connection
    if not hasattr(found, "get_extra_info") or hasattr(found, "transport"):
        found = getattr(found, "transport", None)
    if found is None or not hasattr(found, "abort"):
        raise ConfigError(
            f"{connection!r} has no transport",
            hint="hand in an asyncio transport, a StreamWriter, or an object with "
            "an attribute transport",
            field="connection",
            value=connection,
        )
    return found
