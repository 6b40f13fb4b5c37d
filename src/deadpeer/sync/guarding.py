r"""
Your protocol, our judgement: a guard over any blocking socket.

::

    with guard(sock, heartbeat=Heartbeat(interval=20, timeout=10),
               send_ping=lambda number: sock.sendall(b"ping\n")) as g:
        while data := sock.recv(4096):
            g.heard()                       # any byte is life
    # PeerSilent is raised from the block when the peer is dead

Theory of operation. The judge is the one of asyncio, on the background loop. It
never touches the bytes. A question is asked by a worker thread, which may wait
for room in the buffer as long as it likes.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from deadpeer.aio.guarding import DEFAULT, require_number
from deadpeer.aio.guarding import Guard as AioGuard
from deadpeer.aio.guarding import guard as aio_guard
from deadpeer.core import judge as codes
from deadpeer.core.detectors.base import Detector
from deadpeer.core.events import Change, Suspected
from deadpeer.core.rtt import Rtt
from deadpeer.errors import ConfigError, PeerDead
from deadpeer.kernel.verdicts import verdict_on
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.sync.background import background
from deadpeer.sync.callbacks import require_plain, require_verdict_callbacks
from deadpeer.sync.judging import Judging
from deadpeer.sync.plain_transport import PlainTransport, was_connected

__all__ = ["Guard", "guard"]


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
    Return a guard that asks and judges the peer of a socket.

    Use it as ``with``: if the peer dies, the verdict is raised from the block,
    unless *on_dead* takes it. Or ``start`` and ``stop`` it. In any case a dead
    peer's socket is shut down, which wakes whoever waits in it; closing it is
    left to you.

    Args:
        connection: A connected stream socket, plain or SSL, blocking or not.
        send_ping: Sends your protocol's smallest question; it gets the number
            of the question, 0 to 65535. It is called on a worker thread, so
            hold a lock around it and around whatever else you send. It may
            wait for a full buffer or for that lock: the deadline does not. It
            is not called again while it waits, and what it raises is logged: the
            deadline runs on. One that waits when the guard stops is left waiting,
            until there is room or the socket is shut down. None asks nothing and
            waits for what the peer has promised to send.
        heartbeat: When to ask, suspect and give up.
        on_dead: Called with the verdict, in place of raising it. On the background
            thread, as *on_change*: they must not block, since all peers of the
            process are judged there.
        on_change: The same, with each change of state.
        detector: An adaptive detector for suspicion, as an empty prototype.

    Raises:
        ConfigError: *connection* is no connected socket, nobody could ask, *heartbeat* is
            no ``Heartbeat``, or a callback cannot be called or is a coroutine
            function.
        LocalProtocolError: The interpreter is ending.
    """
    require_plain("send_ping", send_ping, "number")
    require_verdict_callbacks(on_dead=on_dead, on_change=on_change)
    transport = PlainTransport(_socket(connection))
    make = partial(
        aio_guard, transport, heartbeat=heartbeat, on_dead=on_dead, detector=detector
    )
    raises = on_dead is None
    return Guard(make, transport, send_ping, on_change, raises=raises)


class Guard(Judging):
    """
    A guard over one socket, made by ``guard``; any thread may use it.

    Args:
        make: Makes the guard on the loop, given what it asks with and tells.
        transport: What is judged.
        send_ping: Asks, on a worker thread; None asks nothing.
        on_change: Called with each change.
        raises: Whether a verdict is raised from a block.

    Raises:
        ConfigError: Nobody could ask.
        LocalProtocolError: The interpreter is ending.
    """

    def __init__(
        self,
        make: Callable[..., AioGuard],
        transport: PlainTransport,
        send_ping: Callable[[int], object] | None,
        on_change: Callable[[Change], object] | None,
        *,
        raises: bool,
    ) -> None:
        self._send_ping = send_ping
        self._on_change = on_change
        home = background()
        ask = None if send_ping is None else self._have_asked
        make = partial(make, send_ping=ask, on_change=self._changed)
        self._guard: AioGuard = home.ask(make)
        super().__init__(home, self._guard, transport, raises=raises)
        self._row = self._guard.monitor.row

    # What your protocol tells.

    def heard(self) -> None:
        """Tell that bytes arrived, any bytes: that is life. It costs a store."""
        now = self._row.heard_at = time.monotonic()
        if self._row.state == codes.SUSPECT:
            self._background.tell(self._guard.hear, now)

    def answered(self, sequence: int | None = None) -> None:
        """
        Tell that a ping was answered: life, and a round-trip time.

        Args:
            sequence: The number that came back; None for the latest question.

        Raises:
            ConfigError: *sequence* is not a whole number, but text perhaps.
        """
        require_number(sequence)
        number = self._row.sequence if sequence is None else sequence
        now = self._row.heard_at = time.monotonic()
        self._background.tell(self._measure, number, now)

    def _measure(self, sequence: int, now: float) -> None:
        row = self._row
        heard_at = row.heard_at  # by another thread, later than the answer
        self._guard.monitor.answered(sequence, now=now)
        self._guard.hear(max(heard_at, now))

    @property
    def rtt(self) -> Rtt | None:
        """Round trips so far, in seconds, or None without an answered ping."""
        return self._guard.rtt

    # What the judge asks, on the loop.

    def _have_asked(self, sequence: int) -> "asyncio.Future[None]":
        """Have a worker ask, and return what says when it is through."""
        asked = asyncio.get_running_loop().create_future()
        self._background.workers.do(lambda: self._ask(sequence, asked))
        return asked

    def _ask(self, sequence: int, asked: "asyncio.Future[None]") -> None:
        """Ask, on a worker thread."""
        error: Exception | None = None
        if self._send_ping is not None and not asked.cancelled():
            try:
                self._send_ping(sequence)
            except Exception as failed:  # noqa: BLE001 - the judgement goes on
                error = failed
        self._background.tell(self._asked, asked, error)

    def _asked(self, asked: "asyncio.Future[None]", error: Exception | None) -> None:
        if isinstance(error, OSError) and verdict_on(error) is not None:
            # The kernel tells its verdict once, and told it to the worker.
            self._guard.lost(error)
        if asked.done():
            return
        if error is None:
            asked.set_result(None)
        else:
            asked.set_exception(error)

    def _changed(self, change: Change) -> None:
        if isinstance(change, Suspected) and self._row.heard_at > self._row.asked_at:
            # A thread heard it in the very moment, and saw no suspicion yet.
            asyncio.get_running_loop().call_soon(self._guard.hear, self._row.heard_at)
        if self._on_change is not None:
            self._on_change(change)


def _socket(connection: Any) -> Any:
    parts = ("fileno", "getsockopt", "getpeername", "recv", "shutdown")
    if not all(hasattr(connection, part) for part in parts):
        raise ConfigError(
            f"this {type(connection).__name__} is no socket",
            hint="hand in a connected socket, plain or SSL; asyncio's transports "
            "belong to deadpeer.aio.guard",
            field="connection",
            value=type(connection).__name__,
        )
    if not was_connected(connection):
        raise ConfigError(
            "this socket is closed, or was never connected: there is no peer",
            hint="connect it first; of a listening socket, guard what accept returns",
            field="connection",
            value=type(connection).__name__,
        )
    return connection
