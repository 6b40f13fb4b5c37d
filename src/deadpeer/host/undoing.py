"""
Undoing a fix: the old values, on those sockets of its record that still live.

A socket lives if there is one of its cookie in its namespace, in the same boot: its
ports may be somebody else's by now, and its process may have handed it on. What
somebody has changed since is left alone unless told otherwise. A mixture of old and
new values is nobody else's: a fix, or an undo, was killed in the middle of it.

Linux knows no way to unset an option: a value that followed the system's setting has
its old number again, and follows no more. Such are *pinned*.

Source: Linux net/ipv4/tcp.c, do_tcp_setsockopt(): zero is refused for TCP_KEEPIDLE,
TCP_KEEPINTVL and TCP_KEEPCNT.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Event
from typing import cast

from deadpeer.errors import AccessDenied, ConfigError, DeadPeerError, KernelRefused
from deadpeer.host.held import held
from deadpeer.host.outcomes import Outcome, Result
from deadpeer.host.records import FixRecord, RecordedSocket, values_of
from deadpeer.host.stopping import stoppable
from deadpeer.host.targets import NEEDS_PTRACE, Target, rows_now, unreachable
from deadpeer.kernel.current_platform import this_platform
from deadpeer.kernel.diag_rows import DiagRow
from deadpeer.kernel.namespaces import Namespace, all_namespaces
from deadpeer.kernel.owners import Owners, find_owners
from deadpeer.kernel.registers import Reading, Step, put_back, read
from deadpeer.kernel.sysctl.place import boot_id
from deadpeer.platforms import Name, Platform
from deadpeer.policy import Keepalive

__all__ = ["Undo", "carry_out", "plan_undo", "settings_of"]

CHANGED = "somebody has changed it since; --force puts the old values back all the same"


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo(Result):
    """
    What is to be done to one socket of a record, or was.

    Args:
        item: What the record says of it.
        target: The socket, where it was found.
        now: What it held when it was looked at, in the kernel's units by our names.
        pinned: Settings that have their old value again and no longer follow the
            system's.
        lost: Settings whose old value the kernel does not take.
    """

    item: RecordedSocket
    target: Target | None = None
    now: dict[str, int] | None = None
    pinned: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    def __str__(self) -> str:
        item = self.item
        ends = " → ".join(end for end in (item.local, item.peer) if end)
        return f"{item.process or '?'}[{item.pid}] {ends}"


def plan_undo(record: FixRecord, *, force: bool = False) -> tuple[Undo, ...]:
    """
    Return what would be put back; nothing is changed.

    Args:
        record: What was changed.
        force: Put back also what somebody has changed since.

    Raises:
        ConfigError: The record is of another boot: its sockets are gone, and
            their numbers are others'.
        AccessDenied: A namespace of the record may not be looked into.
        UnsupportedError: The kernel cannot list TCP sockets.
        KernelRefused: It failed in another way.
    """
    # Where no boot can be told from another, none is the same.
    if not record.boot_id or record.boot_id != boot_id():
        raise ConfigError(
            f"the record of {record.made_at} is of another boot of this machine, or"
            " of another machine",
            hint="its sockets are gone; there is nothing to undo",
            field="record",
            value=record.boot_id,
        )
    spaces, out_of_sight = _spaces({item.netns for item in record.sockets})
    if out_of_sight:
        for item in record.sockets:
            _require_visible(item, spaces)
    rows = {(netns, row.cookie): row for (netns, _), row in rows_now(spaces).items()}
    owners = find_owners()
    platform = this_platform()
    return tuple(
        _plan(item, _found(item, spaces, rows, owners), platform, force=force)
        for item in record.sockets
    )


def _spaces(wanted: set[int]) -> tuple[dict[int, Namespace], bool]:
    """Return where the sockets of a record are, and whether any may be out of sight."""
    visible, hidden = all_namespaces()
    found = {space.inode: space for space in visible if space.inode in wanted}
    # What root cannot look into either takes no privilege that anybody could name.
    return found, bool(hidden) and os.geteuid() != 0


def _require_visible(item: RecordedSocket, spaces: dict[int, Namespace]) -> None:
    if item.netns not in spaces:
        raise AccessDenied(
            f"the network namespace {item.netns} of the record is not to be seen",
            hint=NEEDS_PTRACE,
            capability="CAP_SYS_PTRACE",
        )


def _found(
    item: RecordedSocket,
    spaces: dict[int, Namespace],
    rows: dict[tuple[int, int], DiagRow],
    owners: Owners,
) -> Target | None:
    row = rows.get((item.netns, item.cookie))
    if row is None or row.inode not in (0, item.inode):
        return None
    return Target(
        namespace=spaces[item.netns],
        row=row,
        holders=owners.of(row.inode),
        process=item.process,
        hidden=bool(owners.unreadable),
    )


def _plan(
    item: RecordedSocket, target: Target | None, platform: Platform, *, force: bool
) -> Undo:
    plain = Undo(item=item, outcome=Outcome.PLANNED, target=target)
    if target is None or target.is_closed:
        return plain.ended(Outcome.GONE, "it is closed")
    if not target.holders:
        why = unreachable(target)
        if isinstance(why, str):
            return plain.ended(Outcome.GONE, why)
        return plain.failed(why)
    try:
        with held(target) as sock:
            if sock is None:
                return plain.ended(Outcome.GONE, "it was closed just now")
            reading = read(sock, platform)
    except DeadPeerError as error:
        return plain.failed(error)
    known = replace(plain, now=values_of(reading.units, on=reading.on))
    return _compared(known, platform, force=force)


def _compared(known: Undo, platform: Platform, *, force: bool) -> Undo:
    """Decide by what a socket holds now."""
    item, now = known.item, known.now or {}
    if all(now.get(key) == item.before[key] for key in item.after):
        return known.ended(Outcome.ALREADY, "it is as it was before")
    if force or all(_is_ours(key, item, now, platform) for key in item.after):
        return known
    error = KernelRefused(f"{known}: {CHANGED}", operation="undo")
    return known.ended(Outcome.REFUSED, CHANGED, error=error)


def _is_ours(
    key: str, item: RecordedSocket, now: dict[str, int], platform: Platform
) -> bool:
    """Tell whether a setting is as the fix left it, or as it found it."""
    if key not in now:
        return False
    grain = 0 if key == "on" else platform.options[cast("Name", key)].grain
    value = item.after[key]
    return now[key] == item.before[key] or value <= now[key] <= value + grain


def carry_out(undos: Sequence[Undo]) -> tuple[Undo, ...]:
    """
    Put back what is planned, and say of each socket what came of it.

    Args:
        undos: The plan.

    Raises:
        UnsupportedError: This platform has none of the options.
        KernelRefused: The system starts no more threads; nothing was changed.
        Interrupted: Ctrl-C came; what was not reached is still planned.
    """
    return stoppable(partial(_carry_out, undos, this_platform()))


def _carry_out(
    undos: Sequence[Undo], platform: Platform, stopped: Event
) -> tuple[Undo, ...]:
    return tuple(
        undo
        if undo.outcome is not Outcome.PLANNED or stopped.is_set()
        else _put_back(undo, platform)
        for undo in undos
    )


def _put_back(undo: Undo, platform: Platform) -> Undo:
    if undo.target is None:
        raise ValueError("only what was found can be put back")
    steps = _steps(undo.item, platform)
    before = _reading(undo.item.before)
    try:
        with held(undo.target) as sock:
            if sock is None:
                return undo.ended(Outcome.GONE, "it was closed just now")
            found = read(sock, platform)
            if values_of(found.units, on=found.on) != undo.now:
                why = "its program changed its options just now; plan again"
                error = KernelRefused(f"{undo}: {why}", operation="undo")
                return undo.ended(Outcome.REFUSED, why, error=error)
            lost = put_back(sock, steps, platform, before=before)
            now = read(sock, platform)
    except DeadPeerError as error:
        return undo.failed(error)
    return replace(
        undo,
        outcome=Outcome.DONE,
        now=values_of(now.units, on=now.on),
        pinned=_pinned(undo.item, lost, platform),
        lost=tuple(map(str, lost)),
    )


def settings_of(values: Mapping[str, int]) -> Keepalive:
    """
    Return what a record says of a socket as a value of the policy.

    Args:
        values: In the kernel's units by our names, and the switch as ``on``.

    Raises:
        UnsupportedError: This platform has none of the options.
    """
    return _reading(values).keepalive(this_platform())


def _steps(item: RecordedSocket, platform: Platform) -> tuple[Step, ...]:
    """Return what was written, in the order in which it was."""
    steps = [Step(keys=("on",), options=(platform.switch,), values=(item.after["on"],))]
    for key, value in item.after.items():
        if key != "on":
            name = cast("Name", key)
            option = platform.options[name]
            steps.append(Step(keys=(name,), options=(option,), values=(value,)))
    return tuple(steps)


def _reading(values: Mapping[str, int]) -> Reading:
    units = {cast("Name", key): value for key, value in values.items() if key != "on"}
    return Reading(on=bool(values["on"]), units=units)


def _pinned(
    item: RecordedSocket, lost: Sequence[str], platform: Platform
) -> tuple[str, ...]:
    return tuple(
        key
        for key in item.after
        if key != "on" and key not in lost and platform.options[cast("Name", key)].pins
    )
