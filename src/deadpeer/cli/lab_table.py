"""A lab run as tables and sentences on a terminal, 80 columns wide or more."""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deadpeer.lab.rendering.report import (
    Glance,
    Section,
    glance,
    one_by_one,
    outside,
    sections,
)
from deadpeer.lab.rendering.row import Row, story
from deadpeer.lab.rendering.summary import summary
from deadpeer.lab.rendering.words import (
    DONE,
    about,
    exactly,
    span,
    state_label,
)
from deadpeer.lab.scenario import Cell, Measurement, Run

__all__ = ["print_cells", "print_run"]

# Below this there is no room for what decided.
ROOMY = 120
GAP = 2
NARROWEST = 16

GOOD = "green"
BAD = "bold red"
SOFT = "dim"


def print_run(console: Console, run: Run, *, details: bool) -> None:
    """
    Print a run for people: predicted against measured, and what it shows.

    Args:
        console: Where.
        run: What was measured.
        details: A row for every connection, and how it ended.
    """
    found = sections(run)
    _print_sections(console, one_by_one(found) if details else found, details=details)
    failures = outside(run)
    if failures:
        console.print(Text("Outside the prediction", style=BAD))
        for failure in failures:
            name = (f"  {failure.cell.id}", "bold")
            console.print(Text.assemble(name, f": {story(failure)}"))
        console.print()
    compared = glance(run)
    if compared:
        _print_glance(console, compared)
    if run.precision:
        console.print(Text(f"The lab's wires: {run.precision}", style=SOFT))
    *sentences, verdict = summary(run)
    for sentence in sentences:
        console.print(Text(sentence))
    console.print(Text(verdict, style=GOOD if run.ok else BAD))


def _print_sections(
    console: Console, found: Sequence[Section], *, details: bool
) -> None:
    rows = [row for section in found for row in section.rows]
    last = "reported as" if details else "decided by"
    roomy = details or console.width >= ROOMY
    heads = ["", "predicted", "measured", "ok", *([last] if roomy else [])]
    cells = {id(row): _words(row, details=details)[: len(heads)] for row in rows}
    widths = [
        max((len(words[n]) for words in cells.values()), default=0)
        for n in range(len(heads))
    ]
    widths = _fitted(
        [max(w, len(h)) for w, h in zip(widths, heads, strict=True)], console.width
    )
    console.print(_grid(widths, [[Text(head, style=SOFT) for head in heads]]))
    for section in found:
        console.print(
            Text.assemble((section.title, "bold"), f": {section.verdict}"),
        )
        styled = [_styled(row, cells[id(row)]) for row in section.rows]
        console.print(_grid(widths, styled))
        console.print()


def _words(row: Row, *, details: bool) -> list[str]:
    first = f"  {row.label}"
    last = _ending(row.measurements[0]) if details else row.why
    return [first, row.predicted, row.measured, row.verdict, last]


def _ending(m: Measurement) -> str:
    counts = f"{m.probes} probes, {m.retransmits} resent"
    return f"{m.error}, {counts}" if m.error else ""


def _styled(row: Row, words: Iterable[str]) -> list[Text]:
    first, predicted, measured, verdict, *rest = words
    unnoticed = not (row.is_live or row.is_noticed)
    return [
        Text(first),
        Text(predicted),
        Text(measured, style="red" if unnoticed else ""),
        Text(verdict, style=BAD if row.failures else GOOD),
        *(Text(word, style=SOFT) for word in rest),
    ]


def _fitted(widths: list[int], room: int) -> list[int]:
    """Return the widths, the first and the last cut down to what there is."""
    spare = room - sum(widths) - GAP * (len(widths) - 1)
    for n in (-1, 0):
        if spare < 0 and (n == 0 or len(widths) > 4):  # noqa: PLR2004 - is there a last
            cut = min(-spare, max(0, widths[n] - NARROWEST))
            widths[n] -= cut
            spare += cut
    return widths


def _grid(widths: list[int], rows: Iterable[Iterable[Text]]) -> Table:
    table = Table.grid(padding=(0, GAP, 0, 0), pad_edge=False)
    for width in widths:
        table.add_column(width=width, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _print_glance(console: Console, compared: Glance) -> None:
    watched = max(row.observed_for for row in compared.rows.values())
    done = DONE[compared.fault].capitalize()
    console.print(
        Text.assemble(
            (f"{done}: who noticed, and when", "bold"),
            (f"  (the latest of several; unnoticed in {about(watched)})", SOFT),
        )
    )
    table = Table(box=None, pad_edge=False, header_style=SOFT, padding=(0, GAP, 0, 0))
    table.add_column("")
    for setting in compared.settings:
        table.add_column(setting.name, overflow="fold")
    for situation in compared.situations:
        rows = (compared.rows.get((situation, s.name)) for s in compared.settings)
        table.add_row(Text(f"  {state_label(situation)}"), *map(_glance_cell, rows))
    console.print(table)
    for row in _noticed_anyway(compared):
        note = f"  {row.label}: noticed even with nothing set ({row.why})"
        console.print(Text(note, style=SOFT))
    console.print()


def _noticed_anyway(compared: Glance) -> Iterator[Row]:
    """Yield what is noticed even with nothing set, which asks for a reason."""
    rows = (compared.rows.get((s, "nothing")) for s in compared.situations)
    yield from (row for row in rows if row is not None and row.is_noticed)


def _glance_cell(row: Row | None) -> Text:
    if row is None:
        return Text("-")
    word = exactly(row.reports[-1]) if row.is_noticed else "unnoticed"
    if row.failures:
        several = len(row.measurements) > 1
        return Text(row.verdict if several else f"{word} FAILED", style=BAD)
    if not row.is_noticed:
        return Text(word, style="red")
    return Text(word, style=GOOD if row.is_kept else "")


def print_cells(console: Console, cells: Sequence[Cell]) -> None:
    """
    Print what would be run, with the predictions as far as they are known.

    Args:
        console: Where.
        cells: What would be run.
    """
    names = [Text(cell.id) for cell in cells]
    expected = [
        "stays alive" if c.peer_lives else span(c.earliest, c.latest) for c in cells
    ]
    table = Table(box=None, pad_edge=False, header_style=SOFT, padding=(0, GAP, 0, 0))
    for head in ("cell", "predicted", "watched for", "decided by"):
        table.add_column(head, overflow="fold")
    for name, span_, cell in zip(names, expected, cells, strict=True):
        table.add_row(name, Text(span_), about(cell.observed_for), Text(cell.why))
    console.print(table)
