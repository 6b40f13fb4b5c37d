"""The run in few rows, for a picture that is understood at a glance."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from deadpeer.lab.rendering.report import Section, glance, sections
from deadpeer.lab.rendering.row import Row
from deadpeer.lab.rendering.words import about, title_of, used
from deadpeer.lab.scenario import Measurement, Run, Setting
from deadpeer.lab.selection import outage
from deadpeer.lab.terms import Fault, Situation

__all__ = ["digest"]


def digest(run: Run) -> tuple[Section, ...]:
    """
    Return the sections that make the point: one fault, every setting, the live.

    And beside it the one that nobody but heartbeats sees: a stopped process.

    Settings that miss the same states share a section, and all outages a row.

    Args:
        run: What was measured.
    """
    every = sections(run)
    compared = glance(run)
    if compared is None:
        return every
    found: list[Section] = []
    for section in every:
        if not section.settings:
            found.append(_of_the_living(run, section))
        elif section.fault is compared.fault:
            _add(found, section, *section.settings)
        elif section.fault is Fault.PROCESS_STOPPED and _is_best(section):
            found.append(section)
    return tuple(found)


def _is_best(section: Section) -> bool:
    """Return whether a section shows what was promised something, or asks."""
    return any(s.promise is not None or s.heartbeat for s in section.settings)


def _add(found: list[Section], section: Section, setting: Setting) -> None:
    """Add a section, or only its name to the one before."""
    if found and _missed(found[-1]) == _missed(section) != set():
        title = f"{found[-1].title}, or {used(setting).removeprefix('with ')}"
        settings = (*found[-1].settings, setting)
        found[-1] = replace(found[-1], title=title, settings=settings)
        return
    found.append(replace(section, title=title_of(setting)))


def _missed(section: Section) -> set[Situation]:
    """Return the states that a section misses; none if it has a failure to show."""
    if any(row.failures for row in section.rows):
        return set()
    return {row.cell.situation for row in section.rows if not row.is_noticed}


def _of_the_living(run: Run, section: Section) -> Section:
    def kind(row: Row) -> str:
        if row.cell.situation is Situation.BYSTANDER:
            return "on a host beside"
        cut = row.cell.fault is Fault.OUTAGE
        return f"outage of {about(outage(run.scenario))}" if cut else row.label

    return replace(section, rows=_merged(section.rows, kind))


def _merged(rows: Iterable[Row], label: Callable[[Row], str]) -> tuple[Row, ...]:
    """Return one row for all that have the same label."""
    groups: dict[str, list[Measurement]] = {}
    for row in rows:
        groups.setdefault(label(row), []).extend(row.measurements)
    return tuple(Row(label=k, measurements=tuple(v)) for k, v in groups.items())
