"""``deadpeer fix``: protect the connections of programs that run."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

import click
from rich.text import Text

from deadpeer.cli.durations import SECONDS
from deadpeer.cli.harmless import harmless
from deadpeer.cli.names import FileName
from deadpeer.cli.outcomes import (
    carried_out,
    change_words,
    counted,
    line,
    print_lines,
    socket_data,
    tally,
)
from deadpeer.cli.output import messages, print_json
from deadpeer.cli.selecting import Where, selecting
from deadpeer.cli.shared_options import ALLOW_STALLED_READER, JSON, RTT, YES
from deadpeer.host.fixing import Fix, Goal, carry_out, plan_fixes, record_of
from deadpeer.host.outcomes import Outcome, missing_privilege, worst_exit
from deadpeer.host.records import new_record_path, write_record
from deadpeer.host.targets import choose_targets
from deadpeer.policy.keepalive import require_seconds

__all__ = ["SCHEMA", "command"]

SCHEMA = "deadpeer-fix/1"


@click.command()
@selecting
@click.option(
    "--within",
    type=SECONDS,
    metavar="SECONDS",
    required=True,
    help="How soon a dead peer is to be reported to the program.",
)
@RTT
@ALLOW_STALLED_READER
@click.option(
    "--listening",
    is_flag=True,
    help="Listening sockets too, for the connections that they will accept.",
)
@click.option(
    "--record",
    type=FileName(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where the record of the old values goes.",
)
@YES
@JSON
def command(
    *,
    where: Where,
    within: float,
    rtt: float | None,
    allow_stalled_reader: bool,
    listening: bool,
    record: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """
    Protect connections of programs that run, without restarting them.

    Which ones has to be said: by a FILTER as for ss(8), such as dport = :5432, or
    by --pid, --process or --user; deadpeer ls shows what that selects. Shows
    before and after, and does it only with --yes. Writes a record first, from
    which `deadpeer undo` puts the old values back.

    \b
    deadpeer fix --pid 4711 --within 10
    deadpeer fix dport = :5432 --within 10 --yes
    """  # noqa: D301 - click wants the character itself
    require_seconds("within", within)
    if rtt is not None:
        require_seconds("rtt", rtt, zero=True)
    goal = Goal(within=within, rtt=rtt, allow_stalled_reader=allow_stalled_reader)
    fixes = plan_fixes(choose_targets(where.selection(), listening=listening), goal)
    # Without a privilege that one of them needs, nothing is changed.
    applied = yes and not missing_privilege(fix.error for fix in fixes)
    path = _recorded(fixes, goal, record) if applied else None
    stopped = None
    if path:
        fixes, stopped = carried_out(partial(carry_out, fixes))
    if as_json:
        print_json("fix", _data(fixes, goal, path))
    else:
        _print(fixes, path, yes=yes)
    if stopped:
        raise stopped
    if denied := missing_privilege(fix.error for fix in fixes):
        raise denied
    code = worst_exit([fix.error for fix in fixes if fix.error])
    click.get_current_context().exit(code)


def _recorded(fixes: tuple[Fix, ...], goal: Goal, given: Path | None) -> Path | None:
    """Write the record of what is going to be done; None if there is nothing to do."""
    if all(fix.outcome is not Outcome.PLANNED for fix in fixes):
        return None
    path = (given or new_record_path()).absolute()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    write_record(record_of(fixes, goal, made_at=now), path)
    messages().print(f"record: {path}")
    return path


def _print(fixes: tuple[Fix, ...], record: Path | None, *, yes: bool) -> None:
    lines = [line(fix.outcome, fix.target, _what(fix)) for fix in fixes]
    lines += [
        Text.assemble(("warning: ", "yellow"), harmless(warning))
        for warning in _warnings(fixes)
    ]
    lines.append(Text(_verdict(fixes, record, yes=yes), style="bold"))
    print_lines(lines)


def _warnings(fixes: tuple[Fix, ...]) -> list[str]:
    """Return what is to be said of any of them, once."""
    return list(dict.fromkeys(said for fix in fixes for said in fix.warnings))


def _what(fix: Fix) -> str:
    if fix.before is None or fix.after is None:
        return fix.why
    said = change_words(fix.before, fix.after)
    if fix.fires_in is not None:
        said += f"; the next probe is due in {fix.fires_in:.1f} s"
    return f"{said}; {fix.why}" if fix.why else said


def _verdict(fixes: tuple[Fix, ...], record: Path | None, *, yes: bool) -> str:
    if not fixes:
        return "No connection is selected; listening sockets are, with --listening."
    counts = tally(counted(fix.outcome for fix in fixes))
    if record is not None:
        return f"{counts}. To put everything back: deadpeer undo --yes {quote(str(record))}"
    if not yes and any(fix.outcome is Outcome.PLANNED for fix in fixes):
        return f"{counts}. Nothing was changed. Do it with --yes."
    return f"{counts}. Nothing was changed."


def _data(fixes: tuple[Fix, ...], goal: Goal, record: Path | None) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "within": goal.within,
        "applied": record is not None,
        "record": record and str(record),
        "counts": counted(fix.outcome for fix in fixes),
        "sockets": [
            {
                **socket_data(fix.target),
                "listening": fix.target.is_listening,
                "outcome": fix.outcome,
                "why": fix.why or None,
                "before": fix.before,
                "after": fix.after,
                "fires_in": fix.fires_in,
            }
            for fix in fixes
        ],
        "warnings": _warnings(fixes),
    }
