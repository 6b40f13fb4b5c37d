"""Real runs, side by side: what is predicted is what happens, or is said not to."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec

import pytest

from deadpeer.errors import ConfigError
from deadpeer.lab.runner import Progress, run
from deadpeer.lab.scenario import LOOPS, Scenario
from deadpeer.lab.selection import DYING, choose_cells
from deadpeer.lab.terms import Expectation, Fault, Outcome, Situation
from deadpeer.policy.keepalive import Keepalive

pytestmark = [pytest.mark.netns, pytest.mark.slow]

# Both versions, every situation that dies, every fault, the quick live controls.
PROMISED = Scenario(
    within=6,
    families=(4, 6),
    full=True,
    only=(
        ",".join([*(fault for fault in Fault if fault is not Fault.NONE), "pauses"]),
        "plan,nothing",
    ),
)
# The example of settings that nobody should have: one lost probe kills.
HASTY = Scenario(
    within=6,
    custom=Keepalive(idle=1, interval=1, probes=1, user_timeout=1.0),
    only=("outage", "custom"),
)
# Patience with a live reader, whatever it takes, needs another limit on data.
PATIENT = Scenario(
    within=6,
    custom=Keepalive(user_timeout=0, rto_max=1.0),
    only=("reader pauses", "custom"),
)
DELAYED = Scenario(
    within=12,
    rtt=0.2,
    only=("silent drop", "plan", "idle,unacknowledged,zero window,connecting"),
)


# Heartbeats: what they see, what only they see, what they have to see through.
BEATING = Scenario(
    within=3,
    heartbeats=True,
    only=("heartbeat", "process stopped,forgotten/,loop blocked 1.5 s"),
)
STOPPED = Scenario(within=3, heartbeats=True, only=("heartbeat/", "process stopped"))


def has(loop):
    return loop != "uvloop" or find_spec("uvloop") is not None


@pytest.fixture(scope="module")
def runs():
    news: list[Progress] = []

    def measure(scenario):
        if scenario is PROMISED:
            return run(scenario, progress=news.append)
        return run(scenario)

    scenarios = [PROMISED, HASTY, PATIENT, DELAYED, BEATING]
    scenarios += [replace(STOPPED, loop=loop) for loop in LOOPS[1:] if has(loop)]
    with ThreadPoolExecutor(len(scenarios)) as pool:
        done = dict(zip(scenarios, pool.map(measure, scenarios), strict=True))
    return done, news


def wrong(run):
    return [f"{m.cell.id}: {m.note} ({m.at})" for m in run.measurements if not m.ok]


def test_every_measurement_lies_within_its_prediction(runs):
    done, _ = runs
    measured = done[PROMISED]

    assert wrong(measured) == []
    assert measured.ok
    assert [m.cell.id for m in measured.measurements] == [
        cell.id for cell in choose_cells(PROMISED)
    ]


def test_the_plan_reports_every_death_within_the_promise(runs):
    done, _ = runs
    deaths = [
        m
        for m in done[PROMISED].measurements
        if m.cell.setting.name == "plan"
        and not m.cell.peer_lives
        # That peer's kernel lives; see below.
        and m.cell.fault is not Fault.PROCESS_STOPPED
    ]

    assert {m.cell.situation for m in deaths} == set(DYING)
    assert all(m.at is not None and m.at <= 6 for m in deaths)


def test_without_settings_hardly_anything_is_noticed(runs):
    done, _ = runs
    silent = {
        m.cell.situation
        for m in done[PROMISED].measurements
        if m.cell.setting.name == "nothing"
        and m.cell.fault is Fault.SILENT_DROP
        and m.outcome is Outcome.ALIVE
    }

    assert silent == set(DYING)


def test_only_heartbeats_see_a_stopped_process(runs):
    done, _ = runs
    stopped = [
        m
        for run in (done[PROMISED], done[BEATING])
        for m in run.measurements
        if m.cell.fault is Fault.PROCESS_STOPPED and not m.cell.peer_lives
    ]

    assert {m.cell.setting.name for m in stopped} == {"nothing", "plan", "heartbeat"}
    for m in stopped:
        seen = m.cell.setting.heartbeat is not None
        assert m.outcome is (Outcome.DEAD if seen else Outcome.ALIVE), m.cell.id


def test_heartbeats_report_every_death_in_their_bound_and_no_other(runs):
    done, _ = runs
    beats = done[BEATING]
    asked = [m for m in beats.measurements if m.cell.setting.heartbeat]

    assert wrong(beats) == []
    assert sum(m.cell.peer_lives for m in asked) >= 20
    for m in asked:
        assert (m.outcome is Outcome.ALIVE) == m.cell.peer_lives, m.cell.id


def test_a_peer_that_reads_nothing_is_told_from_one_that_is_silent(runs):
    done, _ = runs
    errors = {
        m.cell.situation: m.error
        for m in done[BEATING].measurements
        if m.cell.fault is Fault.PROCESS_STOPPED and m.cell.setting.heartbeat
    }

    assert errors[Situation.ZERO_WINDOW] == "backpressured"
    assert errors[Situation.IDLE] == "silent"


@pytest.mark.parametrize("loop", LOOPS[1:])
def test_heartbeats_are_as_quick_on_other_loops(runs, loop):
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    done, _ = runs
    (beats,) = (run for asked, run in done.items() if asked.loop == loop)

    assert wrong(beats) == []
    assert sum(m.at is not None for m in beats.measurements) >= 5


def test_the_prediction_is_narrow_where_nobody_but_the_kernel_speaks(runs):
    done, _ = runs
    plan = done[PROMISED].settings[-1].keepalive
    widths = {
        m.cell.id: m.cell.latest - m.cell.earliest
        for m in done[PROMISED].measurements
        if m.cell.fault is Fault.SILENT_DROP
        and m.cell.expectation is Expectation.DEAD
        # A write in the very moment of the last probe may go either way.
        and "then" not in m.cell.why
    }

    assert widths
    assert max(widths.values()) <= 1.1 * (plan.interval or 0), widths


def test_a_run_says_how_well_its_wires_kept_time(runs):
    done, _ = runs
    said = done[DELAYED].precision

    assert done[HASTY].precision is None
    assert said is not None
    assert said.forwarded > 100
    # Against a round trip of 200 ms; a busy machine is late now and then.
    assert said.p50 < 0.005


def test_live_peers_survive_what_the_plan_says_they_do(runs):
    done, _ = runs
    live = [m for m in done[PROMISED].measurements if m.cell.peer_lives]

    assert {m.cell.situation for m in live} == {
        Situation.IDLE,
        Situation.UNACKNOWLEDGED,
        Situation.ZERO_WINDOW,
        Situation.READER_PAUSES,
    }
    assert all(m.outcome is Outcome.ALIVE for m in live)


def test_hasty_settings_fail_the_live_controls(runs):
    done, _ = runs
    killed = [m for m in done[HASTY].measurements if m.at is not None]

    assert not done[HASTY].ok
    assert killed
    assert all("live peer was given up" in m.note for m in killed)


def test_a_stalled_reader_survives_without_a_user_timeout(runs):
    done, _ = runs
    (reader,) = done[PATIENT].measurements

    assert reader.cell.pause == pytest.approx(9.0)
    assert reader.outcome is Outcome.ALIVE
    assert reader.ok


def test_predictions_hold_on_a_long_way_too(runs):
    done, _ = runs
    measured = done[DELAYED]

    assert wrong(measured) == []
    assert all(m.at is not None and m.at <= 12 for m in measured.measurements)


def test_news_come_in_order(runs):
    done, news = runs
    measured = [event.measurement for event in news if event.measurement]
    kinds = [event.what for event in news]

    assert set(measured) == set(done[PROMISED].measurements)
    assert kinds.index("built") < kinds.index("struck") < kinds.index("measured")
    assert {event.fault for event in news if event.what == "struck"} == {
        str(m.cell.fault) for m in measured
    }
    assert [event.elapsed for event in news] == sorted(e.elapsed for e in news)
    assert news[-1].elapsed <= news[-1].total + 3


def test_a_run_takes_no_longer_than_its_slowest_observation(runs):
    done, _ = runs
    slowest = max(m.cell.observed_for for m in done[PROMISED].measurements)

    # The rest is for building, warming up and taking down, on a busy machine.
    assert done[PROMISED].took < slowest + 12


def test_the_record_says_where_it_was_made(runs):
    done, _ = runs
    measured = done[PROMISED]

    assert measured.kernel
    assert measured.scenario == PROMISED
    assert "T" in measured.started


def test_what_cannot_be_kept_is_refused_before_anything_is_built():
    with pytest.raises(ConfigError, match="smallest promise"):
        run(Scenario(within=1))
