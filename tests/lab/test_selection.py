import math
from collections import Counter
from itertools import pairwise

import pytest

from deadpeer.errors import ConfigError
from deadpeer.lab.scenario import FALSE_TIME, Scenario
from deadpeer.lab.selection import (
    GLIMPSED,
    WRITE_EVERY,
    choose_cells,
    outage,
    settings_for,
)
from deadpeer.lab.terms import Expectation, Fault, Situation
from deadpeer.platforms import Defaults
from deadpeer.policy.keepalive import Keepalive

WRITES = Situation.IDLE_THEN_WRITE


def names(scenario):
    return [cell.id for cell in choose_cells(scenario)]


def test_settings_are_those_that_people_try_and_the_plan_last():
    settings = settings_for(Scenario(within=10))

    assert [setting.name for setting in settings] == [
        "nothing",
        "system",
        "keepalive",
        "user timeout",
        "plan",
    ]
    assert [setting.promise for setting in settings] == [None] * 4 + [10]


def test_each_setting_sets_what_its_name_says():
    _, system, keepalive, patience, _ = (
        setting.keepalive for setting in settings_for(Scenario(within=10))
    )

    assert system == Keepalive(on=True)
    assert keepalive.user_timeout is None
    assert keepalive.probes is not None
    assert patience == Keepalive(user_timeout=patience.user_timeout)


def test_a_plan_for_stalled_readers_is_compared_with_rto_max_alone():
    scenario = Scenario(within=30, allow_stalled_reader=True)

    patience = settings_for(scenario)[-2]

    assert patience.name == "rto max"
    assert patience.keepalive.user_timeout is None


def test_custom_settings_are_judged_in_place_of_the_plan():
    custom = Keepalive(idle=1, interval=1, probes=1, user_timeout=1.0)

    settings = settings_for(Scenario(within=6, custom=custom))

    assert [setting.name for setting in settings] == ["nothing", "custom"]
    assert settings[-1].keepalive == custom
    assert settings[-1].promise == 6


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario(),
        Scenario(full=True, families=(4, 6)),
        Scenario(within=30, allow_stalled_reader=True, full=True),
        Scenario(within=6, custom=Keepalive(idle=1, interval=1, probes=3)),
    ],
)
def test_cells_have_names_of_their_own_and_a_prediction(scenario):
    cells = choose_cells(scenario)

    assert len({cell.id for cell in cells}) == len(cells)
    assert all(cell.earliest <= cell.latest for cell in cells)
    assert all(cell.observed_for > 0 for cell in cells)
    assert all(cell.why for cell in cells)


def test_the_default_selection_is_part_of_the_whole_matrix():
    assert set(names(Scenario())) < set(names(Scenario(full=True)))


def test_the_default_run_fits_in_a_minute():
    assert max(cell.observed_for for cell in choose_cells(Scenario())) <= 45


@pytest.mark.parametrize("within", [6.0, 10.0, 30.0])
def test_the_plan_meets_a_write_at_every_half_second_of_the_promise(within):
    cells = choose_cells(Scenario(within=within))
    writes = [
        cell.write_at
        for cell in cells
        if cell.situation is WRITES
        and cell.setting.name == "plan"
        and cell.fault is Fault.CABLE
    ]

    assert writes == [n * WRITE_EVERY for n in range(1, round(within / 0.5) + 1)]


def test_the_whole_matrix_has_every_deadly_fault_in_every_situation():
    cells = choose_cells(Scenario(full=True))
    combinations = {
        (cell.fault, cell.situation, cell.setting.name)
        for cell in cells
        if cell.expectation in (Expectation.DEAD, Expectation.UNNOTICED)
    }

    kernel = {c for c in combinations if c[2] != "heartbeat"}
    # 6 deadly faults, 7 situations, 5 settings; and two that the kernel does not
    # see or not otherwise, in two situations.
    assert len(kernel) == (6 * 7 + 2 * 2) * 5
    assert {c[0] for c in combinations - kernel} >= {Fault.CABLE, Fault.REBOOT}


@pytest.mark.parametrize("within", [6.0, 10.0, 30.0])
def test_live_controls_are_there_and_nothing_else_is_expected_to_live(within):
    cells = choose_cells(Scenario(within=within, heartbeats=False))
    live = [cell for cell in cells if cell.peer_lives]

    assert {cell.fault for cell in live} == {Fault.OUTAGE, Fault.NONE}
    assert all(cell.expectation is Expectation.ALIVE for cell in live)
    assert all(
        cell.expectation is not Expectation.ALIVE
        for cell in cells
        if not cell.peer_lives
    )
    longest = max(cell.observed_for for cell in live)
    assert longest == pytest.approx(3 * within)


def test_an_outage_begins_at_every_part_of_the_keepalive_cycle():
    scenario = Scenario(within=30)
    cycle = settings_for(scenario)[-1].keepalive.idle or 0
    phases = sorted(
        cell.phase
        for cell in choose_cells(scenario)
        if cell.fault is Fault.OUTAGE and cell.situation is Situation.IDLE
    )
    gaps = [b - a for a, b in pairwise(phases)]

    assert len(phases) == 8
    assert max(gaps) <= cycle / 8 + 1e-9
    # Every probe of the cycle falls into some outage.
    assert max(gaps) <= outage(scenario)


