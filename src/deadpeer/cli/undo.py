"""``deadpeer undo``: put back what ``deadpeer fix`` found."""

from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from deadpeer.cli.names import FileName
from deadpeer.cli.outcomes import (
    carried_out,
    change_words,
    counted,
    line,
    print_lines,
    tally,
)
from deadpeer.cli.output import print_json
from deadpeer.cli.shared_options import JSON, YES
from deadpeer.host.outcomes import Outcome, missing_privilege, worst_exit
from deadpeer.host.records import FixRecord, load_record
from deadpeer.host.undoing import Undo, carry_out, plan_undo, settings_of

__all__ = ["SCHEMA", "command"]

SCHEMA = "deadpeer-undo/1"


@click.command()
@click.argument("record", type=FileName(dir_okay=False, path_type=Path))
@click.option(
    "--force", is_flag=True, help="Put back also what somebody has changed since."
)
@YES
@JSON
def command(*, record: Path, force: bool, yes: bool, as_json: bool) -> None:
    """
    Put back the values that `deadpeer fix` found, on what still lives.

    RECORD is the file that it wrote. Shows before and after, and does it only with
    --yes. Linux knows no way to unset an option: a value that followed the
    system's is pinned at its old number afterwards, which is said of each.
    """
    found = load_record(record)
    undos = plan_undo(found, force=force)
    # Without a privilege that one of them needs, nothing is changed.
    applied = yes and not missing_privilege(undo.error for undo in undos)
    stopped = None
    if applied:
        undos, stopped = carried_out(partial(carry_out, undos))
    if as_json:
        print_json("undo", _data(undos, record, found, applied=applied))
    else:
        _print(undos, applied=applied)
    if stopped:
        raise stopped
    if denied := missing_privilege(undo.error for undo in undos):
        raise denied
    code = worst_exit([undo.error for undo in undos if undo.error])
    click.get_current_context().exit(code)


def _print(undos: tuple[Undo, ...], *, applied: bool) -> None:
    lines = [line(undo.outcome, undo, _what(undo)) for undo in undos]
    counts = tally(counted(undo.outcome for undo in undos)) or "0 sockets"
    if applied:
        verdict = f"{counts}."
    elif any(undo.outcome is Outcome.PLANNED for undo in undos):
        verdict = f"{counts}. Nothing was changed. Do it with --yes."
    else:
        verdict = f"{counts}. Nothing was changed."
    print_lines([*lines, Text(verdict, style="bold")])


def _what(undo: Undo) -> str:
    if undo.outcome is Outcome.PLANNED and undo.now is not None:
        return change_words(settings_of(undo.now), settings_of(undo.item.before))
    if undo.outcome is not Outcome.DONE:
        return undo.why
    said = ["put back"]
    if undo.pinned:
        said.append(f"now its own, whatever the system's become: {_list(undo.pinned)}")
    if undo.lost:
        said.append(f"not put back, the kernel does not take it: {_list(undo.lost)}")
    return "; ".join(said)


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)


def _data(
    undos: tuple[Undo, ...], path: Path, record: FixRecord, *, applied: bool
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "record": str(path),
        "made_at": record.made_at,
        "applied": applied,
        "counts": counted(undo.outcome for undo in undos),
        "sockets": [_socket(undo) for undo in undos],
    }


def _socket(undo: Undo) -> dict[str, Any]:
    item = undo.item
    return {
        "netns": item.netns,
        "inode": item.inode,
        "cookie": item.cookie,
        "local": item.local,
        "peer": item.peer or None,
        "pid": item.pid or None,
        "process": item.process or None,
        "outcome": undo.outcome,
        "why": undo.why or None,
        "now": undo.now and settings_of(undo.now),
        "before": settings_of(item.before),
        "pinned": undo.pinned,
        "lost": undo.lost,
    }
