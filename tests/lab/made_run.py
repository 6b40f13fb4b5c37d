"""A run made by hand: what a good kernel would have measured, in no time."""

import math
from dataclasses import replace

from deadpeer.lab.scenario import (
    Cell,
    Expectation,
    Measurement,
    Outcome,
    Run,
    Scenario,
)
from deadpeer.lab.selection import choose_cells, settings_for

__all__ = ["failed", "made_run", "measured"]

OUTCOMES = {
    Expectation.DEAD: Outcome.DEAD,
    Expectation.CLOSED: Outcome.CLOSED,
    Expectation.ALIVE: Outcome.ALIVE,
    Expectation.UNNOTICED: Outcome.ALIVE,
}


def measured(cell: Cell) -> Measurement:
    """Return a measurement in the middle of its prediction."""
    outcome = OUTCOMES[cell.expectation]
    if outcome is Outcome.ALIVE:
        return Measurement(cell=cell, outcome=outcome, ok=True)
    error = "EOF" if outcome is Outcome.CLOSED else "ETIMEDOUT"
    at = (cell.earliest + cell.latest) / 2
    return Measurement(
        cell=cell, outcome=outcome, at=at, error=error, probes=3, ok=math.isfinite(at)
    )


def made_run(scenario: Scenario | None = None) -> Run:
    """Return a run in which every measurement is as predicted."""
    scenario = Scenario() if scenario is None else scenario
    return Run(
        kernel="6.18.5",
        scenario=scenario,
        settings=settings_for(scenario),
        rootless=False,
        started="2026-03-01T12:00:00+00:00",
        took=34.2,
        measurements=tuple(map(measured, choose_cells(scenario))),
    )


def failed(run: Run, cell_id: str, *, at: float | None, note: str) -> Run:
    """Return the run with one measurement outside its prediction."""
    assert any(m.cell.id == cell_id for m in run.measurements)
    outcome = Outcome.ALIVE if at is None else Outcome.DEAD
    return replace(
        run,
        measurements=tuple(
            replace(m, at=at, outcome=outcome, ok=False, note=note)
            if m.cell.id == cell_id
            else m
            for m in run.measurements
        ),
    )
