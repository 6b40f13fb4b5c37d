"""
When a dead peer is reported: one bound for each state that TCP can be in.

Time runs from the peer's death. While data is unacknowledged or the window is
closed, the kernel's keepalive does not run and the retransmission or persist
timer decides; so each state has a rule of its own. The page
``docs/explanation/detection-times.md`` derives them.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate

from deadpeer.platforms import LINUX, Defaults, Platform
from deadpeer.policy.keepalive import Keepalive
from deadpeer.policy.patience import end_of_patience, put_off, with_reports
from deadpeer.policy.timers import (
    SYN_TIMEOUT,
    first_retransmission,
    gaps,
    give_up_after,
    lateness,
    retransmission_timeout,
    syn_schedule,
)
from deadpeer.policy.window_probes import given_up, outlasts

__all__ = ["Bound", "Span", "State", "predict", "unanswered_probes"]

# A shortest and a longest, in seconds.
Span = tuple[float, float]


class State(StrEnum):
    """What a connection is doing when its peer dies."""

    CONNECTING = "connecting"
    """The SYN is not answered."""
    IDLE = "idle"
    """Nothing to send, nothing in flight."""
    UNACKNOWLEDGED = "unacknowledged"
    """Sent data waits for its acknowledgement."""
    IDLE_THEN_WRITE = "idle then a write"
    """Idle at the death; the application writes at any moment after it."""
    HALF_CLOSED = "half closed"
    """One side has shut down, and that is acknowledged."""
    ZERO_WINDOW = "zero window"
    """Data waits because the peer's window is closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """
    When a death in one state is reported.

    Args:
        state: What the connection was doing.
        earliest: Seconds after the death, at the earliest.
        latest: Seconds after the death, at the latest; ``math.inf`` is never.
        survives: The longest outage, in seconds, that a live peer is sure to
            survive in this state; ``math.inf`` if any.
        why: What decides, in a few words.
    """

    state: State
    earliest: float
    latest: float
    survives: float
    why: str


NEVER: Span = (math.inf, math.inf)


def predict(
    keepalive: Keepalive,
    state: State,
    *,
    rtt: float = 0.0,
    defaults: Defaults | None = None,
    platform: Platform = LINUX,
    silence: Span | None = None,
    written_at: Span | None = None,
    closed: Span | None = None,
    reports: bool = True,
) -> Bound:
    """
    Return when a peer's death is reported to the application.

    Args:
        keepalive: The socket's settings; what they leave open is *defaults*'.
        state: What the connection is doing when the peer dies.
        rtt: The round-trip time of the path, in seconds.
        defaults: The system's settings; the platform's own if None.
        platform: The row to reckon with.
        silence: How long before the death the peer was last heard; negative
            for what was still under way. None if it can be anything.
        written_at: When the application first writes after the death (before
            it, if negative). None if it can be any moment.
        closed: How long before the death the window closed. None if it can be
            any time.
        reports: Whether a router may report the peer unreachable, which puts
            off the end of a user timeout (see ``policy.patience``).

    Returns:
        The earliest and the latest report, and the outage that live peers
        survive. States that the platform's own rules do not bound are
        ``math.inf``.

    Source:
        Linux net/ipv4/tcp_timer.c, tcp_keepalive_timer(), tcp_write_timeout(),
        tcp_probe_timer(), tcp_clamp_rto_to_user_timeout().

    >>> bound = predict(Keepalive(idle=5, interval=1, probes=3), State.IDLE)
    >>> bound.earliest, bound.survives
    (3.0, 2.0)
    """
    defaults = platform.defaults if defaults is None else defaults
    case = _Case(keepalive.over(defaults), rtt, defaults, platform, reports=reports)
    match state:
        case State.CONNECTING:
            return case.connecting()
        case State.IDLE | State.HALF_CLOSED:
            return case.idle(state, silence)
        case State.UNACKNOWLEDGED:
            return case.unacknowledged(state, written_at or (-rtt, 0.0))
        case State.ZERO_WINDOW:
            return case.zero_window(closed)
        case State.IDLE_THEN_WRITE:
            return case.idle_then_write(silence, written_at)


def unanswered_probes(
    keepalive: Keepalive, *, platform: Platform = LINUX, hz: int | None = None
) -> Span:
    """
    Return the least and the most keepalive probes that go unanswered.

    Args:
        keepalive: Settings with no field left open, see ``Keepalive.over``.
        platform: The row to reckon with.
        hz: The kernel's ticks a second, None if not known.

    Source:
        Linux tcp_timer.c, tcp_keepalive_timer(): with a user timeout, the
        connection ends at the first tick after at least one probe at which
        the silence has reached it; probes are then not counted. A probe that
        was answered is followed by a pause of one interval, however short idle
        is, so the first unanswered one may come that late.

    >>> settings = Keepalive(idle=5, interval=1, probes=9, user_timeout=7.9)
    >>> unanswered_probes(settings.over(Defaults()))
    (3, 3)
    """
    idle, interval, probes, timeout = _filled(keepalive)
    if not (timeout and platform.probes_yield):
        count = platform.fixed_probes or probes
        return count, count
    first = max(idle, interval)
    late_tick = first + lateness(first, hz)
    late_step = interval + lateness(interval, hz)
    least = max(1, _up((timeout - late_tick) / late_step))
    most = max(1, _up((timeout - idle) / interval))
    return least, most


def _up(count: float) -> float:
    """Round up; what is too much for any float stays that."""
    return count if math.isinf(count) else math.ceil(count)


def _filled(keepalive: Keepalive) -> tuple[float, float, int, float]:
    """Return idle, interval, probes and user timeout of settings without gaps."""
    values = (
        keepalive.idle,
        keepalive.interval,
        keepalive.probes,
        keepalive.user_timeout,
    )
    if None in values:
        raise TypeError(f"{keepalive!r} leaves fields open; use Keepalive.over()")
    return values  # type: ignore[return-value]


class _Case:
    """The settings in force on one path, and the rule of each state under them."""

    def __init__(
        self,
        keepalive: Keepalive,
        rtt: float,
        defaults: Defaults,
        platform: Platform,
        *,
        reports: bool,
    ) -> None:
        self.keepalive = keepalive
        self.idle_time, self.interval, self.probes, self.timeout = _filled(keepalive)
        self.rto_max = keepalive.rto_max or defaults.rto_max
        self.rtt = rtt
        self.defaults = defaults
        self.platform = platform
        self.reports = reports
        self.rto = retransmission_timeout(rtt, defaults)

    def late(self, seconds: float) -> float:
        return lateness(seconds, self.defaults.hz)

    # -- idle: the keepalive timer ------------------------------------------

    def idle(self, state: State, silence: Span | None) -> Bound:
        if not self.keepalive.on:
            return _bound(state, NEVER, math.inf, "no keepalive: nobody asks")
        least, most = unanswered_probes(
            self.keepalive, platform=self.platform, hz=self.defaults.hz
        )
        # A probe that was answered is followed by a pause of one interval, also
        # where that is longer than the idle time.
        first = max(self.idle_time, self.interval)
        shortest, longest = silence or (-self.rtt / 2, self.idle_time + self.rtt / 2)
        earliest = self.idle_time + least * self.interval - longest
        step = self.interval + self.late(self.interval)
        latest = first + self.late(first) + most * step - shortest
        survives = max(0.0, (least - 1) * self.interval - self.rtt)
        return _bound(
            state, (max(0.0, earliest), latest), survives, self._idle_why(least, most)
        )

    def _idle_why(self, least: float, most: float) -> str:
        count = f"{least}" if least == most else f"{least} to {most}"
        plural = "" if most == 1 else "s"
        return f"{count} unanswered probe{plural}"

    # -- data in flight: the retransmission timer ---------------------------

    def unacknowledged(self, state: State, written_at: Span) -> Bound:
        patience, why = self._patience()
        # What never left, because the own carrier is lost, counts from the write.
        earliest = max(0.0, written_at[0] + patience)
        if self.timeout:
            latest = self._timed_out(written_at)
        else:
            first = first_retransmission(self.rtt, self.defaults)
            last = min(self.rto_max, patience)
            latest = written_at[1] + first[1] + patience + last + self.late(last)
        return _bound(state, (earliest, latest), self._outlasts(), why)

    def _timed_out(self, written_at: Span) -> float:
        """When the user timeout is over at the latest, a router's report included."""
        rules = self.timeout, self.rto[1], self.rto_max
        end = written_at[1] + end_of_patience(*rules, hz=self.defaults.hz)
        if not self.reports:
            return end
        # What meets the router first is the write, or a keepalive probe before.
        sent = max(0.0, written_at[1]) + self.rto[1]
        if self.keepalive.on:
            tick = max(self.idle_time, self.interval)
            sent = min(sent, tick + self.late(tick) + self.rtt)
        more = put_off(*rules, hz=self.defaults.hz)
        return with_reports(end, more, (0.0, sent))

    def _patience(self) -> tuple[float, str]:
        """How long retransmissions go on, from the first of them."""
        if self.timeout:
            return self.timeout, "the user timeout"
        if not self.platform.probes_yield:
            # Only Linux' own limit is known and measured.
            return math.inf, "the system's own retransmission limit"
        patience = give_up_after(self.defaults.retries, self.rto_max)
        return patience, f"{self.defaults.retries} retries"

    def _outlasts(self) -> float:
        """The longest outage after which a retransmission is sure to come in time."""
        patience, _ = self._patience()
        # Timeouts double: the last retransmission comes after half of the time;
        # and no two are further apart than rto_max.
        time = patience - self.rtt
        return max(0.0, time / 2, time - self.rto_max)

    # -- changes of state ---------------------------------------------------

    def idle_then_write(self, silence: Span | None, written_at: Span | None) -> Bound:
        state = State.IDLE_THEN_WRITE
        idle = self.idle(state, silence)
        if written_at is None:
            written = self.unacknowledged(state, (0.0, idle.latest))
        else:
            written = self.unacknowledged(state, written_at)
            if written_at[0] > idle.latest:
                return idle
            if written_at[1] < idle.earliest:
                return written
        span = min(idle.earliest, written.earliest), max(idle.latest, written.latest)
        survives = min(idle.survives, written.survives)
        return _bound(state, span, survives, f"{idle.why}, then {written.why}")

    # -- connecting and the closed window -----------------------------------

    def connecting(self) -> Bound:
        state = State.CONNECTING
        sent, gives_up = syn_schedule(self.defaults, self.rto_max)
        if self.timeout:
            # One retransmission has to happen first.
            patience = min(max(self.timeout, SYN_TIMEOUT), gives_up)
            late = self.late(min(patience, self.rto_max))
            why = "the user timeout"
        elif not self.platform.probes_yield:
            return _bound(state, (0.0, math.inf), 0.0, "the system's own limit")
        else:
            sent, patience, late = self._syn_given_up(sent, gives_up)
            why = f"{len(sent) - 1} SYN retries"
        # Kernels before 6.5 double from the start, so both must get through;
        # none of them can limit the pause.
        limited = self.rto_max < self.defaults.rto_max
        older = [2.0**n - 1 for n in range(self.defaults.syn_retries + 1)]
        last = min(
            max((at for at in instants if at <= patience - self.rtt), default=0.0)
            for instants in (sent, sent if limited else older)
        )
        return _bound(state, (patience, patience + late), last, why)

    def _syn_given_up(
        self, sent: list[float], gives_up: float
    ) -> tuple[list[float], float, float]:
        """
        The SYNs that are sent, when it is given up, and how late that may be.

        Their number is limited, and so is the time that they take; with a short
        rto_max the time is over first.
        """
        limit = give_up_after(self.defaults.syn_retries, self.rto_max, base=SYN_TIMEOUT)
        ticks = [*sent[1:], gives_up]
        lates = accumulate(self.late(gap) for gap in gaps(ticks))
        late_ticks = [tick + late for tick, late in zip(ticks, lates, strict=True)]
        earliest = next(
            (t for t, x in zip(ticks, late_ticks, strict=True) if x >= limit), gives_up
        )
        last = next(
            (n for n, tick in enumerate(ticks) if tick >= limit), len(ticks) - 1
        )
        return sent[: last + 1], earliest, late_ticks[last] - earliest

    def zero_window(self, closed: Span | None) -> Bound:
        state = State.ZERO_WINDOW
        if not self.platform.probes_yield:
            return _bound(state, (0.0, math.inf), 0.0, "the system's own limit")
        if self.timeout:
            return self._closed_window_with_timeout(state, closed)
        span, why = self._given_up(closed), self._probes_why()
        return _bound(state, span, self._outlasts_probes(), why)

    def _probes_why(self) -> str:
        return f"{self.defaults.retries} unanswered window probes"

    def _outlasts_probes(self) -> float:
        """The longest outage that window probes are sure to outlast."""
        longest = outlasts(self.defaults.retries, self.rto[0], self.rto_max)
        return max(0.0, longest - self.rtt)

    def _closed_window_with_timeout(self, state: State, closed: Span | None) -> Bound:
        patience, why = self._patience()
        # Cut to what is left, so about half of the timeout at the most.
        late = self.late(min(patience, patience / 2 + self.rto[1], self.rto_max))
        shortest, longest = closed or (-self.rtt / 2, math.inf)
        first = self.rto[0], self.rto[1] + self.late(self.rto[1])
        earliest = max(0.0, first[0] + patience - longest)
        latest = max(0.0, first[1] + patience + late - shortest)
        # tcp_probe_timer() counts its probes all the same; the first to be over
        # ends the connection.
        fewest, most = self._given_up(closed)
        if fewest < latest:
            why = f"{why}, or {self._probes_why()}"
        span = min(earliest, fewest), min(latest, most)
        return _bound(state, span, min(self._outlasts(), self._outlasts_probes()), why)

    def _given_up(self, closed: Span | None) -> Span:
        return given_up(
            self.defaults.retries,
            self.rto,
            self.rto_max,
            closed=closed,
            hz=self.defaults.hz,
        )


def _bound(state: State, span: Span, survives: float, why: str) -> Bound:
    earliest, latest = span
    return Bound(
        state=state, earliest=earliest, latest=latest, survives=survives, why=why
    )
