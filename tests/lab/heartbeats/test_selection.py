from collections import Counter
from dataclasses import replace

import pytest

from deadpeer.lab.heartbeats.conditions import RISK, conditions_for
from deadpeer.lab.heartbeats.forecast import SLACK
from deadpeer.lab.heartbeats.odds import odds_of_silence
from deadpeer.lab.heartbeats.selection import THROUGH, beating_cells, is_beside
from deadpeer.lab.plain import from_plain, to_plain
from deadpeer.lab.scenario import Cell, Scenario
from deadpeer.lab.terms import HARDSHIPS, Expectation, Fault, Situation

QUICK = Scenario()
FULL = Scenario(full=True, families=(4, 6))


@pytest.fixture(scope="module", params=[QUICK, FULL], ids=["quick", "full"])
def cells(request):
    return beating_cells(request.param)


def test_each_cell_has_a_name_of_its_own(cells):
    assert len({cell.id for cell in cells}) == len(cells)


def test_every_fault_of_the_heartbeats_is_there(cells):
    made = {cell.fault for cell in cells}

    assert made == set(Fault) - {Fault.OWN_NIC_DOWN, Fault.OUTAGE, Fault.NONE}


def test_in_every_network_some_die_and_some_live(cells):
    for fault in {cell.fault for cell in cells}:
        for family in {cell.family for cell in cells}:
            here = [c for c in cells if (c.fault, c.family) == (fault, family)]
            lives = Counter(cell.peer_lives for cell in here)
            least = THROUGH if fault in HARDSHIPS else 5

            assert lives[False] >= least
            assert lives[True] >= (4 if fault is Fault.SLOW_LINK else min(least, 5))


def test_who_lives_is_beside_and_who_dies_is_not(cells):
    for cell in cells:
        assert is_beside(cell) == cell.peer_lives
        assert (cell.expectation is Expectation.ALIVE) == cell.peer_lives


def test_every_death_is_predicted_within_the_promise(cells):
    for cell in cells:
        if cell.peer_lives or cell.fault is Fault.WATCHER_STOPPED:
            continue

        assert cell.setting.heartbeat is not None
        assert cell.latest <= cell.setting.heartbeat.detection + SLACK


def test_a_cell_is_watched_until_its_prediction_has_passed(cells):
    for cell in cells:
        heartbeat = cell.setting.heartbeat
        least = 2 * heartbeat.detection if cell.peer_lives else cell.latest

        assert cell.observed_for > least


def test_a_heartbeat_meets_the_fault_at_every_moment_of_its_cycle(cells):
    phases = [
        c.phase
        for c in cells
        if (c.fault, c.situation) == (Fault.CABLE, Situation.IDLE) and c.family == 4
    ]
    interval = cells[0].setting.heartbeat.interval

    assert min(phases) < interval / 4
    assert max(phases) > interval / 2
    assert max(phases) < interval


def test_every_ping_is_in_flight_when_the_loop_is_blocked(cells):
    for cell in cells:
        if cell.fault in (Fault.LOOP_BLOCKED, Fault.LOOP_BLOCKED_LONGER):
            asked_for = cell.phase - cell.setting.heartbeat.interval

            assert 0 < asked_for < 0.1


def test_a_quick_run_takes_little_longer_than_its_longest_hardship():
    assert max(cell.observed_for for cell in beating_cells(QUICK)) < 70
    assert max(cell.observed_for for cell in beating_cells(FULL)) < 200


def test_cells_travel_to_the_process_that_measures_them(cells):
    assert from_plain(tuple[Cell, ...], to_plain(cells)) == cells


@pytest.mark.parametrize("scenario", [QUICK, FULL])
@pytest.mark.parametrize("fault", [Fault.LOSS_OF_5, Fault.LOSS_OF_30])
def test_luck_hardly_ever_gives_up_a_live_peer(scenario, fault):
    plan = conditions_for(fault, scenario, peers=10)
    odds = odds_of_silence(
        plan.weather, timeout=plan.heartbeat.timeout, defaults=plan.defaults
    )

    assert odds * 10 * plan.lasts / plan.heartbeat.interval <= RISK


def test_a_kernel_without_a_limit_on_its_timeouts_is_waited_for_longer():
    old = replace(QUICK, lacks=("rto_max",))
    new = conditions_for(Fault.LOSS_OF_30, QUICK, peers=10)
    patient = conditions_for(Fault.LOSS_OF_30, old, peers=10)

    assert patient.heartbeat.timeout > 2 * new.heartbeat.timeout
    assert patient.defaults.rto_max == QUICK.defaults.rto_max


def test_what_is_done_is_what_its_name_says():
    plans = {f: conditions_for(f, FULL, peers=10) for f in HARDSHIPS}

    assert plans[Fault.LOSS_OF_5].weather.loss == 0.05
    assert plans[Fault.LOSS_OF_30].weather.loss == 0.3
    assert plans[Fault.LOSS_OF_30].weather.delay == 0.05
    assert plans[Fault.LOOP_BLOCKED].lasts == 1.5
    assert plans[Fault.LOOP_BLOCKED_LONGER].lasts == 3.0
    assert plans[Fault.WATCHER_STOPPED].lasts == 60
    assert plans[Fault.SLOW_LINK].weather.bandwidth == 1e6
    assert plans[Fault.SLOW_LINK].message == 10_000_000
    assert plans[Fault.CLOCK_STEPPED].step == 3600