def test_a_reader_pauses_for_less_than_the_stated_limit():
    scenario = Scenario(within=10)
    (cell,) = choose_cells(Scenario(within=10, only=(Situation.READER_PAUSES, "plan")))

    assert cell.pause is not None
    longest_pause = settings_for(scenario)[-1].longest_pause
    assert longest_pause * 0.8 < cell.pause < longest_pause


def test_a_word_that_names_something_means_exactly_that():
    chosen = choose_cells(Scenario(only=("idle",)))

    assert {cell.situation for cell in chosen} == {Situation.IDLE}


def test_any_other_word_is_a_part_of_a_name():
    chosen = names(Scenario(only=("then a",)))

    assert chosen
    assert all("idle then a write" in name for name in chosen)


def test_words_with_commas_are_alternatives_and_entries_must_all_match():
    chosen = choose_cells(
        Scenario(only=("cable, Silent Drop", "idle", "plan"), families=(4, 6))
    )

    assert {cell.fault for cell in chosen} == {Fault.CABLE, Fault.SILENT_DROP}
    assert {cell.setting.name for cell in chosen} == {"plan"}
    assert {cell.family for cell in chosen} == {4, 6}


def test_only_searches_the_whole_matrix():
    assert names(Scenario(only=("reboot", "nothing")))


def test_what_matches_nothing_is_refused():
    with pytest.raises(ConfigError, match="unicorn") as caught:
        choose_cells(Scenario(only=("unicorn",)))

    assert "--list" in caught.value.hint


def test_a_promise_that_cannot_be_kept_is_refused():
    with pytest.raises(ConfigError):
        choose_cells(Scenario(within=1))


def test_with_a_round_trip_data_is_under_way_at_the_fault():
    plain, delayed = (
        choose_cells(Scenario(within=30, rtt=rtt, only=("unacknowledged", "plan")))
        for rtt in (0.0, 0.2)
    )
    dying = [cell.write_at for cell in plain if not cell.peer_lives]
    under_way = [cell.write_at for cell in delayed if not cell.peer_lives]

    assert set(dying) == {0.0}
    assert set(under_way) == {-0.05}


def test_settings_that_find_nothing_are_predicted_to_find_nothing():
    cells = choose_cells(Scenario(only=("silent drop", "nothing")))

    assert {cell.expectation for cell in cells} == {Expectation.UNNOTICED}
    assert all(cell.earliest > cell.observed_for for cell in cells)
    idle = next(cell for cell in cells if cell.situation is Situation.IDLE)
    assert idle.earliest == math.inf


def test_on_a_kernel_that_lacks_an_option_the_plan_does_without_it():
    known = Defaults(hz=250)
    older, newer = (
        {each.name: each.keepalive for each in settings_for(scenario)}
        for scenario in (
            Scenario(within=10, defaults=known, lacks=("rto_max",)),
            Scenario(within=10, defaults=known),
        )
    )

    assert newer["plan"].rto_max is not None
    assert older["plan"].rto_max is None
    assert older["plan"].user_timeout


def judges(scenario):
    return Counter(
        "heartbeat" if cell.setting.heartbeat else "kernel"
        for cell in choose_cells(scenario)
    )


def test_a_run_shows_some_heartbeats_beside_the_kernel():
    found = choose_cells(Scenario())
    asked = {cell.fault for cell in found if cell.setting.heartbeat}

    assert asked == set(GLIMPSED)
    # So that the whole still takes about as long as the kernel's own rows.
    assert max(c.observed_for for c in found if c.setting.heartbeat) < 30


def test_heartbeats_can_be_left_out_or_be_all_that_is_asked_for():
    without = judges(Scenario(heartbeats=False, full=True))
    alone = judges(Scenario(heartbeats=True))

    assert set(without) == {"kernel"}
    assert alone["heartbeat"] == judges(Scenario(full=True))["heartbeat"]
    assert alone["kernel"] < 20


def test_what_heartbeats_are_compared_with_is_beside_them():
    cells = choose_cells(Scenario(heartbeats=True))
    kernel = [cell for cell in cells if not cell.setting.heartbeat]

    assert {cell.setting.name for cell in kernel} == {"nothing", "plan"}
    assert {
        cell.expectation for cell in kernel if cell.fault is Fault.PROCESS_STOPPED
    } == {Expectation.UNNOTICED}


def test_a_promise_that_the_kernel_cannot_keep_is_for_heartbeats_alone():
    cells = choose_cells(Scenario(within=2, heartbeats=True))

    assert {cell.setting.name for cell in cells} == {"nothing", "heartbeat"}


def test_settings_of_the_users_own_are_put_to_the_test_without_heartbeats():
    custom = Keepalive(idle=1, interval=1, probes=3)

    assert set(judges(Scenario(custom=custom))) == {"kernel"}


def test_no_wall_clock_is_stepped_where_there_is_none_to_step():
    cells = choose_cells(Scenario(heartbeats=True, lacks=(FALSE_TIME,)))

    assert Fault.CLOCK_STEPPED not in {cell.fault for cell in cells}
    assert Fault.CLOCK_STEPPED in {
        cell.fault for cell in choose_cells(Scenario(heartbeats=True))
    }
