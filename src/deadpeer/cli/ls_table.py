"""A listing for people: a table, the worst first, and what could not be seen."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import click

from deadpeer.cli.durations import in_words, rounded_up
from deadpeer.cli.harmless import harmless
from deadpeer.host.judgement import Judgement, Verdict
from deadpeer.host.listing import HIDDEN, Listing, Seen
from deadpeer.host.shares import Share, count_verdicts, shares
from deadpeer.kernel.tcp_info import TcpState
from deadpeer.kernel.tcp_table import Timer

__all__ = ["notes", "summary_lines", "table_lines", "verdict_line"]

UNSEEN = "?"
NOTHING = "-"
NEVER = "never"
GAP = "  "
RIGHT = frozenset({"UNACKED", "CONNECTIONS", "SUSPECT", "UNPROTECTED", "UNKNOWN"})
STYLES: dict[Verdict, dict[str, Any]] = {
    Verdict.SUSPECT: {"fg": "red", "bold": True},
    Verdict.UNPROTECTED: {"fg": "yellow"},
    Verdict.UNKNOWN: {"fg": "cyan"},
    Verdict.PROTECTED: {"fg": "green"},
    Verdict.NONE: {"dim": True},
}
ORDER = {verdict: at for at, verdict in enumerate(Verdict)}
TIMERS = {
    Timer.RETRANSMIT: "retransmit",
    Timer.KEEPALIVE: "keepalive",
    Timer.TIME_WAIT: "time-wait",
    Timer.ZERO_WINDOW: "window",
}

# As a filter has them, where that is not our own name.
NAMES = {TcpState.FIN_WAIT1: "fin-wait-1", TcpState.FIN_WAIT2: "fin-wait-2"}

Row = list[str]


def table_lines(listing: Listing) -> Iterator[str]:
    """
    Yield the table of connections, the worst first.

    Args:
        listing: What is to be shown.
    """
    rows = sorted(listing.rows, key=_badness)
    several = len({row.netns for row in rows}) > 1
    names = {
        space.namespace.inode: str(space.namespace) for space in listing.snapshot.spaces
    }
    contained = any(row.container for row in rows)
    head = ["VERDICT", "IDLE", "BUSY", "STATE", "LOCAL", "PEER", "PROCESS", "USER"]
    head += ["CONTAINER"] * contained + ["NETNS"] * several
    head += ["KEEPALIVE", "LIMIT", "TIMER", "UNACKED", "WHY"]
    body = []
    for row in rows:
        line = [
            str(row.verdict),
            _unnoticed(row.judgement, row.judgement.idle),
            _unnoticed(row.judgement, row.judgement.busy),
            _state(row),
            str(row.local),
            str(row.peer),
            _process(row.pid, row.process_name) if row.holders else _nobody(row),
            harmless(row.user) or NOTHING,
        ]
        line += [harmless(row.container) or NOTHING] * contained
        line += [harmless(names.get(row.netns, str(row.netns)))] * several
        line += [
            _keepalive(row),
            _limit(row),
            _timer(row),
            str(row.unacknowledged),
            _why(row),
        ]
        body.append(line)
    yield from _laid_out(head, body, [STYLES[row.verdict] for row in rows])


def summary_lines(listing: Listing) -> Iterator[str]:
    """
    Yield the table of processes, the one with most to mend first.

    Args:
        listing: What is to be counted.
    """
    found = shares(listing.rows)
    head = ["PROCESS", "USER", "CONTAINER"]
    head += ["CONNECTIONS", "SUSPECT", "UNPROTECTED", "UNKNOWN"]
    body = [
        [
            _process(one.pid, one.name) if one.pid else UNSEEN,
            harmless(one.user) or NOTHING,
            harmless(one.container) or NOTHING,
            str(one.connections),
            str(one.suspect),
            str(one.unprotected),
            str(one.unknown),
        ]
        for one in found
    ]
    yield from _laid_out(head, body, [_share_style(one) for one in found])


def _share_style(share: Share) -> dict[str, Any]:
    if share.suspect:
        return STYLES[Verdict.SUSPECT]
    return STYLES[Verdict.UNPROTECTED] if share.unprotected else {}


def verdict_line(rows: Sequence[Seen], within: float) -> str:
    """
    Return the sentence over all connections.

    Args:
        rows: The connections.
        within: How soon a death should be noticed, in seconds.
    """
    counts = count_verdicts(rows)
    total = f"{len(rows)} connection{'' if len(rows) == 1 else 's'}"
    parts = [f"{count} {name}" for name, count in counts.items() if count]
    return f"{total}: {', '.join(parts) or 'none'} (within {in_words(within)})."


def notes(listing: Listing) -> Iterator[str]:
    """
    Yield what could not be seen, and what that would need.

    Args:
        listing: What was shown.
    """
    snapshot = listing.snapshot
    unseen = Counter(
        row.unseen
        for row in listing.rows
        if row.unseen and row.verdict is not Verdict.NONE
    )
    for reason, count in unseen.items():
        many = f"{count} connection{'' if count == 1 else 's'}"
        yield f"the settings of {many} were not seen: {reason}"
    for namespace, error in snapshot.closed_spaces:
        yield f"network namespace {namespace} was not looked at: {error}"
    if listing.unreadable_namespaces:
        yield (
            f"the network namespaces of {len(listing.unreadable_namespaces)} processes"
            " are not known, and may be others; that takes CAP_SYS_PTRACE"
        )
    for space in snapshot.spaces:
        dump = space.dump
        if not dump.is_whole:
            yield (
                f"the sockets of {space.namespace} changed while they were listed,"
                f" {dump.repeats + 1} times in a row: one may be missing"
            )
        elif dump.repeats:
            yield (
                f"the sockets of {space.namespace} changed while they were listed;"
                " they were listed again, and nothing is missing"
            )


def _badness(row: Seen) -> tuple[int, float, int, int]:
    judgement = row.judgement
    longest = judgement.unnoticed
    return (
        ORDER[judgement.verdict],
        math.inf if longest is None else -longest,
        row.pid or 0,
        row.inode,
    )


def _laid_out(
    head: Row, body: list[Row], styles: Sequence[dict[str, Any]]
) -> Iterator[str]:
    """Yield lines with the columns below each other, the first one coloured."""
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    right = [title in RIGHT for title in head]
    yield click.style(_line(head, widths, right), bold=True)
    for cells, style in zip(body, styles, strict=True):
        line = _line(cells, widths, right)
        first = widths[0]
        yield click.style(line[:first], **style) + line[first:]


def _line(cells: Row, widths: list[int], right: list[bool]) -> str:
    return GAP.join(
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(cells, widths, right, strict=True)
    ).rstrip()


def _unnoticed(judgement: Judgement, span: float | None) -> str:
    if span is None:
        return NOTHING if judgement.verdict is Verdict.NONE else UNSEEN
    return _span(span)


@lru_cache(maxsize=4096)
def _span(span: float) -> str:
    return NEVER if math.isinf(span) else in_words(rounded_up(span))


def _state(row: Seen) -> str:
    name = NAMES.get(row.state) or row.state.name.lower().replace("_", "-")
    return name if row.protocol == "tcp" else f"{name} ({row.protocol})"


def _why(row: Seen) -> str:
    reason = row.judgement.reason
    if row.state is TcpState.SYN_SENT and row.verdict is Verdict.UNPROTECTED:
        # What is judged is the connection that it becomes, not how long that takes.
        return f"once connected: {reason}"
    return reason


def _process(pid: int | None, name: str) -> str:
    return f"{harmless(name)}[{pid}]"


def _nobody(row: Seen) -> str:
    return UNSEEN if row.unseen == HIDDEN else NOTHING


def _keepalive(row: Seen) -> str:
    if row.keepalive is None:
        return NOTHING if row.verdict is Verdict.NONE else UNSEEN
    if not row.keepalive:
        return "off"
    if row.settings is None:
        return f"on {UNSEEN}"
    return f"{row.idle or UNSEEN}/{row.interval or UNSEEN}/{row.probes or UNSEEN}"


def _limit(row: Seen) -> str:
    if row.settings is None:
        return NOTHING if row.verdict is Verdict.NONE else UNSEEN
    return in_words(row.user_timeout) if row.user_timeout else NOTHING


def _timer(row: Seen) -> str:
    kind = TIMERS.get(row.timer)
    if kind is None or row.fires_in is None:
        return NOTHING
    return f"{kind} {in_words(row.fires_in)}"
