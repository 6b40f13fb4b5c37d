"""
A listing as JSON, schema ``deadpeer-ls/1``: one object, one line for each connection.

There may be tens of thousands of connections, and most of what is said of one is said
of thousands: the words for a process, for settings and for a verdict are made once.
What is left is a few numbers and addresses, which need no escaping.
"""

import json
import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from deadpeer.host.judgement import Judgement
from deadpeer.host.listing import Listing, select
from deadpeer.host.seen import Seen
from deadpeer.host.selection import Selection
from deadpeer.host.shares import Share, count_verdicts, shares
from deadpeer.kernel.diag_rows import TCP, DiagRow
from deadpeer.kernel.owners import Holder
from deadpeer.kernel.second_process import SecondProcess
from deadpeer.kernel.snapshot import Snapshot, Space
from deadpeer.kernel.tcp_info import TcpState
from deadpeer.kernel.tcp_table import Timer

__all__ = ["SCHEMA", "as_json", "as_json_by_two", "summary_as_json"]

SCHEMA = "deadpeer-ls/1"

STATES = {int(state): state.name for state in TcpState}
TIMERS = {int(timer): timer.name.lower() for timer in Timer}
NOBODY = (0, "null")
END = "\n]}\n"

RTT = struct.Struct("=I")  # of struct tcp_info, in microseconds
RTT_AT = 68
RTT_END = RTT_AT + RTT.size
COOKIE = struct.Struct("=II")  # of struct inet_diag_sockid, low half first
COOKIE_AT = 40

# As ``attachment_data`` makes them; None if they are not seen.
Attached = list[Any] | None

# State and protocol, namespace, settings and judgement, why they are unseen.
Key = tuple[tuple[int, int], int, int, int, str]

QUIET = '"timer":null,"unanswered":0,"unacknowledged":0,"unread":0,"rtt_us":'
COMPACT = (",", ":")  # megabytes of it are written


def as_json(listing: Listing, within: float, attached: Attached) -> Iterator[str]:
    """
    Yield the pieces of ``ls --json``; see docs/reference/cli.md.

    Args:
        listing: What is to be shown.
        within: How soon a death should be noticed, in seconds.
        attached: What is attached for connections to come.
    """
    counts = count_verdicts(listing.rows)
    yield head(listing.snapshot, within, attached, counts, "connections")
    yield lines(listing.rows)
    yield END


def summary_as_json(
    listing: Listing, within: float, attached: Attached
) -> Iterator[str]:
    """
    Yield the pieces of ``ls --json --summary``: by process, without connections.

    Args:
        listing: What is to be counted.
        within: How soon a death should be noticed, in seconds.
        attached: What is attached for connections to come.
    """
    counts = count_verdicts(listing.rows)
    yield head(listing.snapshot, within, attached, counts, "processes")
    yield ",\n".join(json.dumps(_share(share)) for share in shares(listing.rows))
    yield END


def as_json_by_two(
    snapshot: Snapshot, selection: Selection, attached: Attached
) -> Iterator[str]:
    """
    Yield what ``as_json`` does, of which a second process has made one half.

    Args:
        snapshot: What was seen.
        selection: Which sockets are to be shown.
        attached: What is attached for connections to come.
    """
    first, second = _halves(snapshot)
    with SecondProcess(lambda: _part(second, selection)) as other:
        text, counts = _part(first, selection)
        more, other_counts = other.result()
    both = {name: count + other_counts[name] for name, count in counts.items()}
    yield head(snapshot, selection.within, attached, both, "connections")
    yield text
    yield ",\n" if text and more else ""
    yield more
    yield END


def _part(snapshot: Snapshot, selection: Selection) -> tuple[str, dict[str, int]]:
    rows = select(snapshot, selection)
    return lines(rows), count_verdicts(rows)


def _halves(snapshot: Snapshot) -> tuple[Snapshot, Snapshot]:
    """Return a snapshot with the first, and one with the second half of each list."""
    halves: tuple[list[Space], list[Space]] = [], []
    for space in snapshot.spaces:
        rows = space.dump.rows
        middle = len(rows) // 2
        for half, part in zip(halves, (rows[:middle], rows[middle:]), strict=True):
            half.append(replace(space, dump=replace(space.dump, rows=part)))
    first, second = (replace(snapshot, spaces=tuple(half)) for half in halves)
    return first, second


def head(
    snapshot: Snapshot,
    within: float,
    attached: Attached,
    counts: Mapping[str, int],
    what: str,
) -> str:
    """
    Return the object up to its list.

    Args:
        snapshot: What was seen.
        within: How soon a death should be noticed, in seconds.
        attached: What is attached for connections to come.
        counts: How many connections have which verdict.
        what: What is in the list.
    """
    fields = {
        "schema": SCHEMA,
        "verb": "ls",
        "kernel": snapshot.kernel,
        "boot_id": snapshot.boot_id,
        "within": within,
        "whole": all(space.dump.is_whole for space in snapshot.spaces),
        "repeats": sum(space.dump.repeats for space in snapshot.spaces),
        "namespaces": [
            {
                "netns": space.namespace.inode,
                "name": space.namespace.name,
                "whole": space.dump.is_whole,
                "missing": space.dump.missing,
            }
            for space in snapshot.spaces
        ],
        "closed_namespaces": [
            {"netns": space.inode, "name": space.name, "error": str(error)}
            for space, error in snapshot.closed_spaces
        ],
        "hidden_processes": [*snapshot.owners.unreadable, *snapshot.settings.refused],
        "attached": attached,
        "verdicts": counts,
    }
    return json.dumps(fields)[:-1] + f', "{what}": [\n'


