"""
Why a connection does not notice a dead peer: from facts to findings, pure.

A finding is a ``defect`` where it keeps a death unnoticed for longer than is
asked for, else a ``note``. Each comes with its evidence and with a remedy.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from deadpeer.cli.durations import in_words, rounded_up
from deadpeer.kernel.tcp_info import TcpState
from deadpeer.kernel.tcp_table import TcpRow, Timer
from deadpeer.platforms import LINUX, Defaults, Name
from deadpeer.policy import Assessment, Keepalive, State, assess

__all__ = [
    "Connection",
    "Diagnosis",
    "Finding",
    "Problem",
    "Severity",
    "diagnose",
    "elsewhere",
]

# How much later than its options allow a timer may show before it counts as
# armed under other ones: rounding to whole ticks, and the time between looking
# at the timer and asking for the options.
TOLERANCE = 1.0

# States in which the socket's one slow timer is the keepalive timer. In
# FIN_WAIT2 it also ends the socket (tcp_fin_timeout).
# Source: net/ipv4/tcp_timer.c, tcp_keepalive_timer().
ALIVE = (TcpState.ESTABLISHED, TcpState.CLOSE_WAIT)

SYSCTLS: dict[Name, str] = {
    "idle": "net.ipv4.tcp_keepalive_time",
    "interval": "net.ipv4.tcp_keepalive_intvl",
    "probes": "net.ipv4.tcp_keepalive_probes",
}


class Problem(StrEnum):
    """What is found."""

    KEEPALIVE_OFF = "keepalive off"
    TOO_SLOW = "too slow"
    OVERRIDDEN = "values overridden"
    ARMED_BEFORE = "timer armed before the change"
    TIMER_HIDDEN = "timer hidden"
    NO_LIMIT_ON_DATA = "no limit on data in flight"
    OTHER_NAMESPACE = "another namespace"
    MULTIPATH = "multipath TCP"


class Severity(StrEnum):
    """How much a finding matters."""

    DEFECT = "defect"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """
    One reason.

    Args:
        problem: Its kind.
        severity: Whether it keeps a death unnoticed.
        evidence: What was seen.
        remedy: What to do; empty where there is nothing to be done.
    """

    problem: Problem
    severity: Severity
    evidence: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """
    What was seen of one connection.

    Args:
        local: This end's address, as text.
        peer: The other end's.
        state: What TCP is doing.
        keepalive: The settings that the socket reports.
        defaults: The settings of its network namespace; None if unreadable.
        rtt: The round-trip time that the kernel measured, in seconds.
        row: Its line in the kernel's table, with the armed timer; None if it
            was not found there.
    """

    local: str
    peer: str
    state: TcpState
    keepalive: Keepalive
    defaults: Defaults | None
    rtt: float
    row: TcpRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """
    What is the matter with one connection.

    Args:
        connection: What was seen.
        idle: Seconds for which a death goes unnoticed at the most while the
            connection is idle; ``math.inf`` is for ever.
        busy: The same while data is in flight.
        findings: The reasons, in the order in which to read them.
    """

    connection: Connection
    idle: float
    busy: float
    findings: tuple[Finding, ...]

    @property
    def protected(self) -> bool:
        """Whether no finding keeps a death unnoticed."""
        return all(found.severity is not Severity.DEFECT for found in self.findings)


def diagnose(connection: Connection, *, within: float) -> Diagnosis:
    """
    Find out why a death would go unnoticed.

    Args:
        connection: What was seen.
        within: How soon a death should be noticed, in seconds.
    """
    found = assess(
        connection.keepalive,
        rtt=connection.rtt,
        defaults=connection.defaults or LINUX.defaults,
    )
    delay = _armed_too_late(connection, found.effective)
    idle = found.bound(State.IDLE).latest + delay
    busy = found.bound(State.UNACKNOWLEDGED).latest
    findings = (
        *_about_idle(connection, found, idle, delay, within),
        *_about_values(connection),
        *_about_timer(connection, found),
        *_about_data(found, busy, within),
    )
    return Diagnosis(connection=connection, idle=idle, busy=busy, findings=findings)


def _about_idle(
    connection: Connection,
    found: Assessment,
    idle: float,
    delay: float,
    within: float,
) -> Iterator[Finding]:
    effective = found.effective
    if not effective.on:
        yield Finding(
            problem=Problem.KEEPALIVE_OFF,
            severity=Severity.DEFECT,
            evidence="SO_KEEPALIVE is 0: the program never turned it on, and the"
            " sysctls are for sockets that have it on",
            remedy="have the program set SO_KEEPALIVE; look for its option of that"
            " name",
        )
        return
    if delay:
        row = connection.row
        yield Finding(
            problem=Problem.ARMED_BEFORE,
            severity=Severity.DEFECT if idle > within else Severity.NOTE,
            evidence=f"the armed timer fires in {in_words(row.expires if row else 0)},"
            f" though TCP_KEEPIDLE reads {in_words(effective.idle or 0)}: it was armed"
            " under older settings, which getsockopt does not tell",
            remedy="reconnect; or the program sets TCP_KEEPIDLE itself, which arms"
            " the timer anew",
        )
    usual = idle - delay
    if usual > within:
        yield Finding(
            problem=Problem.TOO_SLOW,
            severity=Severity.DEFECT,
            evidence=f"TCP_KEEPIDLE {in_words(effective.idle or 0)}, TCP_KEEPINTVL"
            f" {in_words(effective.interval or 0)}, TCP_KEEPCNT {effective.probes}:"
            f" an idle peer's death is noticed after up to {_latest(usual)}",
            remedy=f"shorter values: deadpeer explain --within {within:g}",
        )


def _armed_too_late(connection: Connection, effective: Keepalive) -> float:
    """Return by how much the armed keepalive timer exceeds what options allow."""
    row = connection.row
    if row is None or row.timer is not Timer.KEEPALIVE or row.state not in ALIVE:
        return 0.0
    allowed = max(effective.idle or 0.0, effective.interval or 0.0)
    late = row.expires - allowed
    return late if effective.on and late > TOLERANCE else 0.0


def _about_values(connection: Connection) -> Iterator[Finding]:
    defaults = connection.defaults
    if defaults is None or not connection.keepalive.on:
        return
    differing = [
        f"{LINUX.options[name].name} is {_shown(name, own)} and {key} {_shown(name, theirs)}"
        for name, key in SYSCTLS.items()
        if (own := getattr(connection.keepalive, name)) is not None
        and own != (theirs := getattr(defaults, name))
    ]
    if differing:
        yield Finding(
            problem=Problem.OVERRIDDEN,
            severity=Severity.NOTE,
            evidence=f"{', '.join(differing)}: the program set its own",
            remedy="change the program's settings; sysctls cannot reach this socket",
        )


def _shown(name: str, value: float) -> str:
    return f"{value:g}" if name == "probes" else in_words(value)


def _about_timer(connection: Connection, found: Assessment) -> Iterator[Finding]:
    row = connection.row
    if row is None or row.timer not in (Timer.RETRANSMIT, Timer.ZERO_WINDOW):
        return
    if row.timer is Timer.RETRANSMIT:
        seen = (
            f"{row.unacknowledged} bytes are unacknowledged, retransmitted"
            f" {row.retransmits} times in a row"
        )
    else:
        seen = (
            f"the peer's window is closed, {row.probes} window probes in a row are"
            " unanswered"
        )
    limit = "the user timeout" if found.effective.user_timeout else "tcp_retries2"
    yield Finding(
        problem=Problem.TIMER_HIDDEN,
        severity=Severity.NOTE,
        evidence=f"{seen}: keepalive does not run now, {limit} decides",
        remedy="",
    )


def _about_data(found: Assessment, busy: float, within: float) -> Iterator[Finding]:
    if busy <= within:
        return
    timeout = found.effective.user_timeout
    set_to = f"is {in_words(timeout)}" if timeout else "is not set"
    yield Finding(
        problem=Problem.NO_LIMIT_ON_DATA,
        severity=Severity.DEFECT,
        evidence=f"TCP_USER_TIMEOUT {set_to}: with data in flight keepalive stops, and"
        f" a death is noticed after up to {_latest(busy)}",
        remedy="have the program set TCP_USER_TIMEOUT; for the whole system,"
        " net.ipv4.tcp_retries2 or (Linux 6.15) tcp_rto_max_ms shortens it",
    )


def _latest(seconds: float) -> str:
    return in_words(rounded_up(seconds))


def elsewhere(
    pid: int, *, here: Defaults, there: Defaults | None, namespace: int
) -> Finding:
    """
    Say that a process does not see the sysctls of this network namespace.

    Args:
        pid: The process.
        here: The settings of this namespace.
        there: Those of the process's, or None if they may not be read.
        namespace: The number of the process's namespace.
    """
    where = f"process {pid} is in another network namespace (net:[{namespace}])"
    if there is None:
        evidence = f"{where}, whose sysctls may not be read without CAP_SYS_ADMIN"
    else:
        differing = [
            f"{key} is {_shown(name, getattr(there, name))} there and"
            f" {_shown(name, getattr(here, name))} here"
            for name, key in SYSCTLS.items()
            if getattr(there, name) != getattr(here, name)
        ]
        evidence = f"{where}: {', '.join(differing) or 'its sysctls are the same'}"
    return Finding(
        problem=Problem.OTHER_NAMESPACE,
        severity=Severity.NOTE,
        evidence=evidence,
        remedy=f"set its sysctls there: nsenter --net --target {pid} sysctl"
        " net.ipv4.tcp_keepalive_time=…",
    )
