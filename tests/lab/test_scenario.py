import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.errors import ConfigError
from deadpeer.lab.plain import from_plain, to_plain
from deadpeer.lab.scenario import SCHEMA, Cell, Measurement, Run, Scenario, Setting
from deadpeer.lab.terms import Expectation, Fault, Outcome, Situation
from deadpeer.platforms import Defaults
from deadpeer.policy.keepalive import Keepalive
from deadpeer.policy.predict import State

SECONDS = st.floats(min_value=0, max_value=1e6)
KEEPALIVES = st.builds(
    Keepalive,
    idle=st.none() | st.integers(1, 100),
    user_timeout=st.none() | st.floats(0.001, 100),
    on=st.none() | st.booleans(),
)
SETTINGS = st.builds(
    Setting,
    name=st.text(),
    keepalive=KEEPALIVES,
    defaults=st.builds(Defaults, retries=st.integers(1, 15)),
    promise=st.none() | SECONDS,
    longest_pause=SECONDS | st.just(math.inf),
)
CELLS = st.builds(
    Cell,
    id=st.text(),
    fault=st.sampled_from(Fault),
    situation=st.sampled_from(Situation),
    setting=SETTINGS,
    write_at=st.none() | SECONDS,
    expectation=st.sampled_from(Expectation),
    earliest=SECONDS | st.just(math.inf),
    latest=SECONDS | st.just(math.inf),
)
MEASUREMENTS = st.builds(
    Measurement,
    cell=CELLS,
    outcome=st.sampled_from(Outcome),
    at=st.none() | SECONDS,
    ok=st.booleans(),
    note=st.text(),
)
RUNS = st.builds(
    Run,
    kernel=st.text(),
    scenario=st.builds(
        Scenario,
        within=SECONDS,
        custom=st.none() | KEEPALIVES,
        families=st.sampled_from([(4,), (6,), (4, 6)]),
        only=st.lists(st.text()).map(tuple),
    ),
    settings=st.lists(SETTINGS, max_size=2).map(tuple),
    rootless=st.booleans(),
    started=st.text(),
    took=SECONDS,
    measurements=st.lists(MEASUREMENTS, max_size=2).map(tuple),
)


@given(RUNS)
def test_a_run_comes_back_from_json_as_it_was(run):
    text = json.dumps(run.to_json(), allow_nan=False)

    assert Run.from_json(json.loads(text)) == run


@given(MEASUREMENTS)
def test_never_is_null_in_json(measurement):
    plain = to_plain(replace(measurement.cell, latest=math.inf))

    assert plain["latest"] is None
    assert from_plain(Cell, plain).latest == math.inf


def test_a_record_of_another_version_is_refused():
    with pytest.raises(ConfigError, match=f"schema {SCHEMA + 1}"):
        Run.from_json({"schema": SCHEMA + 1})


@pytest.mark.parametrize("data", [None, [], "text", 3, {}, {"schema": True}])
def test_what_is_no_record_is_refused(data):
    with pytest.raises(ConfigError):
        Run.from_json(data)


def damaged(**changes):
    setting = Setting(name="x", keepalive=Keepalive(), defaults=Defaults())
    cell = Cell(id="c", fault=Fault.CABLE, situation=Situation.IDLE, setting=setting)
    return to_plain(cell) | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"fault": "earthquake"},
        {"phase": "soon"},
        {"phase": True},
        {"family": 4.5},
        {"setting": {"name": "x"}},
        {"surprise": 1},
        {"id": None},
        {"setting": {**damaged()["setting"], "keepalive": {"idle": -1}}},
    ],
)
def test_a_damaged_record_is_refused(changes):
    with pytest.raises(ConfigError):
        from_plain(Cell, damaged(**changes))


def test_every_situation_is_a_state_of_the_policy():
    assert {situation.state for situation in Situation} == set(State)


def test_a_run_without_measurements_proves_nothing():
    run = Run(
        kernel="",
        scenario=Scenario(),
        settings=(),
        rootless=False,
        started="",
        took=0.0,
        measurements=(),
    )

    assert not run.ok


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("families", ()),
        ("families", (5,)),
        ("within", -1.0),
        ("within", math.nan),
        ("rtt", math.inf),
    ],
)
def test_a_scenario_that_cannot_be_is_refused(field, value):
    with pytest.raises(ConfigError) as caught:
        Scenario(**{field: value})

    assert caught.value.field == field
    assert caught.value.hint
