"""
A run as people read it: rows, sections, and the states at a glance.

Cells that differ only in their timing or their IP version are read as one row;
so a table has a row for each thing that can happen, and not for each connection.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from deadpeer.lab.rendering.row import Row
from deadpeer.lab.rendering.words import (
    DONE,
    about,
    exactly,
    only_when,
    state_label,
    title_of,
)
from deadpeer.lab.scenario import Cell, Measurement, Run, Setting
from deadpeer.lab.selection import outage
from deadpeer.lab.terms import HARDSHIPS, Fault, Situation

__all__ = [
    "Glance",
    "Section",
    "glance",
    "headline",
    "one_by_one",
    "outside",
    "sections",
]

# A fault with fewer situations than this shares a section with others; with
# heartbeats, where there are fewer situations, this many.
WORTH_A_SECTION = 3
WORTH_A_BEAT = 2

LIVE = "Live peers"
LIVE_BESIDE = "Live peers, judged by heartbeats"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """
    Rows under a heading.

    Args:
        title: Which settings, and what was done.
        verdict: What came of it, in a few words.
        rows: In the order of the run.
        settings: The setting that all rows have; none if nothing died.
        fault: What was done, if the same was done to all.
    """

    title: str
    verdict: str
    rows: tuple[Row, ...]
    settings: tuple[Setting, ...] = ()
    fault: Fault | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """
    One fault: every situation under every setting.

    Args:
        fault: What was done.
        settings: The columns.
        situations: The rows.
        rows: What came of it, by situation and setting's name.
    """

    fault: Fault
    settings: tuple[Setting, ...]
    situations: tuple[Situation, ...]
    rows: dict[tuple[Situation, str], Row]


def sections(run: Run) -> tuple[Section, ...]:
    """
    Return the whole run, in the order in which it is best read.

    Args:
        run: What was measured.
    """
    rows = _rows(run.measurements)
    found: list[Section] = []
    for setting in _settings(run):
        dead = [
            r for r in rows if r.cell.setting.name == setting.name and not r.is_live
        ]
        found += _about_deaths(setting, [r for r in dead if not _is_hard(r)])
        hard = tuple(_relabelled(run, r) for r in dead if _is_hard(r))
        if hard:
            title = f"{title_of(setting)}, who died during a hardship"
            verdict = _judged(setting, hard)
            found.append(
                Section(title=title, verdict=verdict, rows=hard, settings=(setting,))
            )
    live = [_relabelled(run, row) for row in rows if row.is_live]
    for title, beats in ((LIVE, False), (LIVE_BESIDE, True)):
        mine = tuple(row for row in live if _beats(row) == beats)
        if mine:
            found.append(Section(title=title, verdict=_lived(mine), rows=mine))
    return tuple(found)


def _beats(row: Row) -> bool:
    return row.cell.setting.heartbeat is not None


def one_by_one(found: Iterable[Section]) -> tuple[Section, ...]:
    """Return the same sections with a row for every connection."""
    return tuple(
        replace(
            section,
            rows=_numbered(
                Row(label=_told_apart(m.cell, row), measurements=(m,))
                for row in section.rows
                for m in row.measurements
            ),
        )
        for section in found
    )


def _numbered(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Return the rows; those that are the same in every way get numbers."""
    seen: Counter[str] = Counter()
    found = []
    for row in rows:
        seen[row.label] += 1
        number = seen[row.label]
        label = f"{row.label} ({number})" if number > 1 else row.label
        found.append(replace(row, label=label))
    return tuple(found)


def outside(run: Run) -> tuple[Measurement, ...]:
    """Return the measurements that do not lie within their prediction."""
    return tuple(m for m in run.measurements if not m.ok)


def glance(run: Run) -> Glance | None:
    """
    Return the fault that most settings met, situations against settings.

    Args:
        run: What was measured.

    Returns:
        None if there is nothing to compare: fewer than two settings.
    """
    deaths = [
        row
        for row in _rows(run.measurements)
        if not (row.is_live or row.cell.fault.says_goodbye)
    ]
    met = {
        fault: {r.cell.setting.name for r in deaths if r.cell.fault is fault}
        for fault in Fault
    }
    fault = max(Fault, key=lambda fault: len(met[fault]))
    if len(met[fault]) < 2:  # noqa: PLR2004 - said above
        return None
    rows = {
        (r.cell.situation, r.cell.setting.name): r
        for r in deaths
        if r.cell.fault is fault
    }
    return Glance(
        fault=fault,
        settings=tuple(s for s in _settings(run) if s.name in met[fault]),
        situations=tuple(s for s in Situation if any(s is key[0] for key in rows)),
        rows=rows,
    )


