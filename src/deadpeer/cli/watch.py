"""``deadpeer watch``: what happens to the connections of a host, as it happens."""

import os
import sys

import click

from deadpeer.cli.durations import SECONDS
from deadpeer.cli.names import FILE, NAME
from deadpeer.cli.selecting import Where, selecting
from deadpeer.cli.watch_rules import Rules, read_rules
from deadpeer.errors import MissingExtra
from deadpeer.host.changes import ChangeKind
from deadpeer.host.judgement import WITHIN
from deadpeer.policy.keepalive import require_seconds

__all__ = ["command"]

LONGEST_EVERY = 3600.0


@click.command()
@selecting
@click.option(
    "--within",
    type=SECONDS,
    metavar="SECONDS",
    default=WITHIN,
    show_default=f"{WITHIN:g}",
    help="How soon a death should be noticed; what takes longer is unprotected.",
)
@click.option(
    "--every",
    type=SECONDS,
    metavar="SECONDS",
    default=1.0,
    show_default="1",
    help="From look to look.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Write a line of JSON for each change, on a terminal too.",
)
@click.option(
    "--output",
    type=FILE,
    metavar="FILE",
    help="Add the lines to FILE, which SIGHUP opens anew.",
)
@click.option(
    "--on",
    "on",
    type=(click.Choice(list(map(str, ChangeKind))), str),
    multiple=True,
    metavar="CHANGE COMMAND",
    help="Run COMMAND for each such change, which it finds on its standard input.",
)
@click.option(
    "--webhook",
    "webhooks",
    multiple=True,
    metavar="URL",
    help="POST changes to URL; tried again if it fails.",
)
@click.option(
    "--metrics",
    type=NAME,
    metavar="[HOST]:PORT",
    help="Serve metrics for Prometheus there.",
)
@click.option(
    "--rules",
    "rules_file",
    type=FILE,
    metavar="FILE",
    help="Take rules from a TOML file, which SIGHUP reads again.",
)
def command(
    *,
    where: Where,
    within: float,
    every: float,
    as_json: bool,
    output: str | None,
    on: tuple[tuple[str, str], ...],
    webhooks: tuple[str, ...],
    metrics: str | None,
    rules_file: str | None,
) -> None:
    """
    Watch connections: which become suspect, die, recover, or appear unprotected.

    On a terminal it is a screen on which connections can be sorted, filtered,
    followed, and fixed or ended after a question. Elsewhere, and with any of
    --json, --output, --metrics, --on and --webhook, it writes one line of JSON
    for each change until SIGTERM; SIGHUP has it read its rules again. FILTER is
    written as for ss(8).

    Watching changes nothing.

    \b
    deadpeer watch
    deadpeer watch --on dead 'logger -t deadpeer' --metrics 127.0.0.1:9109 --json
    """  # noqa: D301 - click wants the character itself
    require_seconds("every", every, most=LONGEST_EVERY)
    base = Rules(
        where=where,
        within=within,
        on=tuple((ChangeKind(kind), text) for kind, text in on),
        webhooks=webhooks,
    )

    def rules() -> Rules:
        if rules_file:
            return read_rules(rules_file, base)
        base.selection()
        return base

    found = rules()
    address = None
    if metrics:
        address = _metrics_address(metrics)
    is_service = as_json or output or metrics or found.on or found.webhooks
    if not is_service and _is_on_a_terminal():
        try:
            from deadpeer.cli.watch_terminal import run_screen
        except ModuleNotFoundError as error:
            raise _missing("the screen", "textual", "watch", error) from error

        run_screen(found, every=every)
        return
    from deadpeer.cli.watch_daemon import run_daemon

    run_daemon(found, every=every, output=output, metrics=address, reread=rules)


def _is_on_a_terminal() -> bool:
    # The screen reads keys from the first, and is drawn on the last.
    streams = (sys.stdin, sys.stdout, sys.stderr)
    if os.environ.get("TERM") == "dumb":
        return False  # it would show what is meant to move its cursor
    return all(stream is not None and stream.isatty() for stream in streams)


def _metrics_address(text: str) -> tuple[str, int]:
    try:
        from deadpeer.host.metrics import parse_address
    except ModuleNotFoundError as error:
        raise _missing("--metrics", "prometheus_client", "metrics", error) from error
    return parse_address(text)


def _missing(
    what: str, module: str, extra: str, error: ModuleNotFoundError
) -> Exception:
    if (error.name or "").partition(".")[0] != module:
        return error
    return MissingExtra(
        f"{what} needs {module}, which is not installed",
        hint=f"pip install 'deadpeer[{extra}]'",
        extra=extra,
    )
