"""
Ending connections of programs that run, by the kernel's own hand (SOCK_DESTROY).

The kernel goes by the cookie, so that a connection which has ended meanwhile, and
whose ports are another's by now, is *gone* and nothing else is touched. The program
gets ECONNABORTED at its next call; a peer that lives gets a reset.

Connections that were selected because their peer seems dead are looked at once more
right before: one that has been heard since is spared.

Source: Linux net/ipv4/tcp.c, tcp_abort(); net/ipv4/tcp_diag.c, tcp_diag_destroy().
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Event

from deadpeer.errors import AccessDenied, DeadPeerError, UnsupportedError
from deadpeer.host.outcomes import Outcome, Result
from deadpeer.host.stopping import stoppable
from deadpeer.host.targets import Target, rows_now
from deadpeer.kernel.diag import Diag, Ending
from deadpeer.kernel.diag_rows import MPTCP, DiagRow
from deadpeer.kernel.namespaces import in_namespace
from deadpeer.kernel.tcp_info import SUSPICIOUS

__all__ = ["Kill", "carry_out", "has_recovered", "plan_kills"]

Rows = dict[tuple[int, bytes], DiagRow]

ANSWERED = "its peer has been heard since"
NO_MPTCP = "the kernel cannot end a Multipath TCP connection as a whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill(Result):
    """
    A connection that is to be ended, or was.

    Args:
        target: Which one.
        reason: Why it was selected, if the evidence did that.
    """

    target: Target
    reason: str = ""


def plan_kills(targets: Iterable[Target]) -> tuple[Kill, ...]:
    """
    Return what would be ended; nothing is.

    Args:
        targets: The connections; listening sockets are none.
    """
    return tuple(map(_plan, (t for t in targets if not t.is_listening)))


def _plan(target: Target) -> Kill:
    if target.row.protocol != MPTCP:
        return Kill(target=target, outcome=Outcome.PLANNED, reason=target.reason)
    return Kill(
        target=target,
        outcome=Outcome.UNSUPPORTED,
        reason=target.reason,
        why=NO_MPTCP,
        error=UnsupportedError(NO_MPTCP, option="SOCK_DESTROY"),
    )


def carry_out(kills: Sequence[Kill], *, suspects: bool = False) -> tuple[Kill, ...]:
    """
    End what is planned, and say of each connection what came of it.

    Args:
        kills: The plan.
        suspects: They were selected because their peers seem dead: spare those
            that have been heard since.

    Raises:
        AccessDenied: It takes CAP_NET_ADMIN; nothing was ended.
        KernelRefused: This system has no network namespaces, or starts no more
            threads.
        Interrupted: Ctrl-C came; what was not reached is still planned.
    """
    return stoppable(partial(_carry_out, kills, suspects=suspects))


def _carry_out(
    kills: Sequence[Kill], stopped: Event, *, suspects: bool
) -> tuple[Kill, ...]:
    spaces = {kill.target.namespace.inode: kill.target.namespace for kill in kills}
    came: dict[int, Kill] = {}
    for inode, space in spaces.items():
        mine = {
            at: kill
            for at, kill in enumerate(kills)
            if kill.target.namespace.inode == inode
        }
        if stopped.is_set():
            came |= mine
            continue
        try:
            rows = rows_now({inode: space}) if suspects else None
            came |= in_namespace(space, partial(_end_all, mine, rows, stopped))
        except DeadPeerError as error:
            nothing = all(kill.outcome is not Outcome.DONE for kill in came.values())
            if nothing and isinstance(error, AccessDenied):
                raise
            came |= {at: _failed(kill, error) for at, kill in mine.items()}
    return tuple(came[at] for at in range(len(kills)))


def _end_all(
    mine: dict[int, Kill], rows: Rows | None, stopped: Event
) -> dict[int, Kill]:
    """End some connections of the namespace that this thread is in."""
    came: dict[int, Kill] = {}
    with Diag() as diag:
        for at, kill in mine.items():
            spared = None if rows is None else _spared(kill, rows)
            if kill.outcome is not Outcome.PLANNED or stopped.is_set():
                came[at] = kill
            elif spared is not None:
                came[at] = spared
            else:
                came[at] = _end(kill, diag)
    return came


def _end(kill: Kill, diag: Diag) -> Kill:
    try:
        ending = diag.destroy(kill.target.row)
    except AccessDenied:
        raise  # so it is for all others in this namespace
    except DeadPeerError as error:
        return _failed(kill, error)
    if ending is Ending.GONE:
        return kill.ended(Outcome.GONE, "it has ended already")
    return replace(kill, outcome=Outcome.DONE)


def _spared(kill: Kill, rows: Rows) -> Kill | None:
    """Return what came of one that is not to be ended after all."""
    target = kill.target
    now = rows.get((target.namespace.inode, target.row.cookie_bytes))
    if now is None:
        return kill.ended(Outcome.GONE, "it has ended already")
    if has_recovered(target.row, now):
        return kill.ended(Outcome.SPARED, ANSWERED)
    return None


def has_recovered(then: DiagRow, now: DiagRow) -> bool:
    """
    Tell whether a peer that seemed dead has been heard since, or may have been.

    Args:
        then: The connection when it was suspect.
        now: The same one, later.
    """
    first, second = then.vitals, now.vitals
    if first is None or second is None:
        return True
    if max(now.retransmits, second.retransmits, second.probes) < SUSPICIOUS:
        return True
    # Times since something was heard: what is heard sets them back.
    return (
        second.last_ack_recv_ms < first.last_ack_recv_ms
        or second.last_data_recv_ms < first.last_data_recv_ms
    )


def _failed(kill: Kill, error: DeadPeerError) -> Kill:
    return kill if kill.outcome is not Outcome.PLANNED else kill.failed(error)
