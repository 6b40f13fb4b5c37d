"""The front door: one promise put on a socket, and what it comes to."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from deadpeer.errors import ConfigError, KernelRefused, UnsupportedError
from deadpeer.kernel.current_platform import this_platform
from deadpeer.kernel.evidence import read_tcp_info
from deadpeer.kernel.inspection import describe, system_defaults
from deadpeer.kernel.options import Applied, Undone, apply, is_listening
from deadpeer.kernel.registers import steps_for
from deadpeer.kernel.sockets import borrowed
from deadpeer.platforms import Defaults, Platform
from deadpeer.policy import Assessment, Keepalive, Plan, assess, plan
from deadpeer.policy.keepalive import require_seconds

__all__ = ["Protection", "outgrows", "planned", "protect", "require_one"]

# One tick of the fastest usual kernel clock, in seconds. Shorter round trips
# vanish in the lateness of timers, which is planned for in any case.
LEAST_RTT = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """
    What is in force on a socket now, and what it promises.

    Args:
        within: The promise, in seconds; None if own values were given.
        keepalive: The settings in force, read back from the kernel.
        assessment: Bounds for each state, traffic and warnings.
        rtt: The longest round trip, in seconds, that was reckoned with.
        notes: What else to know: about a listening socket, say.
        applied: The change itself, with what was there before.
    """

    within: float | None
    keepalive: Keepalive
    assessment: Assessment
    rtt: float
    notes: tuple[str, ...]
    applied: Applied = field(repr=False)

    @property
    def platform(self) -> Platform:
        """The row of the system that the socket is on."""
        return self.applied.platform

    def undo(self) -> Undone:
        """
        Restore the values that were there, and say which are now pinned.

        Of several changes to one socket, the last has to be undone first.

        Raises:
            NotTcp: The socket was closed, or its descriptor is another
                socket's now; nothing was changed.
            UnsupportedError: The descriptor is a Multipath TCP socket now.
            KernelRefused: No descriptor is left to work with.
        """
        return self.applied.undo()

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        worst = _seconds(self.assessment.worst)
        path = f"at round trips up to {self.rtt * 1000:g} ms"
        if self.within is None:
            yield f"a dead peer is reported after {worst} at the latest, {path}"
        else:
            yield (
                f"a dead peer is reported within {self.within:g} s"
                f" (reckoned: {worst}), {path}"
            )
        yield f"  in force: {describe(self.keepalive)}"
        for bound in self.assessment.bounds:
            yield (
                f"  {bound.state.value}: {_seconds(bound.earliest)} to"
                f" {_seconds(bound.latest)} after the death ({bound.why})"
            )
        yield (
            "  a live peer survives an outage of"
            f" {_seconds(self.assessment.survives)} in every state"
        )
        for note in (*self.notes, *self.assessment.warnings):
            yield f"  note: {note}"


def protect(
    sock: object,
    *,
    within: float | None = None,
    keepalive: Keepalive | None = None,
    rtt: float | None = None,
    allow_stalled_reader: bool = False,
) -> Protection:
    """
    Have a dead peer reported within *within*, whatever the connection is doing.

    The settings are planned, checked, applied and read back. On a listening
    socket they are for the connections that it accepts.

    Args:
        sock: A socket (plain or SSL), a descriptor, anything with ``fileno()``,
            an asyncio transport or ``StreamWriter``.
        within: Seconds from the peer's death to the error. Give this or
            *keepalive*.
        keepalive: Values of one's own, in place of a promise.
        rtt: The longest round trip of the path, in seconds. None takes a usual
            one, or what a connected socket has measured if that is longer.
        allow_stalled_reader: Never end a live peer for not reading; needs
            Linux 6.15 and a promise of about 20 s or more.

    Returns:
        What is in force and what it promises, with ``undo()``.

    Raises:
        ConfigError: A value cannot work, or the promise cannot be kept; says
            which is the smallest that can.
        NotTcp: That is no open TCP socket.
        UnsupportedError: The platform, the kernel or this kind of socket
            cannot do it.
        AccessDenied: A privilege is missing.
        KernelRefused: The kernel refused; what had been changed was put back.
    """
    require_one(within, keepalive)
    if rtt is not None:
        require_seconds("rtt", rtt, zero=True)
    row = this_platform()
    defaults = system_defaults(row)
    # Held from the first look to the last setting, so that a descriptor which is
    # closed and given out again meanwhile cannot take another socket's plan.
    with borrowed(sock) as held:
        listening = is_listening(held)
        info = read_tcp_info(held)
        measured = info.round_trip if info and info.is_connected else None
        if within is None:
            wanted = keepalive or Keepalive()
            path = (measured or 0.0) if rtt is None else rtt
        else:
            made = planned(
                within=within,
                rtt=rtt,
                measured=measured,
                platform=row,
                defaults=defaults,
                allow_stalled_reader=allow_stalled_reader,
            )
            wanted, path = made.keepalive, made.rtt
        if listening:
            _require_inherited(wanted, row)
        # An undo later on goes by what the caller has, not by what was held.
        applied = replace(apply(held, wanted, platform=row), thing=sock)
    assessment = assess(applied.keepalive, rtt=path, defaults=defaults, platform=row)
    if within is not None and assessment.worst > within:
        applied.undo()
        raise KernelRefused(
            f"what this socket had set before does not go with within={within!r}",
            hint=f"in force was {describe(applied.before)}",
            operation="protect",
        )
    return Protection(
        within=within,
        keepalive=applied.keepalive,
        assessment=assessment,
        rtt=path,
        notes=tuple(_notes(applied, listening=listening)),
        applied=applied,
    )


def planned(
    *,
    within: float,
    rtt: float | None,
    measured: float | None,
    platform: Platform,
    defaults: Defaults,
    allow_stalled_reader: bool,
) -> Plan:
    """
    Return a plan for a path that was named, measured, or neither.

    Routes change, so a short round trip that was measured does not make for a
    tighter plan; a longer one than usual makes for a plan of its own.

    Args:
        within: The promise, in seconds.
        rtt: The longest round trip as the user knows it, in seconds.
        measured: The round trip that the kernel has measured, in seconds.
        platform: The row of the system that the socket is on.
        defaults: That system's settings.
        allow_stalled_reader: As for ``plan``.

    Raises:
        ConfigError: The promise cannot be kept on this path.
        UnsupportedError: The platform can give no promise.
    """

    def at(round_trip: float | None) -> Plan:
        return plan(
            within=within,
            rtt=round_trip,
            platform=platform,
            defaults=defaults,
            allow_stalled_reader=allow_stalled_reader,
        )

    first = at(rtt)
    if rtt is None and measured is not None and outgrows(measured, first):
        return at(measured)
    return first


def outgrows(measured: float, made: Plan) -> bool:
    """
    Tell whether a path is longer than a plan is good for.

    Args:
        measured: The round trip that the kernel has measured, in seconds.
        made: The plan.
    """
    return measured > max(made.rtt, LEAST_RTT)


def require_one(within: float | None, keepalive: Keepalive | None) -> None:
    """
    Refuse anything but one of a promise and values of one's own.

    Args:
        within: The promise, in seconds.
        keepalive: The values.

    Raises:
        ConfigError: None of them was given, or both, or one that sets nothing.
    """
    if keepalive is not None and not isinstance(keepalive, Keepalive):
        raise ConfigError(
            f"keepalive={keepalive!r} is no Keepalive",
            hint="such as keepalive=Keepalive(idle=5, interval=1, probes=3)",
            field="keepalive",
            value=keepalive,
        )
    if (within is None) == (keepalive is None):
        raise ConfigError(
            "give either within or keepalive",
            hint="within=10 plans, keepalive=Keepalive(idle=5, …) takes what you give",
            field="within",
            value=within,
        )
    if keepalive == Keepalive():
        raise ConfigError(
            "Keepalive() sets nothing",
            hint="give at least one field, such as idle=5",
            field="keepalive",
            value=keepalive,
        )


def _require_inherited(wanted: Keepalive, platform: Platform) -> None:
    keys = {key for step in steps_for(wanted, platform) for key in step.keys}
    left = sorted(keys - platform.inherited)
    if left:
        raise UnsupportedError(
            f"an accepted socket does not take over {', '.join(left)} from its"
            f" listener on {platform.title}",
            hint="protect each accepted socket",
            option=left[0],
            platform=platform.name,
        )


def _notes(applied: Applied, *, listening: bool) -> Iterator[str]:
    if listening:
        yield "accepted sockets take this over; those already accepted do not"
    for name in applied.reading.unread:
        option = applied.platform.options[name]
        yield f"{option.name} cannot be read back on {applied.platform.title}"


def _seconds(seconds: float) -> str:
    return "never" if math.isinf(seconds) else f"{seconds:.4g} s"
