"""An undo as people read it: what is put back, what is left alone and why."""

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from deadpeer.kernel.sysctl.record import OWN_FILE
from deadpeer.kernel.sysctl.undo import Found, LiveUndo, Undo

__all__ = ["undo_data", "undo_lines"]


def undo_lines(plan: Undo, *, applied: bool, force: bool) -> Iterator[Text]:
    """
    Yield what an undo does, line by line, for people.

    Args:
        plan: What it finds.
        applied: It was done.
        force: What others changed is put back too.
    """
    if plan.is_empty:
        yield Text("There is nothing to undo.", style="bold")
        return
    if plan.record and plan.path:
        yield Text(f"{plan.path}, made {plan.record.made_at}")
    for item in plan.live:
        yield Text(f"  {_live_line(item, force=force)}")
    if plan.live_left:
        yield Text.assemble(("  left alone: ", "yellow"), plan.live_left)
    if plan.file is not None:
        yield Text(f"  {OWN_FILE}: {_file_line(plan, force=force)}")
    for path in plan.leftovers:
        yield Text(f"  {path}: removed, a change that was killed left it behind")
    if not applied:
        yield from (
            Text.assemble(("  changed by somebody since: ", "yellow"), conflict)
            for conflict in plan.conflicts
        )
        needed = "--yes --force" if plan.conflicts and not force else "--yes"
        yield Text(f"Nothing was changed. Do it with {needed}.", style="bold")
    elif plan.keeps_record:
        yield Text(
            "Done, but for the running values; the record is kept for them.",
            style="bold",
        )
    else:
        yield Text("Done.", style="bold")


def _live_line(item: LiveUndo, *, force: bool) -> str:
    now = (item.now or "gone").strip()
    key = item.change.key
    if item.found is Found.BEFORE:
        return f"{key}: {now}, as it was before"
    if item.found is Found.OTHER and not force:
        return f"{key}: {now}, left alone"
    return f"{key}: {now} → {item.change.old.strip()}"


def _file_line(plan: Undo, *, force: bool) -> str:
    if plan.file is Found.BEFORE:
        return "as it was before"
    if plan.file is Found.OTHER and not force:
        return "left alone"
    old = plan.record and plan.record.file and plan.record.file.old
    return "put back as it was before" if old else "removed"


def undo_data(plan: Undo, *, applied: bool) -> dict[str, Any]:
    """
    Return the fields of ``system undo --json``.

    Args:
        plan: What it finds.
        applied: It was done.
    """
    return {
        "root": str(plan.root),
        "applied": applied,
        "record": plan.path and str(plan.path),
        "live": [
            {
                "key": item.change.key,
                "now": item.now and item.now.strip(),
                "to": item.change.old.strip(),
                "found": item.found,
            }
            for item in plan.live
        ],
        "file": None if plan.file is None else {"path": OWN_FILE, "found": plan.file},
        "left": plan.live_left or None,
        "removed": [str(path) for path in plan.leftovers],
        "conflicts": list(plan.conflicts),
    }
