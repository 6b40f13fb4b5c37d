"""``deadpeer lab``: pull a real cable, and see who notices, and when."""

import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import click
from rich.text import Text

from deadpeer.cli.durations import SECONDS
from deadpeer.cli.lab_files import read_run, require_writable, write
from deadpeer.cli.lab_options import FAMILIES, SETTINGS, refuse_together
from deadpeer.cli.lab_progress import watched
from deadpeer.cli.lab_table import print_cells, print_run
from deadpeer.cli.names import FileName
from deadpeer.cli.output import messages, print_json, stdout
from deadpeer.cli.shared_options import ALLOW_STALLED_READER, JSON
from deadpeer.errors import MissingExtra, UnsupportedError
from deadpeer.kernel.sysctl.values import effective_defaults
from deadpeer.lab.rendering.page import page, poster
from deadpeer.lab.rendering.watching import Watching
from deadpeer.lab.scenario import FALSE_TIME, LOOPS, Run, Scenario
from deadpeer.lab.selection import choose_cells
from deadpeer.policy.keepalive import Keepalive

__all__ = ["command"]

# Always the same, so that a second run replaces the report of the first.
REPORT = "deadpeer-lab.html"

# What an earlier run has decided already.
DECIDED = (
    "within",
    "rtt",
    "family",
    "only",
    "full",
    "heartbeats",
    "loop",
    "keepalive",
    "allow_stalled_reader",
    "list_only",
)
# What says how to show a run.
SHOWING = ("details", "report", "no_report", "svg")


@click.command()
@click.option(
    "--within",
    type=SECONDS,
    default=10.0,
    metavar="SECONDS",
    help="The promise that is put to the test (10).",
)
@click.option(
    "--rtt",
    type=SECONDS,
    default=0.0,
    metavar="SECONDS",
    help="The round trip of the client's hop (0, a plain cable).",
)
@click.option(
    "--family",
    type=click.Choice(list(FAMILIES)),
    default="4",
    help="IP versions (4).",
)
@click.option("--ipv6", "family", flag_value="6", help="The same as --family 6.")
@click.option(
    "--only",
    multiple=True,
    metavar="WORD[,WORD...]",
    help="Run the cells that match: a fault, a state, a setting or part of a name."
    " Repeated, all must match.",
)
@click.option("--full", is_flag=True, help="Run every fault in every state.")
@click.option(
    "--heartbeats/--no-heartbeats",
    default=None,
    help="Run all of the heartbeats (with --full, each at full length) and of the"
    " kernel's settings only what they are compared with; or no heartbeats.",
)
@click.option(
    "--loop",
    type=click.Choice(list(LOOPS)),
    default=LOOPS[0],
    help=f"What the heartbeats run on ({LOOPS[0]}).",
)
@click.option("--list", "list_only", is_flag=True, help="List the cells; run nothing.")
@click.option(
    "--keepalive",
    type=SETTINGS,
    metavar="IDLE,INTERVAL,PROBES[,USER_TIMEOUT]",
    help="Put these settings to the test, in place of the plan.",
)
@ALLOW_STALLED_READER
@click.option("--details", is_flag=True, help="Print a row for every connection.")
@click.option(
    "--report",
    type=FileName(path_type=Path, dir_okay=False),
    default=None,
    metavar="FILE",
    help=f"Where the HTML report goes ({REPORT}).",
)
@click.option("--no-report", is_flag=True, help="Write no HTML report.")
@click.option(
    "--svg",
    type=FileName(path_type=Path, dir_okay=False),
    default=None,
    metavar="FILE",
    help="Write the timeline as a picture, too.",
)
@click.option(
    "--from",
    "earlier",
    type=FileName(allow_dash=True),
    metavar="FILE",
    help="Run nothing; show the run in FILE (a report, or JSON).",
)
@JSON
@click.pass_context
def command(
    ctx: click.Context,
    *,
    within: float,
    rtt: float,
    family: str,
    only: tuple[str, ...],
    full: bool,
    heartbeats: bool | None,
    loop: str,
    list_only: bool,
    keepalive: Keepalive | None,
    allow_stalled_reader: bool,
    details: bool,
    report: Path | None,
    no_report: bool,
    svg: Path | None,
    earlier: str | None,
    as_json: bool,
) -> None:
    """
    Pull a real cable and measure who notices, and when.

    Builds networks of its own (namespaces; root or unprivileged), brings
    connections into every state that TCP can be in, pulls the cable, and
    compares what each connection was told with what was predicted; beside them
    peers that are asked by heartbeats. Nothing else on this machine is touched,
    and nothing is left behind.

    \b
    deadpeer lab
    deadpeer lab --within 6 --only cable --only idle,unacknowledged
    deadpeer lab --keepalive 5,1,3
    deadpeer lab --heartbeats --loop threads
    deadpeer lab --from deadpeer-lab.html --details

    Exits with 0 if every measurement lies within its prediction, else with 1.
    """  # noqa: D301 - click wants the character itself
    refuse_together(ctx, "earlier", DECIDED)
    refuse_together(ctx, "list_only", SHOWING)
    refuse_together(ctx, "report", ["no_report"])
    refuse_together(ctx, "keepalive", ["allow_stalled_reader"])
    refuse_together(ctx, "as_json", ["details"])
    if heartbeats is False:
        refuse_together(ctx, "heartbeats", ["loop"])
    pages = _places(report, svg, default=not (as_json or no_report or earlier))
    if earlier is not None:
        run = read_run(earlier)
    else:
        from deadpeer.lab.runner import fitted

        asked = Scenario(
            within=within,
            rtt=rtt,
            families=FAMILIES[family],
            only=only,
            full=full,
            heartbeats=heartbeats,
            loop=loop,
            custom=keepalive,
            allow_stalled_reader=allow_stalled_reader,
            defaults=effective_defaults(),
        )
        scenario = fitted(asked)
        if list_only:
            _list(scenario, as_json=as_json)
            return
        run = _measure(scenario)
    if as_json:
        print_json("lab", run.to_json())
    else:
        print_run(stdout(), run, details=details)
    _write(run, pages, as_json=as_json)
    ctx.exit(0 if run.ok else 1)


