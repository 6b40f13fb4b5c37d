"""An assessment as people read it: words, a table, warnings; and as JSON."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

from deadpeer.cli.durations import in_words, rounded_down, rounded_up
from deadpeer.cli.output import stdout
from deadpeer.platforms import Platform
from deadpeer.policy import Assessment, Bound, State

__all__ = ["Explanation", "as_data", "print_text"]

MEANINGS = {
    "idle": "silence before the first probe",
    "interval": "between probes",
    "probes": "unanswered probes end the connection",
    "user_timeout": "for sent data to stay unacknowledged",
    "rto_max": "between two retransmissions, at the most",
}

SURVIVES = "(survives: the longest outage that a live peer is sure to survive)"
UNKNOWN = ("not known",) * 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """
    What is to be explained.

    Args:
        within: The promise, in seconds, if settings were planned for one.
        origin: Whose settings they are: a plan's, somebody's, or only assumed.
        platform: The row of the system that the socket is on.
        assessment: What the settings mean.
    """

    within: float | None
    origin: Literal["plan", "given", "assumed"]
    platform: Platform
    assessment: Assessment


def as_data(
    explanation: Explanation, snippets: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """
    Return the fields of ``explain --json``; see docs/reference/cli.md.

    Args:
        explanation: What is explained.
        snippets: Ready lines by the name of their target, if asked for.
    """
    found = explanation.assessment
    data: dict[str, Any] = {
        "platform": explanation.platform.name,
        "within": explanation.within,
        "rtt": found.rtt,
        "settings": found.keepalive,
        "options": options(explanation),
        "effective": found.effective,
        "worst": found.worst,
        "survives": found.survives,
        "longest_pause": found.longest_pause,
        "states": found.bounds,
        "traffic": found.traffic,
        "warnings": found.warnings,
    }
    return data | ({"code": dict(snippets)} if snippets else {})


def options(explanation: Explanation) -> dict[str, int]:
    """
    Return what a program sets: numbers in the system's units, by its own names.

    Args:
        explanation: What is explained.
    """
    platform, keepalive = explanation.platform, explanation.assessment.keepalive
    on = keepalive.wants_on
    switch = {} if on is None else {platform.switch.name: int(on)}
    return switch | {
        platform.options[name].name: number
        for name, number in keepalive.in_units(platform).items()
    }


def print_text(explanation: Explanation) -> None:
    """
    Print an explanation for people.

    Args:
        explanation: What is explained.
    """
    console = stdout()
    console.print(Text(headline(explanation), style="bold"))
    console.print()
    console.print(settings_table(explanation))
    console.print()
    console.print(states_table(explanation))
    console.print(SURVIVES)
    console.print()
    for line in notes(explanation.assessment):
        console.print(line)
    warnings = explanation.assessment.warnings
    if warnings:
        console.print()
    for warning in warnings:
        console.print(Text.assemble(("warning: ", "yellow"), warning))


def headline(explanation: Explanation) -> str:
    """
    Return the one sentence that says what the settings promise.

    Args:
        explanation: What is explained.
    """
    found = explanation.assessment
    path = f"at round trips of up to {in_words(found.rtt)}" if found.rtt else ""
    if explanation.within is not None:
        promise = f"A dead peer is reported within {in_words(explanation.within)}"
        return f"{promise}, {path}." if path else f"{promise}."
    lacking = [bound for bound in found.bounds if math.isinf(bound.latest)]
    if lacking:
        states = ", ".join(bound.state for bound in lacking)
        if any(_is_measured(bound, explanation.platform) for bound in lacking):
            return f"A dead peer may never be noticed. States without bound: {states}."
        return f"When a dead peer is noticed is not known in the states: {states}."
    sentence = f"A dead peer is reported after {in_words(rounded_up(found.worst))} at the latest"
    return f"{sentence}, {path}." if path else f"{sentence}."


def settings_table(explanation: Explanation) -> Table:
    """
    Return the settings by their system's names, and where they come from.

    Args:
        explanation: What is explained.
    """
    found = explanation.assessment
    table = _table("setting", "value", "meaning", "from")
    own = "the plan" if explanation.origin == "plan" else explanation.origin
    table.add_row(
        explanation.platform.switch.name,
        "on" if found.effective.on else "off",
        "whether idle peers are probed at all",
        own if found.keepalive.wants_on is not None else "every system's default",
    )
    for name, option in explanation.platform.options.items():
        value = getattr(found.effective, name)
        given = getattr(found.keepalive, name) is not None
        if name == "probes" and _ignores_probes(explanation):
            table.add_row(option.name, "-", "ignored beside a user timeout", "")
        elif given or (value and name != "rto_max"):
            shown = f"{value}" if name == "probes" else in_words(value)
            table.add_row(
                option.name,
                shown if value else "off",
                MEANINGS[name],
                own if given else "the system",
            )
    return table


def _ignores_probes(explanation: Explanation) -> bool:
    timeout = explanation.assessment.effective.user_timeout
    return bool(timeout) and explanation.platform.probes_yield


def states_table(explanation: Explanation) -> Table:
    """
    Return one row for each state of a connection.

    Args:
        explanation: What is explained.
    """
    table = _table("state", "detected after", "at the latest", "survives", "decided by")
    for bound in explanation.assessment.bounds:
        known = _is_measured(bound, explanation.platform)
        table.add_row(bound.state, *(_numbers(bound) if known else UNKNOWN), bound.why)
    return table


def _is_measured(bound: Bound, platform: Platform) -> bool:
    """
    Tell whether "no bound" means never, and not that nobody has measured it.

    Keepalive counts the same everywhere; how retransmissions end was measured
    on Linux alone.
    """
    if math.isfinite(bound.latest):
        return True
    return bool(platform.ran) or bound.state in (State.IDLE, State.HALF_CLOSED)


def _table(*headings: str) -> Table:
    # Without lines: what is printed into a pipe should be easy to take apart.
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in headings:
        words = heading in ("meaning", "decided by")
        table.add_column(heading, overflow="fold", no_wrap=not words)
    return table


def _numbers(bound: Bound) -> tuple[str, str, str]:
    """When a death is detected at the earliest and latest; what outage is survived."""
    earliest = in_words(rounded_down(bound.earliest))
    survives = in_words(rounded_down(bound.survives))
    return (
        earliest if math.isfinite(bound.earliest) else "never",
        in_words(rounded_up(bound.latest)),
        survives if math.isfinite(bound.survives) else "any outage",
    )


def notes(assessment: Assessment) -> Iterator[str]:
    """
    Yield sentences on the traffic and on readers that pause.

    Args:
        assessment: What was found.
    """
    traffic = assessment.traffic
    if math.isinf(traffic.every):
        yield "Probes: none."
    else:
        packets = f"{traffic.packets:.4g}"
        yield (
            f"Probes on an idle connection: one every {in_words(traffic.every)};"
            f" {packets} {'packet' if packets == '1' else 'packets'} an hour,"
            f" {_bytes(traffic.ipv4_bytes)} on IPv4,"
            f" {_bytes(traffic.ipv6_bytes)} on IPv6."
        )
    pause = assessment.longest_pause
    if math.isinf(pause):
        yield "A live peer may stop reading for as long as it likes."
    else:
        yield (
            f"A live peer may stop reading, its window closed, for {in_words(pause)};"
            " then it is ended too."
        )


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000 or unit == "MB":  # noqa: PLR2004 - decimal units
            break
        count /= 1000
    return f"{count:.3g} {unit}"
