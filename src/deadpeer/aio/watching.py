"""
Watch any connection of any library, without touching a byte of it.

::

    async with watch(writer, within=30):
        ...                        # PeerSilent is raised here if the peer is dead

What is judged is the kernel's evidence: probes and retransmissions that nobody
answers. So a peer whose cable was pulled, whose host crashed or whose NAT forgot
is found; a stopped or hung program is not, since its kernel goes on answering.
That takes a question to the program: see ``guard``.
"""

import contextlib
import select
import socket
from collections.abc import Callable
from typing import Any

from deadpeer.aio.arguments import require_heartbeat
from deadpeer.aio.judging import CLOSED, Judging, loop_for
from deadpeer.aio.reporting import Reporter
from deadpeer.aio.warden import Ward, Warden, warden_of
from deadpeer.core.events import Change, Died, Evidence, Reason
from deadpeer.core.facts import NO_FACTS, Facts
from deadpeer.core.kernel_evidence import Onlooker, probing
from deadpeer.core.states import State
from deadpeer.errors import (
    ConfigError,
    DeadPeerError,
    KernelRefused,
    NotTcp,
    PeerDead,
    UnsupportedError,
)
from deadpeer.kernel.current_platform import this_platform
from deadpeer.kernel.inspection import inspect
from deadpeer.kernel.options import Applied, apply
from deadpeer.kernel.sockets import borrowed, identity, peer_name
from deadpeer.kernel.traffic import Traffic, read_traffic
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.policy.keepalive import Keepalive, require_seconds

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

    A death is known within ``interval + timeout`` of the last packet heard, and
    where data is in flight within *timeout* of it plus about two retransmission
    timeouts, since one lost packet proves nothing. The kernel is asked four
    times in each timeout, with a handful of short system calls.

    Not seen: a stopped program, whose kernel answers; and a death behind a window
    that has been closed for long is seen late, because the kernel's probes of it
    come ever more rarely, up to two minutes apart.

    A dead peer's transport is aborted. A plain socket is left as it is.

    Args:
        connection: A socket (plain or SSL), a descriptor, anything with
            ``fileno()``, an asyncio transport or ``StreamWriter``.
        heartbeat: After how much silence the kernel has to ask, and how long
            it may go unanswered. Give this or *within*.
        within: Seconds until a death is known.
        probe: Whether to turn keepalive on as the heartbeat needs it, from the start
            on; what was there is put back at the end. Without it, and with keepalive off,
            an idle peer's death is not seen: ``can_see_idle`` tells.
        on_dead: Called with the verdict, in place of raising it; a plain function.
        on_change: The same, with each change of state.

    Raises:
        ConfigError: Neither or both of *heartbeat* and *within* were given, the
            kernel cannot probe so fast, or a callback is a coroutine function.
        NotTcp: That is no open TCP socket.
        UnsupportedError: This system's kernel tells nothing that we can read.
        KernelRefused: No descriptor is left.
        LocalProtocolError: There is no running event loop.
    """
    return Watch(
        connection,
        heartbeat=_heartbeat(heartbeat, within),
        probe=probe,
        reporter=Reporter(
            peer=peer_name(connection), on_dead=on_dead, on_change=on_change
        ),
    )


class Watch(Ward, Judging):
    """
    A watch over one connection, made by ``watch``.

    Attributes:
        can_see_idle: Whether the death of an idle peer would be seen: whether
            the kernel probes.
        heartbeat: What is in force.

    Raises:
        ConfigError: The kernel cannot probe so fast.
        NotTcp: That is no open TCP socket.
        UnsupportedError: This system's kernel tells nothing that we can read.
        KernelRefused: No descriptor is left.
        LocalProtocolError: There is no running event loop.
    """

    _word = "watch"

    def __init__(
        self, connection: Any, *, heartbeat: Heartbeat, probe: bool, reporter: Reporter
    ) -> None:
        super().__init__()
        self.heartbeat = heartbeat
        self._connection = connection
        self._warden: Warden = warden_of(loop_for(self._word))
        self._onlooker = Onlooker(heartbeat, now=self._warden.clock())
        self._reporter = reporter
        self._wanted: Keepalive | None = None
        self._applied: Applied | None = None
        self._who = b""
        self._simulated = _simulation(connection)
        self.can_see_idle = False
        if self._simulated is None:
            self._prepare(probe=probe)

    def _prepare(self, *, probe: bool) -> None:
        with borrowed(self._connection) as sock:
            self._who = identity(sock)
            if read_traffic(sock, now=0.0).acked is None:
                raise UnsupportedError(
                    "the kernel tells nothing of this connection",
                    hint="watch connected TCP sockets on Linux; elsewhere use guard",
                    option="TCP_INFO",
                    platform="",
                )
            self.can_see_idle = probe or bool(inspect(sock).keepalive.on)
        if probe:
            self._wanted = probing(self.heartbeat)
            self._wanted.in_units(this_platform())  # what it takes is told here

    # The life of a watch.

    def start(self) -> None:
        """
        Turn keepalive on, and begin to look.

        Raises:
            LocalProtocolError: It was started before.
            ConfigError: As when it is made.
            NotTcp: The same; that it was closed since is told as a change.
            UnsupportedError: This kind of socket takes no such settings.
            KernelRefused: No descriptor is left, or the kernel refused the probes.
            AccessDenied: A privilege is missing.
        """
        self._require_fresh()
        if self._wanted is not None:
            self._applied = self._have_probed(self._wanted)
        self._report(self._onlooker.opened(now=self._warden.clock()))

    def _have_probed(self, wanted: Keepalive) -> Applied | None:
        with contextlib.suppress(NotTcp), borrowed(self._connection) as sock:
            if identity(sock) == self._who:
                before = inspect(sock).keepalive
                return apply(self._connection, _tightened(wanted, before))
        return None  # it was closed meanwhile, which the first look tells

    def stop(self, reason: str = "") -> None:
        """
        Look no more; the connection is left as it was.

        Args:
            reason: What is told to those who wait for changes.
        """
        self._report(self._onlooker.close(reason, now=self._warden.clock()))
        applied, self._applied = self._applied, None
        if applied is not None:
            try:
                applied.undo()
            except (DeadPeerError, OSError):
                return  # closed by now

    def _fail(self, reason: Reason) -> None:
        self._report(self._onlooker.failed(reason, now=self._warden.clock()))

    def _is_over(self) -> bool:
        if self._is_closing():
            return True
        try:
            return self._read(self._warden.clock())[0] is None
        except KernelRefused:
            return False  # nobody can look

    # What a program asks.

    @property
    def state(self) -> State:
        """What is known of the peer."""
        return self._onlooker.state

    def evidence(self) -> Evidence:
        """
        Return what is known right now, as a verdict would show it.

        Raises:
            KernelRefused: No descriptor is left to look with.
        """
        now = self._warden.clock()
        facts, _ = self._read(now)
        return self._onlooker.evidence(now=now, facts=facts or NO_FACTS)

    # What the warden asks.

    def due(self, now: float) -> None:
        """
        Look.

        Args:
            now: The present, in seconds.
        """
        if self._is_closing():
            self.stop(CLOSED)
            return
        facts, failed = self._read(now)
        if facts is not None:
            self._report(self._onlooker.look(now=now, facts=facts))
        elif failed:
            # The kernel's own patience may have ended first, between two looks.
            suspect = self.state is State.SUSPECT
            reason = Reason.TIMED_OUT if suspect else Reason.RESET
            self._report(self._onlooker.failed(reason, now=now))
        else:
            self.stop(CLOSED)

    def slept(self, duration: float, now: float) -> None:
        """
        Nothing: the kernel's timers slept, too, so its evidence is none of it.

        Args:
            duration: For how many seconds.
            now: The present, in seconds.
        """

    def _report(self, changes: tuple[Change, ...]) -> None:
        at = self._onlooker.wake_at
        if at != self.armed_at:
            self._warden.wake(self, at=at)
        for change in changes:
            self._reporter.tell(change)
            if isinstance(change, Died):
                _abort(self._connection)

    def _is_closing(self) -> bool:
        ask = getattr(self._connection, "is_closing", None)
        return ask is not None and bool(ask())

    def _read(self, now: float) -> tuple[Facts | None, bool]:
        """
        Return the facts, or None if it is over; and whether that was an error.

        If no descriptor is left to look with, that says nothing of the peer: it is
        raised, and the warden tells it and calls again.
        """
        if self._simulated is not None:
            return _facts(self._simulated()), False
        try:
            with borrowed(self._connection) as sock:
                if identity(sock) != self._who:
                    return None, False  # the descriptor is another socket's now
                traffic = read_traffic(sock, now=now)
                if traffic.acked is not None:
                    return _facts(traffic), False
                return None, _has_failed(sock)
        except KernelRefused:
            raise
        except (DeadPeerError, OSError):
            return None, False


def _facts(traffic: Traffic) -> Facts:
    return Facts(
        arrived_at=traffic.arrived_at,
        acked=traffic.acked,
        acked_at=traffic.acked_at,
        outstanding=traffic.outstanding,
        unanswered=traffic.unanswered,
    )


def _has_failed(sock: socket.socket) -> bool:
    """Tell whether an error waits for the program, and leave it there."""
    poll = select.poll()
    poll.register(sock, 0)
    return any(found & select.POLLERR for _, found in poll.poll(0))


def _tightened(wanted: Keepalive, before: Keepalive) -> Keepalive:
    """A socket that probes more often already goes on doing so."""
    if not before.on:
        return wanted
    idle = min(before.idle or wanted.idle or 1, wanted.idle or 1)
    interval = min(before.interval or wanted.interval or 1, wanted.interval or 1)
    return Keepalive(idle=idle, interval=interval, probes=wanted.probes)


def _simulation(connection: Any) -> Callable[[], Traffic] | None:
    ask = getattr(connection, "get_extra_info", None)
    return ask("traffic") if callable(ask) else None


def _abort(connection: Any) -> None:
    transport = getattr(connection, "transport", connection)
    abort = getattr(transport, "abort", None)
    if callable(abort):
        abort()


def _heartbeat(heartbeat: Heartbeat | None, within: float | None) -> Heartbeat:
    if heartbeat is None and within is not None:
        require_seconds("within", within)
        return Heartbeat.within(within)
    if heartbeat is not None and within is None:
        require_heartbeat(heartbeat)
        return heartbeat
    raise ConfigError(
        "give either heartbeat or within",
        hint="within=30 is Heartbeat(interval=20, timeout=10)",
        field="within",
        value=within,
    )
