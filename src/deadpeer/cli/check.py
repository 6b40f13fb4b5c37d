"""``deadpeer check``: I set the sysctls, why does nothing happen?"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import click
from rich.text import Text

from deadpeer.cli.diagnosis import Diagnosis, Finding, Severity, diagnose
from deadpeer.cli.durations import SECONDS, in_words, rounded_up
from deadpeer.cli.examination import (
    Examination,
    examine_address,
    examine_process,
)
from deadpeer.cli.output import print_json, stdout
from deadpeer.cli.shared_options import JSON
from deadpeer.cli.target import Address, Process, parse_target
from deadpeer.policy.keepalive import require_seconds

__all__ = ["command"]

EXIT_UNPROTECTED = 1
STYLES = {Severity.DEFECT: "red", Severity.NOTE: "cyan"}


@click.command()
@click.argument("target", metavar="PID|HOST:PORT")
@click.option(
    "--within",
    type=SECONDS,
    metavar="SECONDS",
    default=60.0,
    show_default="60",
    help="How soon a death should be noticed.",
)
@click.option(
    "--timeout",
    type=SECONDS,
    metavar="SECONDS",
    default=10.0,
    show_default="10",
    help="How long to wait for a connection to HOST:PORT.",
)
@JSON
def command(*, target: str, within: float, timeout: float, as_json: bool) -> None:
    """
    Say why a process or a connection does not notice dead peers.

    PID: looks at each TCP connection of a running process. HOST:PORT (an IPv6
    address in brackets): makes one connection, and looks at what a program
    gets that turns SO_KEEPALIVE on and sets nothing else.

    Finds keepalive that was never turned on, values that the program
    overrides, timers armed before the sysctls were changed, data in flight
    that nothing limits, and another network namespace. Changes nothing.

    Exits with 0 if every connection would notice a dead peer within the time
    given, with 1 if one would not.
    """
    require_seconds("within", within)
    require_seconds("timeout", timeout)
    chosen = parse_target(target)
    match chosen:
        case Process():
            examination = examine_process(chosen.pid)
        case Address():
            examination = examine_address(chosen, timeout=timeout)
    diagnoses = [diagnose(c, within=within) for c in examination.connections]
    protected = all(d.protected for d in diagnoses) and not any(
        finding.severity is Severity.DEFECT for finding in examination.findings
    )
    if as_json:
        print_json("check", as_data(target, within, protected, examination, diagnoses))
    else:
        _print_text(chosen, within, examination, diagnoses)
    if not protected:
        click.get_current_context().exit(EXIT_UNPROTECTED)


def as_data(
    target: str,
    within: float,
    protected: bool,  # noqa: FBT001 - a field like the others
    examination: Examination,
    diagnoses: Sequence[Diagnosis],
) -> dict[str, Any]:
    """
    Return the fields of ``check --json``; see docs/reference/cli.md.

    Args:
        target: What was asked about, as it was written.
        within: How soon a death should be noticed, in seconds.
        protected: The verdict.
        examination: What was seen.
        diagnoses: What was found, one for each connection.
    """
    return {
        "target": target,
        "within": within,
        "protected": protected,
        "listening": examination.listening,
        "findings": examination.findings,
        "connections": [_connection_data(diagnosis) for diagnosis in diagnoses],
    }


def _connection_data(diagnosis: Diagnosis) -> dict[str, Any]:
    seen = diagnosis.connection
    row = seen.row
    timer = row and {"kind": row.timer.name.lower(), "expires": row.expires}
    return {
        "local": seen.local,
        "peer": seen.peer,
        "state": seen.state.name,
        "rtt": seen.rtt,
        "settings": seen.keepalive,
        "timer": timer,
        "unnoticed_idle": diagnosis.idle,
        "unnoticed_busy": diagnosis.busy,
        "protected": diagnosis.protected,
        "findings": diagnosis.findings,
    }


def _print_text(
    chosen: Process | Address,
    within: float,
    examination: Examination,
    diagnoses: Sequence[Diagnosis],
) -> None:
    console = stdout()
    console.print(Text(_heading(chosen, examination), style="bold"))
    for finding in examination.findings:
        console.print(_line(finding))
    for group in groups(diagnoses):
        console.print()
        console.print(_about(group))
        console.print(f"  {unnoticed(group)}")
        for finding in group[0].findings:
            console.print(_line(finding))
    if diagnoses:
        console.print()
        console.print(Text(summary(diagnoses, within), style="bold"))


def _heading(chosen: Process | Address, examination: Examination) -> str:
    if isinstance(chosen, Address):
        return f"A connection to {chosen}, made for this check"
    connections = _count(len(examination.connections), "TCP connection")
    sockets = _count(examination.listening, "listening socket")
    return f"Process {chosen.pid}: {connections}, {sockets}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def groups(diagnoses: Sequence[Diagnosis]) -> Iterator[tuple[Diagnosis, ...]]:
    """
    Yield those together that have the same settings and the same findings.

    Args:
        diagnoses: In any order; the first of each group decides the order.
    """
    alike: dict[Any, list[Diagnosis]] = {}
    for diagnosis in diagnoses:
        kinds = tuple((f.problem, f.severity) for f in diagnosis.findings)
        key = diagnosis.connection.keepalive, diagnosis.connection.state, kinds
        alike.setdefault(key, []).append(diagnosis)
    yield from map(tuple, alike.values())


def _about(group: tuple[Diagnosis, ...]) -> str:
    first = group[0].connection
    more = f" and {len(group) - 1} more like it" if len(group) > 1 else ""
    return f"{first.local} -> {first.peer} {first.state.name}{more}"


def unnoticed(group: Sequence[Diagnosis]) -> str:
    """
    Return the sentence on how long a death goes unnoticed.

    Args:
        group: One or more diagnoses; the longest counts.
    """
    idle = _how_long(max(diagnosis.idle for diagnosis in group))
    busy = _how_long(max(diagnosis.busy for diagnosis in group))
    return f"a death goes unnoticed {idle} when idle, {busy} with data in flight"


def _how_long(seconds: float) -> str:
    if math.isinf(seconds):
        return "for ever"
    return f"for up to {in_words(rounded_up(seconds))}"


def _line(finding: Finding) -> Text:
    """One line for one finding: kind, evidence, remedy."""
    severity = finding.severity
    remedy = f"; remedy: {finding.remedy}" if finding.remedy else ""
    return Text.assemble(
        (f"  {severity}: {finding.problem}: ", STYLES[severity]),
        f"{finding.evidence}{remedy}",
    )


def summary(diagnoses: Sequence[Diagnosis], within: float) -> str:
    """
    Return the verdict over all connections.

    Args:
        diagnoses: One for each connection.
        within: How soon a death should be noticed, in seconds.
    """
    bad = sum(not diagnosis.protected for diagnosis in diagnoses)
    total = _count(len(diagnoses), "connection")
    if bad:
        return (
            f"{bad} of {total} would not notice a dead peer within {in_words(within)}."
        )
    return f"{total}: a dead peer would be noticed within {in_words(within)}."
