"""
Changing the system's settings: recorded before anything is done, whole or not at all.

The steps, after each of which the process may be killed without loss: publish
the record; write our configuration file under a name that nobody reads; write
the running values, each read back; publish the configuration file.
"""

import errno
import os
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from deadpeer.errors import AccessDenied, DeadPeerError, KernelRefused
from deadpeer.kernel.staging import (
    Checkpoint,
    NewFile,
    Step,
    leftovers,
    locked,
    no_checkpoint,
    perform,
    refusal,
    sweep,
)
from deadpeer.kernel.sysctl.change import Change, own_file_now
from deadpeer.kernel.sysctl.place import boot_id, network_namespace
from deadpeer.kernel.sysctl.put_back import put_back
from deadpeer.kernel.sysctl.record import (
    OWN_FILE,
    LiveChange,
    Record,
    next_name,
    own_path,
)
from deadpeer.kernel.sysctl.table import number_as_kernel_reads
from deadpeer.kernel.sysctl.undo import plan_undo
from deadpeer.kernel.sysctl.values import proc_path, read_text, write_text

__all__ = ["apply"]

READ_ONLY = (
    "start the container with it: docker run --sysctl {key}={value} …, or in"
    " Kubernetes securityContext.sysctls of the pod"
)
UNPRIVILEGED = (
    "run it as root, or with CAP_NET_ADMIN in the user namespace that owns this"
    " network namespace: sudo deadpeer system set …"
)


def apply(change: Change, *, checkpoint: Checkpoint = no_checkpoint) -> Path:
    """
    Make a change: record it, then do it; or fail with everything put back.

    Args:
        change: From `plan_change`.
        checkpoint: Is called before each step, with its title.

    Returns:
        The record's file.

    Raises:
        AccessDenied: A privilege is missing.
        KernelRefused: The kernel refused a value, or a file could not be written.
        ConfigError: Our configuration file was edited by somebody just now.
    """
    _require_writable(change)
    with locked(change.root):
        _require_unchanged(change)
        recorded = _recorded(change)
        try:
            perform(_steps(change, recorded), checkpoint)
        except BaseException as error:
            is_recorded = recorded.target.exists()
            _put_back(change, recorded.target)
            if isinstance(error, OSError) and not isinstance(error, DeadPeerError):
                raise _unwritable(error, recorded, is_recorded=is_recorded) from error
            raise
    return recorded.target


def _require_writable(change: Change) -> None:
    """Open every value for writing, and write nothing."""
    for item in change.live:
        path = proc_path(item.key, root=change.root)
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
        except OSError as error:
            raise _refused(error, item) from error


def _require_unchanged(change: Change) -> None:
    """Refuse a plan that time has overtaken: its old values would be wrong."""
    now = {item.key: read_text(item.key, root=change.root) for item in change.live}
    overtaken = [item.key for item in change.live if now[item.key] != item.old]
    if change.file and own_file_now(change.root) != change.file.old:
        overtaken.append(change.file.path)
    if overtaken:
        raise KernelRefused(
            f"{overtaken[0]} was changed by somebody else just now",
            hint="nothing was done; run it again",
            operation=f"compare {overtaken[0]}",
        )


def _refused(error: OSError, item: LiveChange) -> DeadPeerError:
    if isinstance(error, PermissionError):
        return AccessDenied(
            f"{item.key} may not be changed by this user",
            hint=UNPRIVILEGED,
            capability="CAP_NET_ADMIN",
        )
    reason = os.strerror(error.errno or 0)
    read_only = READ_ONLY.format(key=item.key, value=item.new)
    return KernelRefused(
        f"{item.key} cannot be set to {item.new}: {reason}",
        hint=read_only if error.errno == errno.EROFS else "nothing was changed",
        operation=f"write {item.new} to {item.key}",
        errno=error.errno,
    )


def _unwritable(
    error: OSError, recorded: NewFile, *, is_recorded: bool
) -> DeadPeerError:
    if is_recorded:
        return refusal(error, doing=f"write {OWN_FILE}")
    return refusal(
        error,
        doing=f"write the record {recorded.target}",
        remedy="run it as root, or give another place with --record-dir",
    )


def _recorded(change: Change) -> NewFile:
    """Return the record as a file that is to appear."""
    target = change.records / next_name(change.records)
    shape = NewFile(target=target, data=b"")
    record = Record(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        boot_id=boot_id(change.root),
        namespace=network_namespace(change.root),
        made=len(shape.directories),
        live=change.live,
        file=change.file,
    )
    return replace(shape, data=record.as_text().encode())


def _steps(change: Change, recorded: NewFile) -> list[Step]:
    steps = [*recorded.stage(), *recorded.publish()]
    ours = _new_file(change)
    if ours:
        steps += ours.stage()
    steps += [
        Step(
            f"set {item.key} to {item.new}",
            partial(_set, item, change.root),
        )
        for item in change.live
    ]
    if ours:
        steps += ours.publish()
    return steps


def _new_file(change: Change) -> NewFile | None:
    if change.file is None:
        return None
    old = change.file.old
    return NewFile(
        target=own_path(change.root),
        data=change.file.new.encode(),
        mode=old.mode if old else 0o644,
        owner=(old.owner, old.group) if old else None,
    )


def _set(item: LiveChange, root: Path) -> None:
    try:
        write_text(proc_path(item.key, root=root), f"{item.new}\n")
    except OSError as error:
        raise _refused(error, item) from error
    found = read_text(item.key, root=root)
    if found is None or number_as_kernel_reads(found) != item.new:
        raise KernelRefused(
            f"{item.key} was set to {item.new}, and reads {found!r} all the same",
            hint="this is a sandbox whose settings do nothing",
            operation=f"write {item.new} to {item.key}",
        )


def _put_back(change: Change, record: Path) -> None:
    """Undo what was done so far; only this change's own record says what that is."""
    if record.exists():
        put_back(plan_undo(record, root=change.root))
    for path in leftovers([record, own_path(change.root)], root=change.root):
        sweep(path)
