"""
The connections of a watch as lines of a table: which come first, and what they say.

Of ten thousands of connections a screen shows some, so all are compared by what is at
hand, and only those that are shown are put into words.
"""

import heapq
import math
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple

from rich.text import Text

from deadpeer.cli.durations import in_words, rounded_up
from deadpeer.cli.harmless import harmless
from deadpeer.host.changes import About, Change, ChangeKind, unanswered
from deadpeer.host.space_watch import Connection
from deadpeer.kernel.diag_rows import DiagRow
from deadpeer.kernel.tcp_info import TcpState
from deadpeer.kernel.tcp_table import Endpoint

__all__ = [
    "COLUMNS",
    "SORTS",
    "Key",
    "Line",
    "Watched",
    "change_line",
    "hidden_words",
    "top_lines",
    "who_words",
]

Key = tuple[int, bytes]
"""Namespace and cookie: which connection."""
Watched = tuple[int, bytes, DiagRow, Connection]

COLUMNS = (
    "verdict", "process", "local", "peer", "state", "unnoticed idle",
    "unnoticed busy", "unanswered", "silence", "unacked", "rtt",
)  # fmt: skip

STYLES = {
    "suspect": "bold red",
    "unprotected": "yellow",
    "unknown": "dim",
    "protected": "green",
}
CHANGE_STYLES = {
    ChangeKind.DEAD: "bold red",
    ChangeKind.SUSPECT: "red",
    ChangeKind.UNPROTECTED: "yellow",
    ChangeKind.RECOVERED: "green",
}
RANKS = {False: 1, None: 2, True: 3}


class Line(NamedTuple):
    """
    One connection, in words.

    Attributes:
        key: Which one.
        cells: What stands in each of the columns.
    """

    key: Key
    cells: tuple[Text, ...]


def _by_verdict(one: Watched) -> Any:
    _, _, _, made = one
    judgement = made.about.judgement if made.about else None
    rank = RANKS[judgement.protected] if judgement else 2
    unnoticed = (judgement and judgement.unnoticed) or 0.0
    since = made.suspect_at
    return (0, since) if since is not None else (rank, -unnoticed)


def _by_process(one: Watched) -> Any:
    about = one[3].about
    return (about.who.process, about.who.pid) if about else ("", 0)


def _by_peer(one: Watched) -> Any:
    _, port, host, peer_port = one[2].ends
    return host, peer_port, port


def _by_silence(one: Watched) -> Any:
    return -(_silence(one[2]) or 0.0)


def _by_unacked(one: Watched) -> Any:
    return -one[2].unacknowledged


SORTS: dict[str, Callable[[Watched], Any]] = {
    "verdict": _by_verdict,
    "process": _by_process,
    "peer": _by_peer,
    "silence": _by_silence,
    "unacked": _by_unacked,
}
"""The orders there are: by which column, and what is compared."""


def top_lines(watched: Iterable[Watched], *, sort: str, most: int) -> list[Line]:
    """
    Return the first lines of the table.

    Args:
        watched: As ``Sampler.watched`` yields them.
        sort: One of ``SORTS``.
        most: How many lines at most.
    """
    compared = SORTS[sort]
    # The cookie decides between equals, so that lines stay where they are.
    first = heapq.nsmallest(most, watched, key=lambda one: (compared(one), one[1]))
    return [_line(one) for one in first]


def change_line(change: Change, *, at: datetime) -> Text:
    """
    Return the line that scrolls by when something happened.

    Args:
        change: What happened.
        at: When, as the wall's clock has it.
    """
    about, judgement = change.about, change.about and change.about.judgement
    what = {
        ChangeKind.DEAD: f"dead: {str(change.reason or '').replace('_', ' ')}",
        ChangeKind.SUSPECT: f"suspect: {_unanswered(change.row)} unanswered",
        ChangeKind.RECOVERED: f"recovered after {in_words(change.suspect_for or 0)}",
        ChangeKind.UNPROTECTED: f"unprotected: {judgement.reason if judgement else ''}",
    }[change.kind]
    who = who_words(about)
    ends = " → ".join(_ends(change.row))
    return Text.assemble(
        (f"{at:%H:%M:%S} ", "dim"), f"{who} {ends} ", (what, CHANGE_STYLES[change.kind])
    )


def who_words(about: About | None) -> str:
    """
    Return which process holds a connection.

    Args:
        about: What is known of it.
    """
    if not about or not about.who.pid:
        return "?"
    return harmless(f"{about.who.process}[{about.who.pid}]")


def hidden_words(many: int) -> str:
    """
    Return what is said of processes that may not be looked into.

    Args:
        many: How many.
    """
    return (
        f"{many} process{'es' if many > 1 else ''} may not be looked into, which takes"
        " CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
    )


def _line(one: Watched) -> Line:
    namespace, cookie, row, made = one
    about = made.about
    judgement = about.judgement if about else None
    verdict = "unknown"
    if made.suspect_at is not None:
        verdict = "suspect"
    elif judgement and judgement.protected is not None:
        verdict = "protected" if judgement.protected else "unprotected"
    local, peer = _ends(row)
    vitals, silence = row.vitals, _silence(row)
    return Line(
        (namespace, cookie),
        (
            Text(verdict, style=STYLES[verdict]),
            Text(who_words(about)),
            Text(local),
            Text(peer),
            Text(_state(row.state)),
            _span(judgement.idle if judgement else None),
            _span(judgement.busy if judgement else None),
            Text(_unanswered(row)),
            Text("?" if silence is None else f"{silence:.0f} s", justify="right"),
            Text(str(row.unacknowledged), justify="right"),
            Text(
                f"{vitals.rtt_us / 1000:.3g} ms" if vitals and vitals.rtt_us else "?",
                justify="right",
            ),
        ),
    )


def _span(seconds: float | None) -> Text:
    if seconds is None:
        return Text("?", justify="right")
    if math.isinf(seconds):
        return Text("for ever", style="yellow", justify="right")
    return Text(in_words(rounded_up(seconds)), justify="right")


def _unanswered(row: DiagRow) -> str:
    counts = unanswered(row)
    said = []
    if counts.probes:
        said.append(f"{counts.probes} probe{'s' if counts.probes > 1 else ''}")
    if counts.retransmits:
        said.append(f"{counts.retransmits} resent")
    return ", ".join(said)


def _silence(row: DiagRow) -> float | None:
    vitals = row.vitals
    if not vitals:
        return None
    return min(vitals.last_data_recv_ms, vitals.last_ack_recv_ms) / 1000


def _ends(row: DiagRow) -> tuple[str, str]:
    host, port, peer_host, peer_port = row.ends
    return (
        str(Endpoint(host=host, port=port)),
        str(Endpoint(host=peer_host, port=peer_port)),
    )


def _state(number: int) -> str:
    try:
        return TcpState(number).name
    except ValueError:
        return str(number)
