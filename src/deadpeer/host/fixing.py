"""
Protecting sockets of programs that run, without their help.

It is done in three steps, and each may be the last: a plan, which reads and changes
nothing; a record of the old values, on the disk before the first change; the change
itself, through a borrowed descriptor, read back, and confirmed by the timer that the
kernel then shows as armed. A socket that is not as it was when it was planned is left
alone: the record would not say how to undo it.

Source: Linux pidfd_getfd(2), tcp(7); net/ipv4/tcp_timer.c, tcp_set_keepalive();
net/ipv4/tcp.c, tcp_sock_set_keepidle_locked().
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Event

from deadpeer.errors import DeadPeerError, KernelRefused, UnsupportedError
from deadpeer.host.goals import Goal, merged, worst_of
from deadpeer.host.held import held
from deadpeer.host.outcomes import Outcome, Result
from deadpeer.host.records import FixRecord, RecordedSocket, values_of
from deadpeer.host.stopping import stoppable
from deadpeer.host.targets import Target, rows_now, unreachable
from deadpeer.kernel.current_platform import this_platform
from deadpeer.kernel.diag_rows import DiagRow
from deadpeer.kernel.evidence import read_tcp_info
from deadpeer.kernel.options import apply
from deadpeer.kernel.registers import Reading, read
from deadpeer.kernel.sysctl.place import boot_id
from deadpeer.kernel.tcp_info import CONNECTED, TcpState
from deadpeer.kernel.tcp_table import Timer
from deadpeer.platforms import Platform
from deadpeer.policy import Keepalive

__all__ = ["Fix", "Goal", "carry_out", "plan_fixes", "record_of"]

# How much later than its settings allow a timer may show, in seconds: ticks, and
# the time between two looks. So `deadpeer ls` has it, too.
TOLERANCE = 1.0
# The states in which the kernel keeps a keepalive timer armed.
# Source: Linux net/ipv4/tcp_timer.c, tcp_keepalive_timer().
TIMED = frozenset({TcpState.ESTABLISHED, TcpState.CLOSE_WAIT})
FIXABLE = CONNECTED | {TcpState.LISTEN, TcpState.SYN_SENT}

CHANGED = "its program changed its options just now; plan again"
NOT_ARMED = (
    "the options are set, and the kernel does not show a timer that fires in time;"
    " undo puts the old ones back"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix(Result):
    """
    What is to be done to one socket, or was.

    Args:
        target: Which one.
        before: What it held.
        wanted: What is to be set; None if nothing is.
        after: What is in force then: expected in a plan, read back afterwards.
        reading: What it held, in the kernel's units.
        fires_in: When the keepalive timer fires that is armed now, in seconds;
            None if it is not told (data in flight hides it, a listener has none).
        warnings: What a careful engineer would say about it.
    """

    target: Target
    before: Keepalive | None = None
    wanted: Keepalive | None = None
    after: Keepalive | None = None
    reading: Reading | None = None
    fires_in: float | None = None
    warnings: tuple[str, ...] = ()


def plan_fixes(targets: Iterable[Target], goal: Goal) -> tuple[Fix, ...]:
    """
    Return what would be done to each socket; nothing is changed.

    Args:
        targets: The sockets.
        goal: What is wanted of them.

    Raises:
        ConfigError: The promise can be kept nowhere; says which is the smallest.
        UnsupportedError: This platform can give no promise.
    """
    platform = this_platform()
    # A promise that cannot be kept anywhere is a mistake, not a refusal by each.
    goal.settings(measured=None, defaults=platform.defaults, platform=platform)
    return tuple(_plan(target, goal, platform) for target in targets)


def _plan(target: Target, goal: Goal, platform: Platform) -> Fix:
    plain = Fix(target=target, outcome=Outcome.PLANNED)
    row = target.row
    if row.is_mptcp:
        why = "Multipath TCP takes no user timeout; use heartbeats"
        return plain.ended(Outcome.UNSUPPORTED, why, error=UnsupportedError(why))
    if target.is_closed:
        return plain.ended(Outcome.GONE, "its program has closed it")
    if row.state not in FIXABLE:
        return _refused(plain, "there is no peer that could die")
    if not target.holders:
        return _refused(plain, unreachable(target))
    return _looked_at(plain, goal, platform)


def _looked_at(plain: Fix, goal: Goal, platform: Platform) -> Fix:
    """Plan for one socket that a program holds."""
    target = plain.target
    try:
        with held(target) as sock:
            if sock is None:
                return plain.ended(Outcome.GONE, "it was closed just now")
            reading = read(sock, platform)
            info = read_tcp_info(sock)
    except DeadPeerError as error:
        return plain.failed(error)
    measured = info.round_trip if info and info.is_connected else None
    return _compared(plain, reading, measured, goal, platform)


def _compared(
    plain: Fix, reading: Reading, measured: float | None, goal: Goal, platform: Platform
) -> Fix:
    """Plan for one socket by what it holds and how long its path is."""
    target = plain.target
    before = reading.keepalive(platform)
    known = replace(plain, before=before, reading=reading)
    try:
        made = goal.settings(
            measured=measured, defaults=target.defaults, platform=platform
        )
    except DeadPeerError as error:
        return known.failed(error)
    worst = worst_of(before, made.rtt, target.defaults, platform)
    if worst <= goal.within and not _armed_late(target.row, before):
        why = f"a death is noticed within {worst:.3g} s"
        return known.ended(Outcome.ALREADY, why)
    after = merged(before, made.keepalive, platform)
    if worst_of(after, made.rtt, target.defaults, platform) > goal.within:
        return _refused(known, "what its program has set does not go with the promise")
    return replace(
        known,
        wanted=made.keepalive,
        after=after,
        warnings=(*_warnings(target, after), *made.assessment.warnings),
    )


def _warnings(target: Target, after: Keepalive) -> Iterator[str]:
    if target.row.timer == Timer.ZERO_WINDOW and after.user_timeout:
        yield (
            f"{target}: its peer takes no data at the moment; if that lasts for"
            f" {after.user_timeout:g} s, it is ended although its peer lives"
        )


def _refused(fix: Fix, why: DeadPeerError | str) -> Fix:
    if isinstance(why, DeadPeerError):
        return fix.failed(why)
    error = KernelRefused(f"{fix.target}: {why}", operation="fix")
    return fix.ended(Outcome.REFUSED, why, error=error)


def _armed_late(row: DiagRow, keepalive: Keepalive) -> bool:
    """Tell whether the armed timer is one of older settings."""
    allowed = max(keepalive.idle or 0, keepalive.interval or 0)
    return (
        row.timer == Timer.KEEPALIVE
        and row.state in TIMED
        and row.expires_ms / 1000 > allowed + TOLERANCE
    )


def record_of(fixes: Iterable[Fix], goal: Goal, *, made_at: str) -> FixRecord:
    """
    Return the record of what is going to be changed.

    Args:
        fixes: The plan.
        goal: What it is for.
        made_at: The time, in UTC, as ISO 8601 has it.

    Raises:
        UnsupportedError: This platform has none of the options.
        KernelRefused: No descriptor is left to work with.
    """
    return FixRecord(
        made_at=made_at,
        boot_id=boot_id() or "",
        within=goal.within,
        sockets=tuple(
            _recorded(fix) for fix in fixes if fix.outcome is Outcome.PLANNED
        ),
    )


def _recorded(fix: Fix) -> RecordedSocket:
    reading, wanted, target = fix.reading, fix.wanted, fix.target
    if reading is None or wanted is None:
        raise ValueError("only what is planned is recorded")
    return RecordedSocket(
        netns=target.namespace.inode,
        inode=target.row.inode,
        cookie=target.row.cookie,
        local=target.local,
        peer=target.peer,
        pid=target.pid or 0,
        process=target.process,
        before=values_of(reading.units, on=reading.on),
        after=values_of(wanted.in_units(this_platform()), on=True),
    )


def carry_out(fixes: Sequence[Fix]) -> tuple[Fix, ...]:
    """
    Do what is planned, and say of each socket what came of it.

    Its record has to be written before. What fails for one socket is its outcome.

    Args:
        fixes: The plan.

    Raises:
        UnsupportedError: This platform has none of the options.
        ConfigError: The plan is of another platform.
        KernelRefused: The system starts no more threads; nothing was changed.
        Interrupted: Ctrl-C came; what was not reached is still planned.
    """
    return stoppable(partial(_carry_out, fixes, this_platform()))


def _carry_out(
    fixes: Sequence[Fix], platform: Platform, stopped: Event
) -> tuple[Fix, ...]:
    done = [
        fix
        if fix.outcome is not Outcome.PLANNED or stopped.is_set()
        else _apply(fix, platform)
        for fix in fixes
    ]
    return _confirmed(_confirmed(done))


def _apply(fix: Fix, platform: Platform) -> Fix:
    if fix.wanted is None or fix.reading is None:
        raise ValueError("only what is planned can be done")
    plain = replace(fix, after=None)
    try:
        with held(fix.target) as sock:
            if sock is None:
                return plain.ended(Outcome.GONE, "it was closed just now")
            if read(sock, platform) != fix.reading:
                return _refused(plain, CHANGED)
            applied = apply(sock, fix.wanted, platform=platform)
    except DeadPeerError as error:
        return plain.failed(error)
    return replace(fix, outcome=Outcome.DONE, after=applied.keepalive)


def _confirmed(fixes: Sequence[Fix]) -> tuple[Fix, ...]:
    """Compare what was set with the timers that are armed, where that is open."""
    open_ones = [fix for fix in fixes if _is_open(fix)]
    if not open_ones:
        return tuple(fixes)
    spaces = {fix.target.namespace.inode: fix.target.namespace for fix in open_ones}
    try:
        rows = rows_now(spaces)
    except DeadPeerError as error:
        why = f"its timer could not be looked at: {error.message}"
        return tuple(replace(fix, why=why) if _is_open(fix) else fix for fix in fixes)
    return tuple(
        _compared_to_timer(fix, rows) if _is_open(fix) else fix for fix in fixes
    )


def _is_open(fix: Fix) -> bool:
    """A timer that is firing at this moment shows as none: such are looked at again."""
    return fix.why == NOT_ARMED or (
        fix.outcome is Outcome.DONE and fix.fires_in is None and not fix.why
    )


def _compared_to_timer(fix: Fix, rows: dict[tuple[int, bytes], DiagRow]) -> Fix:
    target, after = fix.target, fix.after or Keepalive()
    row = rows.get((target.namespace.inode, target.row.cookie_bytes))
    if row is None:
        return replace(fix, outcome=Outcome.DONE, why="it has ended since", error=None)
    hidden = row.timer in (Timer.RETRANSMIT, Timer.ZERO_WINDOW)
    if hidden or row.state not in TIMED:
        return replace(fix, outcome=Outcome.DONE, why="", error=None)
    if row.timer != Timer.KEEPALIVE or _armed_late(row, after):
        error = KernelRefused(f"{target}: {NOT_ARMED}", operation="inet_diag")
        return replace(fix, outcome=Outcome.REFUSED, why=NOT_ARMED, error=error)
    fires_in = row.expires_ms / 1000
    return replace(fix, outcome=Outcome.DONE, why="", error=None, fires_in=fires_in)
