"""
The connections of a host: selected, each with its owner, its settings, its verdict.

``survey`` looks and selects; ``select`` chooses from a snapshot that was taken before,
or was read from a recording. Whoever wants to change sockets starts here as well: a
row tells which socket it is (``identity``) and who holds it.
"""

from dataclasses import dataclass, replace

from deadpeer.errors import AccessDenied
from deadpeer.host.filters import Filter
from deadpeer.host.judgement import Judge
from deadpeer.host.seen import Seen
from deadpeer.host.selection import (
    ALL_NAMESPACES,
    Selection,
    members,
    namespaces_of,
)
from deadpeer.host.verdicts import Verdict
from deadpeer.kernel.diag_rows import DiagRow
from deadpeer.kernel.owners import Holder, Owners
from deadpeer.kernel.shared_work import OwnersFoundMeanwhile
from deadpeer.kernel.snapshot import Asked, Snapshot, take_snapshot

__all__ = [
    "HIDDEN",
    "Listing",
    "Seen",
    "concealed",
    "look",
    "select",
    "survey",
]

NOBODY_HOLDS = "no process holds it"
HIDDEN = "its process may not be looked into; that takes CAP_SYS_PTRACE (run with sudo)"
CHANGED = "it was closed meanwhile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """
    What was selected, and from what.

    Args:
        rows: The sockets that are meant.
        snapshot: What they were selected from.
        unreadable_namespaces: Processes whose namespace is not known, and may be
            one that was not looked at; only where all were asked for.
    """

    rows: tuple[Seen, ...]
    snapshot: Snapshot
    unreadable_namespaces: tuple[int, ...] = ()


def survey(
    selection: Selection,
    *,
    processes: int = 1,
    search: OwnersFoundMeanwhile | None = None,
    whole: bool = False,
) -> Listing:
    """
    Look at this host and return the sockets that are meant; nothing is changed.

    Args:
        selection: Which ones.
        processes: How many may work at it; see ``take_snapshot``.
        search: The search for owners, if it was begun before.
        whole: Whether the snapshot is to have the settings of the other sockets
            too, as for a recording. Else those are left in peace.

    Raises:
        ConfigError: The filter is none, or a namespace or process is not there.
        AccessDenied: What was asked for by name may not be looked at.
        UnsupportedError: The kernel cannot list TCP sockets.
        KernelRefused: It failed in another way.
    """
    snapshot, unreadable = look(
        selection, processes=processes, search=search, whole=whole
    )
    return Listing(
        rows=select(snapshot, selection),
        snapshot=snapshot,
        unreadable_namespaces=unreadable,
    )


def look(
    selection: Selection,
    *,
    processes: int = 1,
    search: OwnersFoundMeanwhile | None = None,
    whole: bool = False,
) -> tuple[Snapshot, tuple[int, ...]]:
    """
    Look at this host for the sockets that are meant; ``select`` finds them in it.

    Args:
        selection: Which ones.
        processes: How many may work at it; see ``take_snapshot``.
        search: The search for owners, if it was begun before.
        whole: As for ``survey``.

    Returns:
        The snapshot, and the processes whose namespace is not known.

    Raises:
        ConfigError: The filter is none, or a namespace or process is not there.
        AccessDenied: What was asked for by name may not be looked at.
        UnsupportedError: The kernel cannot list TCP sockets.
        KernelRefused: It failed in another way.
    """
    chosen = selection.filter
    namespaces, unreadable = namespaces_of(selection)
    snapshot = take_snapshot(
        namespaces,
        states=chosen.states,
        processes=processes,
        search=search,
        asked=None if whole else _asked(chosen, selection.pids),
    )
    named = ALL_NAMESPACES not in selection.netns
    if named and snapshot.closed_spaces:
        raise snapshot.closed_spaces[0][1]
    return snapshot, unreadable


def select(snapshot: Snapshot, selection: Selection) -> tuple[Seen, ...]:
    """
    Return the sockets of a snapshot that are meant.

    Args:
        snapshot: What was seen, here or elsewhere.
        selection: Which ones; its namespaces are not looked at.

    Raises:
        ConfigError: The filter is none.
    """
    chosen = selection.filter
    states, test = chosen.states, chosen.test
    wanted = members(selection, snapshot.processes)
    unprotected, suspect = selection.unprotected, selection.suspect
    first, others = snapshot.owners.first, snapshot.owners.others
    settings_of, facts = snapshot.settings.settings, snapshot.processes
    new = tuple.__new__  # what a named tuple does when it is called, less the calls
    found: list[Seen] = []
    for space in snapshot.spaces:
        netns = space.namespace.inode
        judge = Judge(space.defaults, within=selection.within).judge
        for row in space.dump.rows:
            if not states >> row.state & 1 or not (test is None or test(row)):
                continue
            inode = row.inode
            holder = first.get(inode)
            holders: tuple[Holder, ...] = ()
            process = None
            if holder is not None:
                holders = (new(Holder, holder),)
                process = facts.get(holder[0])
                if inode in others:
                    holders += tuple(map(Holder._make, others[inode]))
            if wanted is not None and not any(pid in wanted for pid, _ in holders):
                continue
            settings = settings_of.get(row.cookie_bytes)
            judgement = judge(row, settings)
            if unprotected and judgement.protected is not False:
                continue
            if suspect and judgement.verdict is not Verdict.SUSPECT:
                continue
            unseen = "" if settings is not None else _why(snapshot, row, holders)
            found.append(
                new(Seen, (netns, row, holders, process, settings, unseen, judgement))
            )
    return tuple(found)


def concealed(snapshot: Snapshot, selection: Selection) -> int:
    """
    Return of how many connections that may be meant the settings may not be seen.

    Whose they are is not seen either, so those count that any process may hold
    which is meant and may not be looked into.

    Args:
        snapshot: What was seen.
        selection: Which ones; its ``unprotected`` is not looked at, for it takes
            what is not seen for something else.

    Raises:
        ConfigError: The filter is none.
    """
    wanted = members(selection, snapshot.processes)
    hidden = {*snapshot.owners.unreadable, *snapshot.settings.refused}
    if wanted is not None and wanted.isdisjoint(hidden):
        return 0
    anybodys = replace(
        selection, pids=frozenset(), processes=(), users=(), unprotected=False
    )
    return sum(
        row.unseen == HIDDEN
        and row.verdict is not Verdict.NONE
        and (
            wanted is None
            or not row.holders
            or any(pid in wanted for pid, _ in row.holders)
        )
        for row in select(snapshot, anybodys)
    )


def _asked(chosen: Filter, pids: frozenset[int]) -> Asked | None:
    """Return which sockets to ask for their settings."""
    test = chosen.test
    if not pids:
        return None if test is None else lambda row, _: test(row)

    def asked(row: DiagRow, owners: Owners) -> bool:
        if test is not None and not test(row):
            return False
        return any(pid in pids for pid, _ in owners.of(row.inode))

    return asked


def _why(snapshot: Snapshot, row: DiagRow, holders: tuple[Holder, ...]) -> str:
    """Say why the settings of a socket were not seen."""
    for pid, _ in holders:
        error = snapshot.settings.refused.get(pid)
        if error is not None:
            return HIDDEN if isinstance(error, AccessDenied) else error.message
    if holders:
        return CHANGED
    if row.inode and snapshot.owners.unreadable:
        return HIDDEN
    return NOBODY_HOLDS
