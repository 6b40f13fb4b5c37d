"""Connections counted: by verdict, and by the process that holds them."""

from collections.abc import Iterable
from dataclasses import dataclass

from deadpeer.host.seen import Seen
from deadpeer.host.verdicts import Verdict

__all__ = ["Share", "count_verdicts", "shares"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """
    What one process has of the connections.

    Args:
        pid: The process; None stands for those that no process is seen to hold.
        name: Its short name.
        user: Whose rights it has.
        container: What it runs in; empty if in none.
        connections: How many it holds.
        suspect: Of how many the peer is probably dead already.
        unprotected: On how many a death would go unnoticed for too long.
        unknown: Of how many the settings were not seen.
    """

    pid: int | None
    name: str
    user: str
    container: str
    connections: int
    suspect: int
    unprotected: int
    unknown: int


def shares(rows: Iterable[Seen]) -> tuple[Share, ...]:
    """
    Return what each process has, the one with most unprotected connections first.

    A connection that several hold is counted for the first of them.

    Args:
        rows: The connections.
    """
    groups: dict[int | None, list[Seen]] = {}
    for row in rows:
        groups.setdefault(row.pid, []).append(row)
    made = [_share(pid, group) for pid, group in groups.items()]
    return tuple(
        sorted(
            made,
            key=lambda one: (
                -one.suspect,
                -one.unprotected,
                -one.connections,
                one.pid or 0,
            ),
        )
    )


def _share(pid: int | None, group: list[Seen]) -> Share:
    first = group[0]
    verdicts = [row.judgement.verdict for row in group]
    return Share(
        pid=pid,
        name=first.process_name,
        user=first.user,
        container=first.container,
        connections=len(group),
        suspect=verdicts.count(Verdict.SUSPECT),
        unprotected=sum(row.judgement.protected is False for row in group),
        unknown=verdicts.count(Verdict.UNKNOWN),
    )


def count_verdicts(rows: Iterable[Seen]) -> dict[str, int]:
    """
    Return how many connections have which verdict, the worst first.

    Args:
        rows: The connections.
    """
    verdicts = [row.judgement.verdict for row in rows]
    return {str(verdict): verdicts.count(verdict) for verdict in Verdict}
