"""
Watch any connection of any library from a thread, without touching a byte of it.

::

    with watch(database.fileno(), within=30):
        database.execute("select pg_sleep(3600)")   # PeerSilent if the peer dies

What is judged is the kernel's evidence alone: see ``deadpeer.aio.watching``.
"""

import contextlib
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from deadpeer.aio.watching import Watch as AioWatch
from deadpeer.aio.watching import watch as aio_watch
from deadpeer.core.events import Change
from deadpeer.errors import DeadPeerError, PeerDead
from deadpeer.kernel.sockets import borrowed, descriptor_of
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.sync.background import Background, background
from deadpeer.sync.callbacks import require_verdict_callbacks
from deadpeer.sync.judging import Judging

__all__ = ["Watch", "watch"]


def watch(
    connection: Any,
    *,
    heartbeat: Heartbeat | None = None,
    within: float | None = None,
    probe: bool = True,
    on_dead: Callable[[PeerDead], object] | None = None,
    on_change: Callable[[Change], object] | None = None,
) -> "Watch":
    """
    Return a watch over a connection whose bytes are not ours; not started yet.

    Until it is started nothing is changed on the connection.

    When and what it sees: see ``deadpeer.aio.watch``. A dead peer's socket is
    shut down, which wakes whoever waits in it; closing it is left to its owner.

    Args:
        connection: A socket (plain or SSL), a descriptor, or anything with
            ``fileno()``.
        heartbeat: After how much silence the kernel has to ask, and how long
            it may go unanswered. Give this or *within*.
        within: Seconds until a death is known.
        probe: Whether to turn keepalive on as the heartbeat needs it, from the start
            on; what was there is put back at the end. Without it, and with keepalive off,
            an idle peer's death is not seen: ``can_see_idle`` tells.
        on_dead: Called with the verdict, in place of raising it. On the background
            thread, as *on_change*: they must not block.
        on_change: The same, with each change of state.

    Raises:
        ConfigError: Neither or both of *heartbeat* and *within* were given, the
            kernel cannot probe so fast, or a callback is a coroutine function.
        NotTcp: That is no open TCP socket.
        UnsupportedError: This system's kernel tells nothing that we can read.
        KernelRefused: No descriptor is left.
        LocalProtocolError: The interpreter is ending.
    """
    require_verdict_callbacks(on_dead=on_dead, on_change=on_change)
    home = background()
    watched = Watched(connection)
    make = partial(
        aio_watch,
        watched,
        heartbeat=heartbeat,
        within=within,
        probe=probe,
        on_dead=on_dead,
        on_change=on_change,
    )
    return Watch(home, home.ask(make), watched, raises=on_dead is None)


class Watched:
    """
    A connection of somebody else's that can be shut down.

    Args:
        connection: As for ``watch``.

    Raises:
        NotTcp: That is no open TCP socket.
        UnsupportedError: It is a Multipath TCP socket.
        KernelRefused: No descriptor is left to look at it.
    """

    def __init__(self, connection: Any) -> None:
        with borrowed(connection):  # or errors would name this class
            self._connection = connection

    def fileno(self) -> int:
        """Return its descriptor."""
        return descriptor_of(self._connection)

    def getpeername(self) -> Any:
        """Return the other end's address."""
        with borrowed(self._connection) as sock:
            return sock.getpeername()

    def is_closing(self) -> bool:
        """Tell whether it is closed."""
        try:
            return self.fileno() < 0
        except DeadPeerError:
            return True

    def is_gone(self) -> bool:
        """Tell whether the kernel has ended the connection."""
        try:
            self.getpeername()
        except (DeadPeerError, OSError):
            return True
        return False

    def abort(self) -> None:
        """Shut both directions down, which wakes a thread that waits in them."""
        with (
            contextlib.suppress(DeadPeerError, OSError),
            borrowed(self._connection) as sock,
        ):
            sock.shutdown(socket.SHUT_RDWR)


class Watch(Judging):
    """A watch over one connection, made by ``watch``."""

    def __init__(
        self, background: Background, inner: AioWatch, watched: Watched, *, raises: bool
    ) -> None:
        super().__init__(background, inner, watched, raises=raises)
        self._watch = inner

    @property
    def can_see_idle(self) -> bool:
        """Whether the death of an idle peer would be seen: whether the kernel probes."""
        return self._watch.can_see_idle

    @property
    def heartbeat(self) -> Heartbeat:
        """What is in force."""
        return self._watch.heartbeat
