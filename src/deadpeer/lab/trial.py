"""One cell while it is measured: what was predicted, and what came of it, once."""

from collections.abc import Callable

from deadpeer.lab.forecast import judge
from deadpeer.lab.scenario import Cell, Measurement
from deadpeer.lab.terms import Outcome

__all__ = ["UNPREPARED", "Trial"]

UNPREPARED = "not in its situation when the fault came"


class Trial:
    """
    What is the same for every connection of a run, whoever judges.

    Args:
        cell: What it is for.
        done: Called with its measurement, once.

    Attributes:
        cell: With the prediction, once it has been written down.
        fault_at: When the fault was done, on the monotonic clock; 0 before it.
        is_over: Whether it has been measured.
    """

    def __init__(self, cell: Cell, done: Callable[[Measurement], None]) -> None:
        self.cell = cell
        self.done = done
        self.fault_at = 0.0
        self.is_over = False

    @property
    def writes_before(self) -> float:
        """How long before the fault it writes, in seconds; 0 if it does not."""
        return max(0.0, -(self.cell.write_at or 0.0))

    def record(
        self,
        outcome: Outcome,
        *,
        reported_at: float | None = None,
        error: str = "",
        probes: int = 0,
        retransmits: int = 0,
        note: str = "",
    ) -> None:
        """
        Record what came of it; what comes later does not count.

        Args:
            outcome: In one word.
            reported_at: When, on the monotonic clock; None if nothing was reported.
            error: What was reported.
            probes: Unanswered ones at the end, as the kernel counts them.
            retransmits: The same of retransmissions.
            note: What is wrong, if that is known already.
        """
        if self.is_over:
            return
        self.is_over = True
        at = None
        if reported_at is not None and self.fault_at:
            at = reported_at - self.fault_at
        if not self.fault_at:
            note = note or f"{error or outcome} before the fault"
        note = note or judge(self.cell, outcome, at)
        self.done(
            Measurement(
                cell=self.cell,
                outcome=outcome,
                at=at,
                error=error,
                probes=probes,
                retransmits=retransmits,
                ok=not note,
                note=note,
            )
        )
