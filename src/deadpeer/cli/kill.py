"""``deadpeer kill``: end connections of programs that run."""

from functools import partial
from typing import Any

import click
from rich.text import Text

from deadpeer.cli.outcomes import (
    carried_out,
    counted,
    line,
    print_lines,
    socket_data,
    tally,
)
from deadpeer.cli.output import print_json
from deadpeer.cli.selecting import Where, selecting
from deadpeer.cli.shared_options import JSON, YES
from deadpeer.host.killing import Kill, carry_out, plan_kills
from deadpeer.host.outcomes import Outcome, worst_exit
from deadpeer.host.targets import choose_targets

__all__ = ["SCHEMA", "command"]

SCHEMA = "deadpeer-kill/1"


@click.command()
@selecting
@click.option(
    "--suspect",
    is_flag=True,
    help="Those whose peer is dead by the kernel's evidence.",
)
@YES
@JSON
def command(
    *,
    where: Where,
    suspect: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """
    End connections; their programs get an error, and may connect anew.

    Which ones has to be said: by a FILTER as for ss(8), such as dport = :5432, by
    --pid, --process or --user, or by --suspect: those on which the kernel waits in
    vain for two or more answers. Shows them, and ends them only with --yes.
    Listening sockets are never ended.

    Its program gets ECONNABORTED at the next call, a peer that lives a reset. It
    cannot be undone.

    \b
    deadpeer kill --suspect
    deadpeer kill dst 192.0.2.7 --yes
    """  # noqa: D301 - click wants the character itself
    kills = plan_kills(choose_targets(where.selection(suspect=suspect)))
    stopped = None
    if yes:
        kills, stopped = carried_out(partial(carry_out, kills, suspects=suspect))
    if as_json:
        print_json("kill", _data(kills, applied=yes))
    else:
        _print(kills, yes=yes)
    if stopped:
        raise stopped
    code = worst_exit([kill.error for kill in kills if kill.error])
    click.get_current_context().exit(code)


def _print(kills: tuple[Kill, ...], *, yes: bool) -> None:
    lines = [line(kill.outcome, kill.target, kill.why or kill.reason) for kill in kills]
    if not kills:
        verdict = "No connection is selected."
    else:
        verdict = f"{tally(counted(kill.outcome for kill in kills))}."
        if not yes and any(kill.outcome is Outcome.PLANNED for kill in kills):
            verdict += " Nothing was ended. Do it with --yes."
    print_lines([*lines, Text(verdict, style="bold")])


def _data(kills: tuple[Kill, ...], *, applied: bool) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "applied": applied,
        "counts": counted(kill.outcome for kill in kills),
        "connections": [
            {
                **socket_data(kill.target),
                "outcome": kill.outcome,
                "reason": kill.reason or None,
                "why": kill.why or None,
            }
            for kill in kills
        ],
    }