def lines(rows: Iterable[Seen]) -> str:
    """
    Return the objects of connections, a line each.

    Args:
        rows: The connections.
    """
    return ",\n".join(map(_Words().line, rows))


def _share(share: Share) -> dict[str, Any]:
    return {
        "pid": share.pid,
        "process": share.name or None,
        "user": share.user or None,
        "container": share.container or None,
        "connections": share.connections,
        "suspect": share.suspect,
        "unprotected": share.unprotected,
        "unknown": share.unknown,
    }


class _Words:
    """The parts of a line that many share."""

    def __init__(self) -> None:
        self._about: dict[int, str] = {}
        self._known: dict[Key, str] = {}

    def line(self, seen: Seen) -> str:
        """Return the object of one connection."""
        netns, row, holders, _, settings, unseen, judgement = seen
        host, port, peer_host, peer_port = row.ends
        pid, fd = holders[0] if holders else NOBODY
        info, raw = row.info, row.id
        about = self._about.get(pid) or self._new_about(pid, seen)
        # The objects live as long as the listing, so that no two have one number.
        kind = row.state << 1 | bool(row.ulp_info), row.protocol
        key = kind, netns, id(settings), id(judgement), unseen
        known = self._known.get(key) or self._new_known(key, seen)
        others = _others(holders) if len(holders) > 1 else "[]"
        quiet = not (row.timer or row.unacknowledged or row.unread or row.retransmits)
        work = QUIET if quiet else _work(row)
        told = len(info) >= RTT_END and row.protocol == TCP
        rtt_us = RTT.unpack_from(info, RTT_AT)[0] if told else "null"
        low, high = COOKIE.unpack_from(raw, COOKIE_AT)
        return (
            f'{{"inode":{row.inode},"cookie":{high << 32 | low},'
            f'"local":{{"host":"{host}","port":{port}}},'
            f'"peer":{{"host":"{peer_host}","port":{peer_port}}},'
            f'{about},"fd":{fd},"other_holders":{others},{known},{work}{rtt_us}}}'
        )

    def _new_about(self, pid: int, seen: Seen) -> str:
        process = seen.process
        about = self._about[pid] = _inside(
            {
                "pid": process.pid if process else pid or None,
                "process": process.name if process else None,
                "user": (process.user or None) if process else None,
                "container": (process.container or None) if process else None,
            }
        )
        return about

    def _new_known(self, key: Key, seen: Seen) -> str:
        known = self._known[key] = _inside(
            {
                "state": STATES.get(seen.row.state, str(seen.row.state)),
                "protocol": seen.protocol,
                "netns": seen.netns,
                "keepalive": seen.keepalive,
                "idle": seen.idle,
                "interval": seen.interval,
                "probes": seen.probes,
                "user_timeout": seen.user_timeout,
                "unseen": seen.unseen or None,
                "verdict": str(seen.judgement.verdict),
                "protected": seen.judgement.protected,
                "reason": seen.judgement.reason or None,
                **unnoticed(seen.judgement),
            }
        )
        return known


def _work(row: DiagRow) -> str:
    """Return what a connection is doing."""
    timer = "null"
    if row.timer:
        kind = TIMERS.get(row.timer, str(row.timer))
        timer = f'{{"kind":"{kind}","fires_in":{row.expires_ms / 1000}}}'
    # Of a listening socket the kernel tells other things there.
    listens = row.state == TcpState.LISTEN
    unacknowledged, unread = (0, 0) if listens else (row.unacknowledged, row.unread)
    return (
        f'"timer":{timer},"unanswered":{row.retransmits},'
        f'"unacknowledged":{unacknowledged},"unread":{unread},"rtt_us":'
    )


def unnoticed(judgement: Judgement) -> dict[str, float | None]:
    """
    Return how long a death goes unnoticed; None is for ever.

    What is not known is absent.

    Args:
        judgement: Of one connection.
    """
    spans = {"unnoticed_idle": judgement.idle, "unnoticed_busy": judgement.busy}
    return {
        name: None if math.isinf(span) else round(span, 3)
        for name, span in spans.items()
        if span is not None
    }


def _others(holders: tuple[Holder, ...]) -> str:
    return json.dumps([{"pid": pid, "fd": fd} for pid, fd in holders[1:]])


def _inside(fields: dict[str, Any]) -> str:
    """Return the fields of an object without its braces."""
    return json.dumps(fields, allow_nan=False, separators=COMPACT)[1:-1]
