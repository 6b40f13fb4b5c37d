"""
What a cell should see, reckoned before the fault from what is then known.

The policy layer knows what the kernel does when nothing answers. What the
network itself says is added here: a router that reports the host unreachable, a
peer that comes back without state and resets, a peer that says goodbye.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from deadpeer.lab.scenario import TOLERANCE, Cell
from deadpeer.lab.terms import Expectation, Fault, Outcome, Situation
from deadpeer.policy.patience import ASKING, ASKING_LATE
from deadpeer.policy.predict import Span, State, predict
from deadpeer.policy.timers import lateness, retransmission_timeout

__all__ = [
    "ARP_GIVES_UP",
    "BACK",
    "Facts",
    "Forecast",
    "forecast",
    "goodbye",
    "judge",
    "nominal_facts",
    "said",
    "with_forecast",
]

NEVER: Span = (math.inf, math.inf)

# When a router that finds no neighbour says so.
ARP_GIVES_UP: Span = (ASKING, ASKING_LATE)

# When a rebooting peer answers again, in seconds after its link went down: the
# lab brings it back at the first instant, and needs a little to set it up.
BACK: Span = (2.5, 2.8)

# How long a goodbye may take besides the round trip: the peer's process has to
# run (a killed one has to be reaped) on a machine that is busy with the lab.
GOODBYE = 0.25

# TCP's timers fire late by one part in eight at the most, so a schedule of
# doubling timeouts is stretched by no more than that (see policy.timers).
STRETCH = 1.13


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """
    What is known of a connection just before the fault.

    Args:
        silence: For how many seconds it has heard nothing, least and most.
        written_at: When it writes, in seconds after the fault, if it does.
        closed: For how many seconds its peer's window has been closed.
        rtt: Its measured round-trip time, in seconds.
        rto: Its retransmission timeout, in seconds, if the kernel was asked.
    """

    silence: Span
    written_at: Span | None = None
    closed: Span | None = None
    rtt: float = 0.0
    rto: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """
    What a cell should see.

    Args:
        expectation: In one word.
        earliest: Seconds after the fault.
        latest: Seconds after the fault; ``math.inf`` is never.
        why: What decides.
    """

    expectation: Expectation
    earliest: float
    latest: float
    why: str

    def written_into(self, cell: Cell) -> Cell:
        """Return a cell with this as its prediction."""
        return replace(
            cell,
            expectation=self.expectation,
            earliest=self.earliest,
            latest=self.latest,
            why=self.why,
        )


def nominal_facts(cell: Cell, rtt: float) -> Facts:
    """
    Return the facts of a cell as they are planned, before anything is measured.

    Args:
        cell: The cell.
        rtt: The round-trip time of its path, in seconds.
    """
    at = cell.write_at
    return Facts(
        silence=(cell.phase, cell.phase),
        written_at=None if at is None else (at, at),
        closed=(cell.phase, cell.phase) if cell.state is State.ZERO_WINDOW else None,
        rtt=rtt,
    )


def with_forecast(cell: Cell, facts: Facts) -> Cell:
    """Return the cell with its prediction written down."""
    return forecast(cell, facts).written_into(cell)


def forecast(cell: Cell, facts: Facts) -> Forecast:
    """
    Return what a cell should see.

    Args:
        cell: The cell; its own prediction is not looked at.
        facts: What is known of its connection.
    """
    if cell.fault.peer_lives:
        return said(Expectation.ALIVE, NEVER, "the peer lives")
    if cell.fault.says_goodbye:
        return goodbye(facts.rtt)
    if cell.fault is Fault.PROCESS_STOPPED:
        why = "the peer's kernel answers for it"
        return said(Expectation.UNNOTICED, NEVER, why)
    span, why = _dead(cell, facts)
    noticed = span[0] <= cell.observed_for
    return said(Expectation.DEAD if noticed else Expectation.UNNOTICED, span, why)


def goodbye(rtt: float) -> Forecast:
    """
    Return what is seen of a peer whose kernel says at once that it is over.

    Args:
        rtt: The round trip to it, in seconds.
    """
    span = (0.0, 2 * rtt + GOODBYE)
    return said(Expectation.CLOSED, span, "the peer's kernel says goodbye")


def said(expectation: Expectation, span: Span, why: str) -> Forecast:
    """
    Return a forecast.

    Args:
        expectation: In one word.
        span: From when to when, in seconds after the fault.
        why: What decides.
    """
    return Forecast(expectation=expectation, earliest=span[0], latest=span[1], why=why)


def judge(cell: Cell, outcome: Outcome, at: float | None) -> str:
    """
    Return what is wrong with a measurement; empty if nothing is.

    Args:
        cell: The cell with its prediction.
        outcome: What came of it.
        at: When it was reported, in seconds after the fault.
    """
    if at is None:
        missed = cell.latest <= cell.observed_for
        return f"not reported in {cell.observed_for:.1f} s" if missed else ""
    return next(_wrong(cell, outcome, at), "")


def _wrong(cell: Cell, outcome: Outcome, at: float) -> Iterator[str]:
    promise = math.inf if cell.setting.promise is None else cell.setting.promise
    # Who judges by heartbeats stamps the verdict, and has promised its lateness.
    tolerance = 0.0 if cell.setting.heartbeat else TOLERANCE
    if cell.expectation is Expectation.ALIVE:
        yield f"a live peer was given up after {at:.2f} s"
    if at < cell.earliest - TOLERANCE:
        yield f"reported {cell.earliest - at:.2f} s too early"
    if at > cell.latest + tolerance:
        yield f"reported {at - cell.latest:.2f} s too late"
    if at > promise:
        yield f"reported {at - promise:.2f} s after the promise"
    if outcome is Outcome.CLOSED and cell.expectation is not Expectation.CLOSED:
        yield "the stream ended, but nobody ended it"


def _dead(cell: Cell, facts: Facts) -> tuple[Span, str]:
    silent, why = _unanswered(cell, facts)
    match cell.fault, cell.situation:
        case Fault.OWN_NIC_DOWN, Situation.CONNECTING:
            return (0.0, GOODBYE), "no route without an interface"
        case Fault.CABLE, Situation.CONNECTING:
            return _first(silent, why, ARP_GIVES_UP, "the router finds no host")
        case Fault.OWN_NIC_DOWN, Situation.UNACKNOWLEDGED | Situation.IDLE_THEN_WRITE:
            return _kept_back(cell, facts, silent), why
        case Fault.REBOOT, _:
            return _first(silent, why, _reset(cell, facts), "the peer resets")
    return silent, why


def _unanswered(cell: Cell, facts: Facts) -> tuple[Span, str]:
    """What the kernel does where nothing answers."""
    state, closed = cell.state, facts.closed
    bound = predict(
        cell.setting.keepalive,
        state,
        rtt=facts.rtt,
        defaults=cell.setting.defaults,
        silence=facts.silence,
        written_at=facts.written_at,
        closed=closed,
        # The lab's other faults are silent; after this one the router speaks.
        reports=cell.fault is Fault.CABLE,
    )
    return (bound.earliest, bound.latest), bound.why


def _kept_back(cell: Cell, facts: Facts, span: Span) -> Span:
    """
    The same, where data cannot even leave the host.

    It then waits as behind a closed window, and the keepalive probes before it
    count among the window probes: both go by ``icsk_probes_out``.

    Source:
        Linux tcp_timer.c, tcp_probe_timer(); include/net/tcp.h,
        TCP_RESOURCE_PROBE_INTERVAL (half a second). Measured on Linux 6.18.
    """
    keepalive = cell.setting.keepalive.over(cell.setting.defaults)
    if keepalive.user_timeout or facts.written_at is None:
        return span
    left = cell.setting.defaults.retries - (keepalive.probes or 0)
    return min(span[0], facts.written_at[0] + max(0, left) * 0.5), span[1]


def _first(one: Span, why: str, other: Span, reason: str) -> tuple[Span, str]:
    """The first of two things to happen."""
    span = min(one[0], other[0]), min(one[1], other[1])
    if one[1] < other[0]:
        return span, why
    if other[1] < one[0]:
        return span, reason
    return span, f"{why}, or {reason}"


def _reset(cell: Cell, facts: Facts) -> Span:
    """
    When a peer without state first resets the connection.

    What was sent while it was away may wait at the router until it answers, so
    with anything sent before, the reset can come as soon as it is back; and the
    first packet that is sent once it is back is surely reset.
    """
    sent = _sendings(cell, facts)
    surely = [latest for earliest, latest in sent if earliest >= BACK[1]]
    if not sent or not surely:
        return NEVER
    earliest = max(BACK[0], sent[0][0])
    return earliest, min(surely) + facts.rtt + GOODBYE


def _sendings(cell: Cell, facts: Facts) -> list[Span]:
    """When the connection sends something, from the fault to after the return."""
    if cell.situation is Situation.CONNECTING:
        return [(float(n), n + (n + 1) * lateness(1.0)) for n in range(5)]
    if facts.closed:
        return _window_probes(facts.closed)
    probes = _keepalive_probes(cell, facts)
    if facts.written_at is None:
        return probes
    # While data is in flight there are no keepalive probes. One that may come
    # before the write or not is not sure to be sent at all.
    write = facts.written_at[0]
    before = [(a, b if b < write else math.inf) for a, b in probes if a < write]
    return before + _retransmissions(cell, facts, facts.written_at)


def _retransmissions(cell: Cell, facts: Facts, written_at: Span) -> list[Span]:
    """The write, and each retransmission up to the first after the return."""
    defaults = cell.setting.defaults
    least, most = retransmission_timeout(facts.rtt, defaults)
    if facts.rto is not None:
        least = most = facts.rto
    spans = [written_at]
    # A tail loss probe comes first, after the smallest timeout at least, and sets
    # the timer anew.
    early = written_at[0] + min(defaults.rto_min, least) + least
    late = written_at[1] + 2 * most * STRETCH
    while spans[-1][0] < BACK[1]:
        spans.append((early, late))
        least, most = 2 * least, 2 * most
        early, late = early + least, late + most * STRETCH
    return spans


def _window_probes(closed: Span) -> list[Span]:
    """The window probe that is surely after the return."""
    # The pause between two doubles, so it is never longer than all before it.
    return [(0.0, BACK[0]), (BACK[1], (2 * BACK[1] + closed[1]) * STRETCH)]


def _keepalive_probes(cell: Cell, facts: Facts) -> list[Span]:
    keepalive = cell.setting.keepalive.over(cell.setting.defaults)
    idle, interval = keepalive.idle, keepalive.interval
    if not keepalive.on or idle is None or interval is None:
        return []
    first = max(0.0, idle - facts.silence[1])
    early, late = first, idle + lateness(idle) - facts.silence[0]
    spans = [(early, late)]
    while spans[-1][0] < BACK[1]:
        early, late = early + interval, late + interval + lateness(interval)
        spans.append((early, late))
    return spans
