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
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self

from deadpeer.aio.changes import Changes
from deadpeer.aio.judged import Judged
from deadpeer.core.detectors.base import Detector
from deadpeer.core.events import Change, Closed, Died
from deadpeer.core.monitor import Monitor
from deadpeer.core.states import State
from deadpeer.core.verdicts import error_of
from deadpeer.errors import ConfigError, PeerDead
from deadpeer.kernel.sockets import peer_name
from deadpeer.policy.heartbeat import Heartbeat

__all__ = ["Guard", "guard"]

DEFAULT = Heartbeat()


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
            wait for a full buffer: the deadline does not. None asks nothing
            and waits for what the peer has promised to send.
        heartbeat: When to ask, suspect and give up.
        on_dead: Called with the verdict, in place of raising it.
        on_change: Called with each change of state.
        detector: An adaptive detector for suspicion, as an empty prototype.

    Raises:
        ConfigError: *connection* has no transport, or nobody could ask.
    """
    transport = _transport_of(connection)
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


class Guard(Judged):
    """A guard over one connection, made by ``guard``."""

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
        loop = asyncio.get_running_loop()
        monitor = Monitor(heartbeat, now=0.0, connecting=True, detector=detector)
        super().__init__(monitor, loop)
        self.transport = transport
        self.verdict: PeerDead | None = None
        self._send_ping = send_ping
        self._on_dead = on_dead
        self._on_change = on_change
        self._changes = Changes()
        self._asking: set[asyncio.Future[Any]] = set()
        self._timeout: asyncio.Timeout | None = None
        self._peer = peer_name(transport) or ""

    def __repr__(self) -> str:
        return f"<Guard of {self._peer or 'a peer'}: {self.state}>"

    # The life of a guard.

    def start(self) -> None:
        """Begin to judge; silence counts from now."""
        self.carry_out(self.monitor.opened(now=self.warden.clock()))
        self.arm()

    def stop(self, reason: str = "") -> None:
        """
        Judge no more; the connection is left as it is.

        Args:
            reason: What is told to those who wait for changes.
        """
        self.carry_out(self.monitor.close(reason, now=self.warden.clock()))
        for asking in self._asking:
            asking.cancel()

    async def __aenter__(self) -> Self:
        if self._on_dead is None:
            self._timeout = asyncio.timeout(None)
            await self._timeout.__aenter__()
        self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        timeout, self._timeout = self._timeout, None
        if timeout is None:
            return
        try:
            await timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            if self.verdict is None:
                raise
            raise self.verdict from None
        # What the abort did to a read or write in the block is the verdict's.
        if self.verdict is not None and (error is None or isinstance(error, OSError)):
            raise self.verdict from error

    # What your protocol tells.

    def heard(self) -> None:
        """Tell that bytes arrived, any bytes: that is life."""
        self.hear(self.warden.clock())

    def answered(self, sequence: int | None = None) -> None:
        """
        Tell that a ping was answered: life, and a round-trip time.

        Args:
            sequence: The number that came back; None for the latest question.
        """
        monitor = self.monitor
        number = monitor.row.sequence if sequence is None else sequence
        now = self.warden.clock()
        monitor.answered(number, now=now)
        self.hear(now)

    # What a program asks.

    async def wait_dead(self) -> PeerDead:
        """
        Wait for the verdict and return it.

        Raises:
            asyncio.CancelledError: The guard was stopped; there is no verdict.
        """
        async for _ in self.changes():
            if self.verdict is not None:
                break
        if self.verdict is None:
            raise asyncio.CancelledError("the guard was stopped without a verdict")
        return self.verdict

    def changes(self) -> AsyncIterator[Change]:
        """Return an iterator of the changes from now on; it ends with the guard."""
        return self._changes.follow(ended=self.state in (State.DEAD, State.CLOSED))

    # What the judge asks.

    def judged_transport(self) -> Any:
        """Return the transport."""
        return self.transport

    def due(self, now: float) -> None:
        """
        Look at the peer, unless its connection was closed meanwhile.

        Args:
            now: The present, in seconds.
        """
        if self.transport.is_closing():
            self.stop("the connection was closed")
            return
        super().due(now)

    def send_ping(self, sequence: int, now: float) -> None:
        """
        Have your protocol ask.

        Args:
            sequence: The number of the question.
            now: The present, in seconds.
        """
        self.monitor.pinged(now=now)
        if self._send_ping is None:
            return
        asked = self._send_ping(sequence)
        if inspect.isawaitable(asked):
            self._keep(asyncio.ensure_future(asked))

    def _keep(self, asking: "asyncio.Future[Any]") -> None:
        self._asking.add(asking)
        asking.add_done_callback(self._asked)

    def _asked(self, asking: "asyncio.Future[Any]") -> None:
        self._asking.discard(asking)
        if asking.cancelled() or asking.exception() is None:
            return
        if isinstance(asking.exception(), OSError) or self.transport.is_closing():
            return  # the connection says so itself
        asyncio.get_running_loop().call_exception_handler(
            {"message": "send_ping failed", "exception": asking.exception()}
        )

    def changed(self, change: Change) -> None:
        """
        Tell the program.

        Args:
            change: What changed.
        """
        if isinstance(change, Died):
            self.verdict = error_of(change, peer=self._peer)
        if self._on_change is not None:
            self._on_change(change)
        if isinstance(change, Died):
            self._tell_death()
        self._changes.tell(change, last=isinstance(change, Died | Closed))

    def _tell_death(self) -> None:
        for asking in self._asking:
            asking.cancel()
        if self._timeout is not None:
            self._timeout.reschedule(0.0)
        elif self._on_dead is not None and self.verdict is not None:
            self._on_dead(self.verdict)
        self.transport.abort()


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
