"""A system's settings as people read them: tables that fit any width; and as JSON."""

from collections.abc import Iterable
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deadpeer.cli.durations import in_words, rounded_up
from deadpeer.cli.system_words import (
    READS,
    Unnoticed,
    in_force,
    place_line,
    unnoticed,
    warnings,
    where,
    winner_line,
)
from deadpeer.kernel.sysctl.rules import Assignment, Outcome
from deadpeer.kernel.sysctl.survey import Survey, Surveyed
from deadpeer.policy import Bound

__all__ = ["as_data", "death_rows", "death_table", "print_text", "print_warnings"]

WIDE = 90  # columns


def print_text(console: Console, picture: Survey) -> None:
    """
    Print a tree's settings for people.

    Args:
        console: Where to.
        picture: The tree.
    """
    console.print(Text(place_line(picture), style="bold"))
    console.print()
    console.print(settings_table(picture, console.width))
    console.print()
    console.print(Text("How long a dead peer goes unnoticed", style="bold"))
    console.print(death_table(unnoticed(in_force(picture))))
    print_warnings(console, warnings(picture))


def print_warnings(console: Console, found: Iterable[str]) -> None:
    """
    Print warnings, one a line.

    Args:
        console: Where to.
        found: Sentences.
    """
    for warning in found:
        console.print(Text.assemble(("warning: ", "yellow"), warning))


def settings_table(picture: Survey, width: int) -> Table:
    """
    Return the settings: what each means, its value, and who set it.

    Args:
        picture: The tree.
        width: How many columns there are; a narrow table puts one thing under
            the other.
    """
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    wide = width >= WIDE
    for title in (
        ("Setting", "Now (default)", "Set by") if wide else ("Now (default)", "Setting")
    ):
        table.add_column(title, overflow="fold")
    for item in picture.settings:
        if item is not picture.settings[0]:
            table.add_row()
        name, value, by = _name(item), _value(item), _set_by(item, picture)
        if wide:
            table.add_row(name, value, by)
        else:
            table.add_row(value, Text("\n").join([name, by]))
    return table


def _name(item: Surveyed) -> Text:
    return Text.assemble(
        (item.setting.key.rpartition(".")[2], "bold"), "\n", item.setting.meaning
    )


def _value(item: Surveyed) -> Text:
    row = item.setting
    unit = f" {row.unit}" if row.unit else ""
    default = f"({row.default}{unit})"
    if item.value is None:
        return Text(f"-\n{default}")
    changed = item.value != row.default
    return Text.assemble(
        (f"{item.value}{unit}", "cyan" if changed else ""), "\n", (default, "dim")
    )


def _set_by(item: Surveyed, picture: Survey) -> Text:
    lines: list[str] = []
    same = len({winner_line(found, item.setting) for found in item.outcomes}) == 1
    for found in item.outcomes[:1] if same else item.outcomes:
        who = "" if same else f"{READS[found.rule]}: "
        lines.append(who + _decided(item, found, picture))
    lines += dict.fromkeys(
        f"not {where(shade.assignment)} = {shade.assignment.value}: {shade.why}"
        for found in item.outcomes
        for shade in found.shadowed
        if shade.assignment.place not in _winners(item)
    )
    return Text("\n".join(lines))


def _winners(item: Surveyed) -> set[tuple[str, int]]:
    return {found.winner.place for found in item.outcomes if found.winner}


def _decided(item: Surveyed, found: Outcome, picture: Survey) -> str:
    if found.winner is not None:
        return winner_line(found, item.setting)
    if item.value in (None, item.setting.default):
        return "no file: the kernel's own"
    if picture.place and picture.place.sandbox:
        return "the sandbox"
    return "no file: set by hand or by a program"


def death_table(found: Unnoticed) -> Table:
    """
    Return how long deaths go unnoticed, state by state.

    Args:
        found: The bounds.
    """
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(overflow="fold", ratio=1)
    table.add_column(overflow="fold", ratio=1)
    for state, how_long in death_rows(found):
        table.add_row(state, how_long)
    return table


def death_rows(found: Unnoticed) -> list[tuple[str, str]]:
    """
    Return the states and how long a death goes unnoticed in each.

    Args:
        found: The bounds.
    """
    return [
        ("idle, if the program turned SO_KEEPALIVE on", _span(found.idle)),
        ("idle, if it did not (the default)", "for ever"),
        ("with data in flight, when keepalive rests", _span(found.busy)),
        ("while connecting", _span(found.connecting)),
    ]


def _span(bound: Bound) -> str:
    return f"{in_words(bound.earliest)} to {in_words(rounded_up(bound.latest))}"


def as_data(picture: Survey) -> dict[str, Any]:
    """
    Return the fields of ``system show --json``.

    Args:
        picture: The tree.
    """
    found = unnoticed(in_force(picture))
    return {
        "root": str(picture.root),
        "place": picture.place,
        "readers": picture.readers,
        "settings": [_setting_data(item, picture) for item in picture.settings],
        "unnoticed": {
            "idle": _bound_data(found.idle),
            "idle_without_keepalive": _bound_data(None),
            "busy": _bound_data(found.busy),
            "connecting": _bound_data(found.connecting),
        },
        "warnings": list(warnings(picture)),
    }


def _bound_data(bound: Bound | None) -> dict[str, float | None]:
    if bound is None:
        return {"earliest": None, "latest": None}
    return {"earliest": bound.earliest, "latest": bound.latest}


def _setting_data(item: Surveyed, picture: Survey) -> dict[str, Any]:
    row = item.setting
    boot = picture.readers.at_boot
    return {
        "name": row.name,
        "key": row.key,
        "meaning": row.meaning,
        "unit": row.unit,
        "value": item.value,
        "default": row.default,
        "settable": row.settable,
        "after_boot": item.after_boot(boot) if boot else None,
        "rules": [
            {
                "rule": found.rule,
                "gives": item.from_files(found.rule),
                "winner": _line_data(found.winner),
                "shadowed": [
                    {"why": shade.why} | (_line_data(shade.assignment) or {})
                    for shade in found.shadowed
                ],
            }
            for found in item.outcomes
        ],
    }


def _line_data(said: Assignment | None) -> dict[str, Any] | None:
    if said is None:
        return None
    return {
        "path": said.path,
        "real": said.real or said.path,
        "line": said.line,
        "key": said.key.replace("/", "."),
        "value": said.value,
    }
