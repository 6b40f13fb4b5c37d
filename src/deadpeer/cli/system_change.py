"""A proposed change of a system's settings: old and new, what it means, what is left."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deadpeer.cli.durations import in_words, rounded_up
from deadpeer.cli.system_view import death_rows
from deadpeer.cli.system_words import (
    READS,
    Unnoticed,
    about_value,
    in_force,
    unnoticed,
    where,
)
from deadpeer.kernel.sysctl.change import Change
from deadpeer.kernel.sysctl.files import dotted_key, values_of
from deadpeer.kernel.sysctl.rules import Outcome
from deadpeer.kernel.sysctl.survey import Survey, lost
from deadpeer.kernel.sysctl.table import setting_named

__all__ = ["Proposal", "proposal_data", "proposal_text"]

SWITCH = "Programs must turn SO_KEEPALIVE on: without it no probe is ever sent."
# Measured on Linux 6.18: getsockopt() shows 30, the armed timer still 7200.
ARMED = (
    "A connection whose timer runs keeps its old time until that ends, although"
    " getsockopt shows the new one at once."
)
IN_FLIGHT = (
    "With data in flight keepalive does not run, and a death takes up to {busy}: no"
    " system setting is a user timeout, so programs must set TCP_USER_TIMEOUT (see:"
    " deadpeer explain --within)."
)
PROMISE = "This promises {within} for idle connections, and nothing for others."

ELSEWHERE = (
    "This is for network namespace {namespace} alone, and goes away with it; the"
    " configuration files are for the namespace in which the system starts."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """
    A change that is proposed, or was made.

    Args:
        picture: The tree before it.
        change: What changes.
        wanted: The numbers by our names.
        within: The promise that they were chosen for, in seconds, if any.
    """

    picture: Survey
    change: Change
    wanted: dict[str, int]
    within: float | None

    @property
    def before(self) -> Unnoticed:
        """How long deaths go unnoticed now."""
        return unnoticed(in_force(self.picture))

    @property
    def after(self) -> Unnoticed:
        """How long deaths go unnoticed with the change."""
        return unnoticed(in_force(self.picture, self.wanted))

    @property
    def lost(self) -> tuple[Outcome, ...]:
        """Where another file decides, whatever ours holds."""
        if self.change.file is None:
            return ()
        return lost(self.picture, values_of(self.change.file.new) or {})

    @property
    def is_elsewhere(self) -> bool:
        """Whether this is a namespace that comes and goes with its processes."""
        return self.picture.place is not None and self.picture.place.initial is False

    @property
    def notes(self) -> list[str]:
        """What these settings do not do, as sentences."""
        busy = in_words(rounded_up(self.after.busy.latest))
        notes = [SWITCH, ARMED, IN_FLIGHT.format(busy=busy)]
        here = self.picture.place
        if here and self.is_elsewhere:
            notes.append(ELSEWHERE.format(namespace=here.namespace))
        if self.within is None:
            return notes
        return [PROMISE.format(within=in_words(self.within)), *notes]

    @property
    def warnings(self) -> Iterator[str]:
        """What somebody should think about before doing it."""
        for name, number in self.wanted.items():
            row = setting_named(name)
            odd = about_value(row, number)
            if odd:
                yield f"{row.key} = {number}, {odd}"
        if self.wanted.get("probes") == 1:
            yield (
                "one lost probe ends a live connection; RFC 1122 (4.2.3.6) forbids"
                " taking it for a death"
            )
        for found in self.lost:
            yield _lost_line(found)
        passing = self.change.file is None and not self.change.is_empty
        if passing and not self.is_elsewhere:
            yield "this lasts until the next boot; --persist keeps it"

    def verdict(self, record: Path | None) -> str:
        """
        Return what was done, as the last line.

        Args:
            record: The record's file, if it was done.
        """
        if self.change.is_empty:
            return "Everything is so already; nothing was changed."
        if record is None:
            return "Nothing was changed. Do it with --yes."
        root = self.change.root
        option = "" if root == Path("/") else f"--root {quote(str(root))} "
        again = f"deadpeer system undo --yes {option}{quote(str(record))}"
        return f"Done. To put everything back: {again}"


def _lost_line(found: Outcome) -> str:
    who, key = READS[found.rule], dotted_key(found.key)
    if found.winner is None:
        return f"{who} would not set {key}: a line that starts with - excludes it"
    return (
        f"{where(found.winner)} wins over ours where {who} reads the files: {key} ="
        f" {found.winner.value}; deadpeer never touches it"
    )


def proposal_text(console: Console, proposal: Proposal) -> None:
    """
    Print a proposal for people.

    Args:
        console: Where to.
        proposal: The change.
    """
    console.print(_change_table(proposal))
    console.print()
    console.print(Text("How long a dead peer goes unnoticed", style="bold"))
    console.print(_death_table(proposal))
    console.print()
    for note in proposal.notes:
        console.print(Text(note))
    console.print()


def _change_table(proposal: Proposal) -> Table:
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("Setting", "Old", "New"):
        table.add_column(title, overflow="fold")
    values = proposal.picture.values
    for name, number in proposal.wanted.items():
        row = setting_named(name)
        unit = f" {row.unit}" if row.unit else ""
        old = "-" if name not in values else f"{values[name]}{unit}"
        style = "bold" if values.get(name) != number else "dim"
        table.add_row(row.key, old, Text(f"{number}{unit}", style=style))
    if proposal.change.file is not None:
        kept = "rewritten" if proposal.change.file.old else "new"
        table.add_row(proposal.change.file.path, "", Text(kept, style="bold"))
    return table


def _death_table(proposal: Proposal) -> Table:
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("A peer that dies", "Old", "New"):
        table.add_column(title, overflow="fold")
    pairs = zip(death_rows(proposal.before), death_rows(proposal.after), strict=True)
    for (state, old), (_, new) in pairs:
        table.add_row(state, old, new)
    return table


def proposal_data(proposal: Proposal, record: Path | None) -> dict[str, Any]:
    """
    Return the fields of ``system set --json``.

    Args:
        proposal: The change.
        record: The record's file, if it was done.
    """
    file = proposal.change.file
    return {
        "root": str(proposal.change.root),
        "applied": record is not None,
        "record": record and str(record),
        "wanted": proposal.wanted,
        "live": [
            {"key": item.key, "old": item.old.strip(), "new": item.new}
            for item in proposal.change.live
        ],
        "file": file and {"path": file.path, "text": file.new},
        "lost": [_lost_data(found) for found in proposal.lost],
        "unnoticed": {
            "before": _latest(proposal.before),
            "after": _latest(proposal.after),
        },
        "notes": proposal.notes,
        "warnings": list(proposal.warnings),
    }


def _lost_data(found: Outcome) -> dict[str, Any]:
    winner = found.winner
    return {
        "rule": found.rule,
        "key": dotted_key(found.key),
        "path": winner and winner.path,
        "line": winner and winner.line,
        "value": winner and winner.value,
    }


def _latest(found: Unnoticed) -> dict[str, float]:
    return {
        "idle": found.idle.latest,
        "busy": found.busy.latest,
        "connecting": found.connecting.latest,
    }