def _places(
    report: Path | None, svg: Path | None, *, default: bool
) -> Mapping[Path, Callable[[Run], str]]:
    """Return which files will be written, and by what; refuse what cannot be."""
    if report is None and default:
        report = Path(REPORT)
    if report is not None and report == svg:
        raise click.UsageError("--report and --svg name the same file")
    wanted = ((report, page), (svg, poster))
    places = {path: draw for path, draw in wanted if path is not None}
    for path in places:
        require_writable(path)
    return places


def _list(scenario: Scenario, *, as_json: bool) -> None:
    cells = choose_cells(scenario)
    if as_json:
        print_json("lab", {"cells": cells})
    else:
        print_cells(stdout(), cells)


def _measure(scenario: Scenario) -> Run:
    cells = choose_cells(scenario)  # refuses what cannot be run
    watching = Watching(cells)
    _require_lab()
    _require_loop(scenario.loop)
    _tell_what_is_left_out(scenario)
    from deadpeer.lab.runner import run

    with watched(messages(), scenario, watching) as listener:
        return run(scenario, progress=listener)


def _require_lab() -> None:
    if sys.platform != "linux":
        raise UnsupportedError(
            "the lab is made of Linux' network namespaces",
            hint="run it on Linux; --list and --from work anywhere",
            platform=sys.platform,
        )
    if find_spec("pyroute2") is None:
        raise MissingExtra(
            "deadpeer lab needs pyroute2, which is not installed",
            hint="pip install 'deadpeer[lab]'",
            extra="lab",
        )


def _require_loop(loop: str) -> None:
    if loop == "uvloop" and find_spec("uvloop") is None:
        raise MissingExtra(
            "--loop uvloop needs uvloop, which is not installed",
            hint="pip install 'deadpeer[uvloop]'",
            extra="uvloop",
        )


def _tell_what_is_left_out(scenario: Scenario) -> None:
    every = scenario.heartbeats or (scenario.full and scenario.heartbeats is None)
    if every and FALSE_TIME in scenario.lacks:
        line = (
            "no wall clock is stepped: that needs libfaketime"
            " (apt-get install libfaketime)"
        )
        messages().print(Text(f"lab: {line}"))


def _write(
    run: Run, places: Mapping[Path, Callable[[Run], str]], *, as_json: bool
) -> None:
    # With --json, stdout is for the JSON alone.
    console = messages() if as_json else stdout()
    for path, draw in reversed(tuple(places.items())):
        write(path, draw(run))
        name = "report" if draw is page else "picture"
        console.print(Text(f"{name}: {path}"))
