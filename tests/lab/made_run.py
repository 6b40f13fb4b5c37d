"""Runs made by hand: what a good kernel would have measured, in no time."""

import math
from dataclasses import replace

from deadpeer.lab.scenario import Cell, Measurement, Run, Scenario, Setting
from deadpeer.lab.selection import choose_cells, settings_for
from deadpeer.lab.terms import Expectation, Fault, Outcome, Situation
from deadpeer.platforms import Defaults
from deadpeer.policy.keepalive import Keepalive

__all__ = ["by_hand", "failed", "made_run", "measured"]

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
    promise = cell.setting.promise or math.inf
    return Measurement(
        cell=cell,
        outcome=outcome,
        at=(cell.earliest + min(cell.latest, promise)) / 2,
        error="EOF" if outcome is Outcome.CLOSED else "ETIMEDOUT",
        probes=3,
        ok=True,
    )


def made_run(scenario: Scenario | None = None) -> Run:
    """Return a run of real cells in which every measurement is as predicted."""
    scenario = Scenario() if scenario is None else scenario
    cells = choose_cells(scenario)
    return _run(scenario, settings_for(scenario), tuple(map(measured, cells)))


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


def by_hand() -> Run:
    """Return a run of few cells whose numbers depend on no formula."""
    nothing, keepalive, plan = (
        Setting(name=name, keepalive=values, defaults=Defaults(), promise=promise)
        for name, values, promise in (
            ("nothing", Keepalive(), None),
            ("keepalive", Keepalive(idle=4, interval=1, probes=3), None),
            ("plan", Keepalive(idle=1, interval=1, user_timeout=4), 10.0),
        )
    )
    never = (math.inf, math.inf)
    idle, busy, write = (
        Situation.IDLE,
        Situation.UNACKNOWLEDGED,
        Situation.IDLE_THEN_WRITE,
    )
    cells = [
        _cell(nothing, idle, *never, why="no keepalive"),
        _cell(nothing, busy, 924.8, 1058.7, why="15 retries"),
        _cell(nothing, write, 925.3, 1059.2, write_at=0.5, why="15 retries"),
        _cell(keepalive, idle, 6.9, 7.3, why="3 probes"),
        _cell(keepalive, busy, 924.8, 1058.7, why="15 retries"),
        _cell(keepalive, write, 925.3, 1059.2, write_at=0.5, why="15 retries"),
        _cell(plan, idle, 3.9, 4.3, why="3 probes"),
        _cell(plan, busy, 4.1, 4.5, why="the user timeout"),
        _cell(plan, write, 4.6, 5.0, write_at=0.5, why="the user timeout"),
        _cell(plan, write, 7.6, 8.0, write_at=3.5, why="the user timeout"),
        _cell(plan, idle, 0.0, 0.1, fault=Fault.NORMAL_CLOSE, why="a goodbye"),
        _cell(plan, idle, *never, fault=Fault.OUTAGE, why="the peer lives"),
        _cell(plan, idle, *never, fault=Fault.NONE, why="the peer lives"),
    ]
    settings = nothing, keepalive, plan
    return _run(Scenario(within=10.0), settings, tuple(map(measured, cells)))


def _cell(
    setting: Setting,
    situation: Situation,
    earliest: float,
    latest: float,
    *,
    fault: Fault = Fault.CABLE,
    write_at: float | None = None,
    why: str,
) -> Cell:
    name = f"{fault}/{situation}/{setting.name}/v4"
    if fault.peer_lives:
        expectation = Expectation.ALIVE
    elif fault.says_goodbye:
        expectation = Expectation.CLOSED
    else:
        seen = earliest < 15.0
        expectation = Expectation.DEAD if seen else Expectation.UNNOTICED
    return Cell(
        id=name if write_at is None else f"{name}/+{write_at:g}s",
        fault=fault,
        situation=situation,
        setting=setting,
        phase=0.1,
        write_at=write_at,
        observed_for=2.0 if fault.says_goodbye else 15.0,
        expectation=expectation,
        earliest=earliest,
        latest=latest,
        why=why,
    )


def _run(
    scenario: Scenario,
    settings: tuple[Setting, ...],
    measurements: tuple[Measurement, ...],
) -> Run:
    return Run(
        kernel="6.18.5",
        scenario=scenario,
        settings=settings,
        rootless=False,
        started="2026-03-01T12:00:00+00:00",
        took=34.2,
        measurements=measurements,
    )
