"""
What a watch tells: a connection became suspect, died, recovered, or is unprotected.

Values only, and their form in JSON (``deadpeer-watch/1``), which is the same for the
lines of the daemon, the webhook and the commands that it runs.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from deadpeer.host.judgement import Judgement
from deadpeer.kernel.diag_rows import DiagRow
from deadpeer.kernel.tcp_info import SUSPICIOUS, TcpState
from deadpeer.kernel.tcp_table import Timer

__all__ = [
    "NOBODY",
    "SCHEMA",
    "About",
    "Change",
    "ChangeKind",
    "DeathReason",
    "Unanswered",
    "Who",
    "as_data",
    "unanswered",
]

SCHEMA = "deadpeer-watch/1"
"""The version of the JSON; it grows when a field changes or goes away."""

# Where in struct tcp_info they are; see kernel/tcp_info.py.
RETRANSMITS_AT, PROBES_AT = 2, 3


class ChangeKind(StrEnum):
    """What happened to a connection."""

    SUSPECT = "suspect"
    """Two or more probes or retransmissions in a row were not answered."""
    DEAD = "dead"
    """It ended while nothing was answered."""
    RECOVERED = "recovered"
    """It was suspect, and its peer answers again."""
    UNPROTECTED = "unprotected"
    """A connection appeared on which a death would go unnoticed for too long."""


class DeathReason(StrEnum):
    """How a suspect connection ended."""

    TIMED_OUT = "timed_out"
    """The kernel gave it up: probes or data stayed unanswered for too long."""
    RESET = "reset"
    """A reset ended it: the peer came back without its state, or this end gave up."""
    KILLED = "killed"
    """It was ended from here, by the one who watches."""
    UNKNOWN = "unknown"
    """It is gone, and what the kernel counted does not tell how."""


class Who(NamedTuple):
    """
    The process that holds a connection; empty where nobody does, or may be seen.

    Attributes:
        pid: Its number; 0 if unknown.
        process: Its short name.
        user: The name of its user.
        container: The container that it runs in; empty if none.
        uid: The number of its user; None if unknown.
    """

    pid: int = 0
    process: str = ""
    user: str = ""
    container: str = ""
    uid: int | None = None


NOBODY = Who()
"""No process, or none that may be seen."""


class About(NamedTuple):
    """
    What is known of a connection beyond what a dump tells.

    Attributes:
        who: The process that holds it.
        fd: The number of its descriptor there; -1 if unknown.
        judgement: How long a death would go unnoticed.
    """

    who: Who
    fd: int
    judgement: Judgement


class Unanswered(NamedTuple):
    """
    What the kernel sent in a row without an answer.

    Attributes:
        retransmits: Retransmissions of data.
        probes: Probes, of keepalive or of a closed window.
    """

    retransmits: int
    probes: int

    @property
    def is_suspect(self) -> bool:
        """Whether a live peer would have answered by now."""
        return self.retransmits >= SUSPICIOUS or self.probes >= SUSPICIOUS


def unanswered(row: DiagRow) -> Unanswered:
    """
    Return what went unanswered on a connection.

    Args:
        row: As a dump tells of it.

    Source: Linux net/ipv4/inet_diag.c, inet_sk_diag_fill(): ``idiag_retrans`` counts
    what the armed timer is of; ``tcp_info`` has both.
    """
    info, retransmits, probes = row.info, 0, 0
    if len(info) > PROBES_AT:
        retransmits, probes = info[RETRANSMITS_AT], info[PROBES_AT]
    if row.timer == Timer.RETRANSMIT:
        return Unanswered(max(retransmits, row.retransmits), probes)
    if row.timer in (Timer.KEEPALIVE, Timer.ZERO_WINDOW):
        return Unanswered(retransmits, max(probes, row.retransmits))
    return Unanswered(retransmits, probes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """
    One change of one connection.

    Args:
        kind: What happened.
        at: When it was seen, in seconds of the clock of whoever looks.
        namespace: The number of the network namespace.
        row: The connection as it was last seen.
        about: What is known of it; None if that was not found out in time.
        reason: How it ended, of a death.
        suspect_for: Seconds since it had become suspect; None if it was not.
    """

    kind: ChangeKind
    at: float
    namespace: int
    row: DiagRow
    about: About | None = None
    reason: DeathReason | None = None
    suspect_for: float | None = None


def as_data(change: Change, *, time: str) -> dict[str, Any]:
    """
    Return a change as JSON has it; see docs/reference/cli.md.

    Args:
        change: What happened.
        time: When, on the wall's clock, as text.
    """
    row, about = change.row, change.about
    who = about.who if about else NOBODY
    judgement = about.judgement if about else None
    ends, counts, vitals = row.ends, unanswered(row), row.vitals
    heard_ms = vitals and min(vitals.last_data_recv_ms, vitals.last_ack_recv_ms)
    return {
        "schema": SCHEMA,
        "verb": "watch",
        "time": time,
        "change": change.kind,
        "reason": change.reason,
        "suspect_for": change.suspect_for and round(change.suspect_for, 3),
        "netns": change.namespace,
        "inode": row.inode,
        "cookie": row.cookie,
        "state": _state(row.state),
        "local": {"host": ends.local_host, "port": ends.local_port},
        "peer": {"host": ends.remote_host, "port": ends.remote_port},
        "pid": who.pid or None,
        "process": who.process or None,
        "user": who.user or None,
        "container": who.container or None,
        "protected": judgement.protected if judgement else None,
        **(_unnoticed(judgement) if judgement else {}),
        "evidence": {
            "retransmits": counts.retransmits,
            "probes": counts.probes,
            "silence": None if heard_ms is None else heard_ms / 1000,
            "unacknowledged": row.unacknowledged,
            "rtt": vitals.rtt_us / 1e6 if vitals and vitals.rtt_us else None,
        },
    }


def _state(number: int) -> str:
    try:
        return TcpState(number).name
    except ValueError:
        return str(number)


def _unnoticed(judgement: Judgement) -> dict[str, float | None]:
    """Return how long a death goes unnoticed: None is for ever, unknown is absent."""
    spans = {"unnoticed_idle": judgement.idle, "unnoticed_busy": judgement.busy}
    return {
        name: None if math.isinf(span) else round(span, 3)
        for name, span in spans.items()
        if span is not None
    }