def headline(run: Run) -> str:
    """Return the verdict on a run, in one line."""
    failed, count = len(outside(run)), len(run.measurements)
    if not count:
        return "Nothing was measured"
    if failed:
        return f"{failed} of {count} measurements lie outside their prediction"
    return f"All {count} measurements lie within their predictions"


def _settings(run: Run) -> tuple[Setting, ...]:
    """Return the settings of the run, and any that only its cells know."""
    known = {setting.name: setting for setting in run.settings}
    for m in run.measurements:
        known.setdefault(m.cell.setting.name, m.cell.setting)
    return tuple(known.values())


def _rows(measurements: Iterable[Measurement]) -> list[Row]:
    groups: dict[tuple[str, Fault, Situation], list[Measurement]] = {}
    for m in measurements:
        key = m.cell.setting.name, m.cell.fault, m.cell.situation
        groups.setdefault(key, []).append(m)
    return [
        Row(label=state_label(situation), measurements=tuple(members))
        for (_, _, situation), members in groups.items()
    ]


def _about_deaths(setting: Setting, rows: list[Row]) -> Iterator[Section]:
    """Yield a section for each fault that was tried well, and one for the rest."""
    rest: list[Row] = []
    for fault in Fault:
        mine = tuple(row for row in rows if row.cell.fault is fault)
        if len(mine) < _least(setting, fault):
            rest += (replace(r, label=f"{fault}: {r.label}") for r in mine)
            continue
        title = f"{title_of(setting)}, {DONE[fault]}"
        yield Section(
            title=title,
            verdict=_judged(setting, mine),
            rows=mine,
            settings=(setting,),
            fault=fault,
        )
    if rest:
        other = "other faults" if len(rest) < len(rows) else "each fault"
        yield Section(
            title=f"{title_of(setting)}, {other}",
            verdict=_judged(setting, tuple(rest)),
            rows=tuple(rest),
            settings=(setting,),
        )


def _least(setting: Setting, fault: Fault) -> int:
    """Return how many situations make a section."""
    # What the kernel cannot see is not mixed with what it can.
    beats = setting.heartbeat is not None or fault is Fault.PROCESS_STOPPED
    return WORTH_A_BEAT if beats else WORTH_A_SECTION


def _judged(setting: Setting, rows: tuple[Row, ...]) -> str:
    failed = sum(len(row.failures) for row in rows)
    outside = f"; {failed} outside the prediction" if failed else ""
    return _verdict(setting, rows) + outside


def _verdict(setting: Setting, rows: tuple[Row, ...]) -> str:
    """Return what came of deaths under one setting, in a few words."""
    missed = {row.cell.situation for row in rows if not row.is_noticed}
    unnoticed = sum(not row.is_noticed for row in rows)
    if not unnoticed:
        last = max(row.reports[-1] for row in rows)
        if setting.promise is None:
            return f"noticed every time, the last after {exactly(last)}"
        late = sum(row.reports[-1] > setting.promise for row in rows)
        promise = about(setting.promise)
        if late:
            return f"{late} of {len(rows)} later than the promised {promise}"
        return f"all within {promise}, the last after {exactly(last)}"
    if {row.cell.fault for row in rows} == {Fault.PROCESS_STOPPED}:
        return "unnoticed: its kernel answers for it"
    when = f", {only_when(missed)}" if only_when(missed) else ""
    return f"unnoticed in {unnoticed} of {len(rows)}{when}"


def _is_hard(row: Row) -> bool:
    return row.cell.fault in HARDSHIPS


def _lived(rows: tuple[Row, ...]) -> str:
    count = sum(len(row.measurements) for row in rows)
    given_up = sum(len(row.reports) for row in rows)
    if given_up:
        return f"{given_up} of {count} were given up, wrongly"
    return f"all {count} left alone" if count > 1 else "left alone"


def _relabelled(run: Run, row: Row) -> Row:
    cell = row.cell
    if cell.pause is not None:
        label = f"reader pauses for {about(cell.pause)}"
    elif cell.fault is Fault.OUTAGE:
        label = f"outage {about(outage(run.scenario))}: {row.label}"
    else:
        label = (
            f"{cell.fault}: {row.label}" if cell.fault is not Fault.NONE else row.label
        )
    return replace(row, label=label)


def _told_apart(cell: Cell, row: Row) -> str:
    """Return a label for one of a row, with what tells it from the others."""
    label = row.label
    if len({c.write_at for c in row.cells}) > 1:
        label += f" at {about(cell.write_at)}"
    if len({c.phase for c in row.cells}) > 1:
        label += f", silent for {about(cell.phase)}"
    if len({c.family for c in row.cells}) > 1:
        label += f", IPv{cell.family}"
    return label
