"""A row of the report: measurements that are read as one, and their words."""

from dataclasses import dataclass

from deadpeer.lab.rendering.words import about, exactly, span
from deadpeer.lab.scenario import Cell, Measurement
from deadpeer.lab.terms import Expectation

__all__ = ["Row", "story"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """
    Measurements that are read as one.

    Args:
        label: What they are called where they stand.
        measurements: One or more, of the same setting, fault and situation.
    """

    label: str
    measurements: tuple[Measurement, ...]

    @property
    def cell(self) -> Cell:
        """The first cell, for what all have in common."""
        return self.measurements[0].cell

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells."""
        return tuple(m.cell for m in self.measurements)

    @property
    def is_live(self) -> bool:
        """Whether nobody died here, and nothing may be reported."""
        return self.cell.peer_lives

    @property
    def failures(self) -> tuple[Measurement, ...]:
        """Those outside their prediction."""
        return tuple(m for m in self.measurements if not m.ok)

    @property
    def reports(self) -> tuple[float, ...]:
        """Seconds after the fault of each report, in order."""
        return tuple(sorted(m.at for m in self.measurements if m.at is not None))

    @property
    def is_noticed(self) -> bool:
        """Whether every one of them was reported."""
        return len(self.reports) == len(self.measurements)

    @property
    def is_kept(self) -> bool:
        """Whether every report came within what was promised."""
        if not self.is_noticed:
            return False
        promise = self.cell.setting.promise
        if promise is None:  # a heartbeat's own prediction is its promise
            return self.cell.setting.heartbeat is not None and not self.failures
        return self.reports[-1] <= promise

    @property
    def earliest(self) -> float:
        """The earliest report that was predicted, in seconds after the fault."""
        return min(cell.earliest for cell in self.cells)

    @property
    def latest(self) -> float:
        """
        The latest report that counts as predicted, in seconds after the fault.

        A promise is part of the prediction: what comes after it is wrong, even
        where the kernel alone might have taken longer.
        """
        return max(_latest(cell) for cell in self.cells)

    @property
    def observed_for(self) -> float:
        """Seconds after the fault until the last observation ended."""
        return max(cell.observed_for for cell in self.cells)

    @property
    def predicted(self) -> str:
        """What should have come of it, in words."""
        expected = {cell.expectation for cell in self.cells}
        if expected == {Expectation.ALIVE}:
            return "stays alive"
        if expected == {Expectation.CLOSED}:
            return f"within {about(self.latest)}"
        return span(self.earliest, self.latest)

    @property
    def measured(self) -> str:
        """What came of it, in words."""
        count, reports = len(self.measurements), self.reports
        if not reports:
            for_long = about(self.observed_for)
            return f"alive, {for_long}" if self.is_live else f"nothing in {for_long}"
        times = exactly(reports[0])
        if exactly(reports[-1]) != times:
            times = f"{reports[0]:.2f} to {exactly(reports[-1])}"
        some = "" if len(reports) == count else f"{len(reports)} of {count}"
        words = (some, "given up" if self.is_live else "")
        before = " ".join(word for word in words if word)
        return f"{before}: {times}" if before else times

    @property
    def verdict(self) -> str:
        """Whether it is as predicted: in words, so that it needs no colour."""
        count, failed = len(self.measurements), len(self.failures)
        if failed:
            return "FAILED" if count == 1 else f"{failed} of {count} FAILED"
        return "ok" if count == 1 else f"{count} of {count} ok"

    @property
    def why(self) -> str:
        """What decides, in the order in which it comes up."""
        whys = dict.fromkeys(cell.why for cell in self.cells)
        # "a, then b" says it for those where it is a or b alone.
        return "; ".join(
            why
            for why in whys
            if not any(why in other for other in whys if other != why)
        )


def _latest(cell: Cell) -> float:
    promise = cell.setting.promise
    return cell.latest if promise is None else min(cell.latest, promise)


def story(m: Measurement) -> str:
    """Return all about one measurement: what was predicted, and what came of it."""
    expected = "to stay alive"
    if not m.cell.peer_lives:
        expected = span(m.cell.earliest, m.cell.latest)
    at = "nothing reported"
    if m.at is not None:
        at = f"{m.error or m.outcome} after {exactly(m.at)}"
    counts = f"unanswered: probes {m.probes}, retransmissions {m.retransmits}"
    return f"{m.note}; predicted {expected}; measured {at}; {counts}"
