"""
Undoing a change: its files, its running values, and at the end its record.

Every step can be repeated, so an undo that was killed is finished by the next.
"""

from functools import partial
from pathlib import Path

from deadpeer.errors import ConfigError, DeadPeerError
from deadpeer.kernel.staging import (
    Checkpoint,
    NewFile,
    Step,
    leftover_name,
    locked,
    make_durable,
    no_checkpoint,
    perform,
    refusal,
    sweep,
)
from deadpeer.kernel.sysctl.record import FileChange, Record, own_path
from deadpeer.kernel.sysctl.undo import Found, Undo, plan_undo
from deadpeer.kernel.sysctl.values import proc_path, write_text

__all__ = ["put_back", "undo"]


def undo(
    plan: Undo, *, force: bool = False, checkpoint: Checkpoint = no_checkpoint
) -> Undo:
    """
    Put back what a record says, and remove the record.

    Args:
        plan: From `plan_undo`; it is made once more when nobody else can change
            anything, since time may have passed.
        force: Put back also what somebody has changed since.
        checkpoint: Is called before each step, with its title.

    Returns:
        The plan that was carried out.

    Raises:
        ConfigError: Somebody has changed something since; nothing was done.
        AccessDenied: A privilege is missing.
        KernelRefused: The kernel refused, or another change is under way.
    """
    with locked(plan.root):
        fresh = plan_undo(plan.path, root=plan.root, records=plan.records)
        if fresh.conflicts and not force:
            raise ConfigError(
                f"somebody has changed it since: {'; '.join(fresh.conflicts)}",
                hint="--force puts back what was there before all the same",
                field="record",
                value=str(plan.path),
            )
        put_back(fresh, force=force, checkpoint=checkpoint)
    return fresh


def put_back(
    plan: Undo, *, force: bool = False, checkpoint: Checkpoint = no_checkpoint
) -> None:
    """
    Do what `undo` does, for a caller that has locked the tree and asks nobody.

    Args:
        plan: From `plan_undo`.
        force: Put back also what somebody has changed since.
        checkpoint: Is called before each step, with its title.

    Raises:
        AccessDenied: A privilege is missing.
        KernelRefused: The kernel refused.
    """
    try:
        perform(_steps(plan, force=force), checkpoint)
    except DeadPeerError:
        raise
    except OSError as error:
        remedy = "nothing is lost: the record is still there, and undo can be repeated"
        where = error.filename or "the old values"
        raise refusal(error, doing=f"put back {where}", remedy=remedy) from error


def _steps(plan: Undo, *, force: bool) -> list[Step]:
    due = {Found.OURS, Found.OTHER} if force else {Found.OURS}
    steps = [
        Step(f"remove {path.name}", partial(sweep, path)) for path in plan.leftovers
    ]
    if plan.record is None or plan.path is None:
        return steps
    if plan.record.file is not None:
        steps += _file_steps(plan.record.file, plan, is_due=plan.file in due)
    steps += [
        Step(
            f"put {item.change.key} back",
            partial(
                write_text, proc_path(item.change.key, root=plan.root), item.change.old
            ),
        )
        for item in plan.live
        if item.found in due and item.now is not None
    ]
    if not plan.keeps_record:
        steps += _forget(plan.path, plan.record)
    return steps


def _file_steps(change: FileChange, plan: Undo, *, is_due: bool) -> list[Step]:
    target = own_path(plan.root)
    steps = []
    if is_due and change.old is not None:
        old = NewFile(
            target=target,
            data=change.old.text.encode("utf-8", "surrogateescape"),
            mode=change.old.mode,
            owner=(change.old.owner, change.old.group),
        )
        steps += [*old.stage(), *old.publish()]
    elif is_due:
        steps.append(Step(f"remove {target.name}", partial(_unlink, target)))
    # Also where the file is gone already: an undo may have been killed here.
    steps += [
        Step(f"remove {path.name} if it is empty", partial(_remove_empty, path))
        for path in list(target.parents)[: change.made]
    ]
    return steps


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)
    if path.parent.is_dir():
        make_durable(path.parent)


def _remove_empty(path: Path) -> None:
    if path.is_dir() and not any(path.iterdir()):
        path.rmdir()
        make_durable(path.parent)


def _forget(path: Path, record: Record) -> list[Step]:
    """Remove the record, and at one stroke with it the directories made for it."""
    made = list(path.parents)[: record.made]
    below = [path, *made]
    alone = all(
        list(above.iterdir()) == [name]
        for name, above in zip(below, made, strict=False)
    )
    if not made or not alone:
        return [Step(f"remove {path.name}", partial(_unlink, path))]
    top = made[-1]
    away = top.parent / leftover_name()
    return [
        Step(f"take {top.name} away", lambda: top.rename(away)),
        Step(
            f"make the removal of {top.name} durable", partial(make_durable, top.parent)
        ),
        Step(f"remove {away.name}", partial(sweep, away)),
    ]
