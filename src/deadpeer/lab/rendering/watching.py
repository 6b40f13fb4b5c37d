"""
How far a run is: what has been noticed, and who still believes.

Fed with the news of a run as it comes, and asked at any time.
"""

from collections.abc import Iterable
from typing import Protocol

from deadpeer.lab.rendering.row import Row
from deadpeer.lab.rendering.words import exactly, state_label
from deadpeer.lab.scenario import Cell, Measurement, Setting
from deadpeer.lab.terms import Fault, Situation

__all__ = ["News", "Watching"]

Key = tuple[Situation, str]


class News(Protocol):
    """What a run tells while it goes on; see ``runner.Progress``."""

    @property
    def what(self) -> str:
        """``struck`` when a fault has happened; anything else."""

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""

    @property
    def total(self) -> float:
        """Seconds that the whole run takes, as far as is known."""

    @property
    def fault(self) -> str:
        """Which fault, if it is about one."""

    @property
    def measurement(self) -> Measurement | None:
        """What was measured, if something was."""


class Watching:
    """
    A run under way.

    Args:
        cells: What will be measured.

    Attributes:
        elapsed: Seconds since the start.
        total: Seconds that the whole run takes, as far as is known.
        main: The fault that most settings meet.
    """

    def __init__(self, cells: Iterable[Cell]) -> None:
        self.cells = tuple(cells)
        self.elapsed = 0.0
        self.total = 0.0
        self.struck_at: dict[Fault, float] = {}
        self.found: dict[str, Measurement] = {}
        self.main = max(Fault, key=lambda fault: len(self._settings(fault)))

    def _settings(self, fault: Fault) -> set[str]:
        dying = not fault.peer_lives
        return {c.setting.name for c in self.cells if dying and c.fault is fault}

    def hear(self, news: News) -> None:
        """
        Take note of some news.

        Args:
            news: The latest.
        """
        self.elapsed, self.total = news.elapsed, news.total
        if news.what == "struck":
            self.struck_at.setdefault(Fault(news.fault), news.elapsed)
        if news.measurement:
            self.found[news.measurement.cell.id] = news.measurement

    @property
    def since(self) -> float | None:
        """Seconds since the main fault; None before it."""
        at = self.struck_at.get(self.main)
        return None if at is None else self.elapsed - at

    @property
    def dying(self) -> int:
        """The number of connections whose peer dies in this run."""
        return sum(not cell.peer_lives for cell in self.cells)

    @property
    def live(self) -> int:
        """The number of connections whose peer lives."""
        return len(self.cells) - self.dying

    @property
    def noticed(self) -> int:
        """The number of deaths that were reported so far."""
        return sum(not m.cell.peer_lives and m.at is not None for m in self._all)

    @property
    def believing(self) -> int:
        """The number of connections whose peer is dead and that do not know."""
        gone = (not c.peer_lives and c.fault in self.struck_at for c in self.cells)
        return sum(gone) - self.noticed

    @property
    def given_up(self) -> int:
        """The number of live peers that were reported dead."""
        return sum(m.cell.peer_lives and m.at is not None for m in self._all)

    @property
    def wrong(self) -> int:
        """The number of measurements outside their prediction."""
        return sum(not m.ok for m in self._all)

    @property
    def _all(self) -> Iterable[Measurement]:
        return self.found.values()

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The settings that meet the main fault."""
        mine = (c.setting for c in self.cells if c.fault is self.main)
        return tuple({setting.name: setting for setting in mine}.values())

    @property
    def situations(self) -> tuple[Situation, ...]:
        """The situations that meet it."""
        return tuple(s for s in Situation if any(s is key[0] for key in self._groups()))

    def _groups(self) -> dict[Key, list[Cell]]:
        groups: dict[Key, list[Cell]] = {}
        for cell in self.cells:
            if cell.fault is self.main and not cell.peer_lives:
                key = cell.situation, cell.setting.name
                groups.setdefault(key, []).append(cell)
        return groups

    def word(self, situation: Situation, setting: str) -> str:
        """
        Return how it stands with one situation under one setting.

        Args:
            situation: What the connections are doing.
            setting: The name of their setting.

        Returns:
            When it was noticed, how many of several have noticed, ``unnoticed``
            at the end, or dots as long as nobody knows.
        """
        cells = self._groups().get((situation, setting), [])
        if not cells:
            return ""
        done = [self.found[c.id] for c in cells if c.id in self.found]
        reports = sum(m.at is not None for m in done)
        if len(done) < len(cells):
            return f"{reports} of {len(cells)}" if reports else "..."
        row = Row(label=state_label(situation), measurements=tuple(done))
        return exactly(row.reports[-1]) if row.is_noticed else "unnoticed"
