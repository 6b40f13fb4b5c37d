from itertools import product
from pathlib import Path

import pytest

from deadpeer.core import judge as codes
from deadpeer.core.states import CODES, TRANSITIONS, Cause, State, diagram, follow

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "heartbeats.md"
FINAL = (State.DEAD, State.CLOSED)


def test_the_page_shows_the_diagram_that_the_table_draws():
    assert f"```mermaid\n{diagram()}\n```" in PAGE.read_text(encoding="utf-8")


def test_the_diagram_has_a_line_for_every_way():
    drawn = diagram().splitlines()
    assert drawn[:2] == ["stateDiagram-v2", "    [*] --> connecting"]
    assert drawn[2:-2] == [
        f"    {a} --> {b}: {why}" for (a, why), b in TRANSITIONS.items()
    ]
    assert drawn[-2:] == ["    dead --> [*]", "    closed --> [*]"]


@pytest.mark.parametrize(("state", "cause"), [*product(State, Cause)])
def test_what_is_not_in_the_table_changes_nothing(state, cause):
    assert follow(state, cause) is TRANSITIONS.get((state, cause), state)


def test_nothing_leads_out_of_a_final_state_and_something_into_each():
    assert {before for before, _ in TRANSITIONS} == set(State) - set(FINAL)
    assert set(TRANSITIONS.values()) == set(State) - {State.CONNECTING}


@pytest.mark.parametrize("state", [State.CONNECTING, State.ALIVE, State.SUSPECT])
def test_whoever_is_not_gone_can_break_and_leave(state):
    assert follow(state, Cause.FAILED) is State.DEAD
    assert follow(state, Cause.LEFT) is State.CLOSED


def test_only_a_byte_takes_a_suspicion_back():
    ways = [key for key, after in TRANSITIONS.items() if after is State.ALIVE]
    assert ways == [(State.CONNECTING, Cause.OPENED), (State.SUSPECT, Cause.HEARD)]


def test_the_judges_numbers_are_those_of_the_states():
    assert {name: CODES[getattr(codes, name)].name for name in State.__members__} == {
        name: name for name in State.__members__
    }


def test_every_way_of_the_judge_stands_in_the_table():
    assert TRANSITIONS[State.ALIVE, Cause.SILENT] is State.SUSPECT
    assert TRANSITIONS[State.SUSPECT, Cause.EXPIRED] is State.DEAD
    assert TRANSITIONS[State.ALIVE, Cause.EXPIRED] is State.DEAD
