"""A run read back: the same run, or an error that says what is wrong."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lab.made_run import by_hand, failed, made_run

from deadpeer.errors import ConfigError
from deadpeer.lab.rendering.page import page
from deadpeer.lab.rendering.replay import run_from_text
from deadpeer.lab.scenario import Scenario


@pytest.mark.parametrize(
    "run",
    [
        by_hand(),
        made_run(Scenario(within=8.0, families=(6,))),
        failed(by_hand(), "cable/idle/plan/v4", at=None, note="<script>&'\" note"),
    ],
)
def test_a_run_comes_back_from_its_json_and_from_its_page(run):
    data = run.to_json()

    assert run_from_text(json.dumps(data)) == run
    assert run_from_text(json.dumps({"verb": "lab", **data})) == run
    assert run_from_text(page(run)) == run


def test_what_a_terminal_would_obey_is_taken_out():
    data = by_hand().to_json() | {"kernel": "6\x1b[31m\n"}

    assert run_from_text(
        json.dumps(data)
    ).kernel == "6\N{REPLACEMENT CHARACTER}[31m" + ("\N{REPLACEMENT CHARACTER}")


def edited(**changes: object) -> str:
    return json.dumps(by_hand().to_json() | changes)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        '{"schema": 1}',
        edited(schema=2),
        edited(verb="explain"),
        edited(took="long"),
        edited(strange=1),
        edited(took=1).replace('"took": 1', '"took": NaN'),
        edited(took=1).replace('"took": 1', '"took": 1e999'),
        edited(took=1).replace('"took": 1', f'"took": {"9" * 5000}'),
        edited(measurements=[{"cell": {}}]),
        "<html><body>some other page</body></html>",
    ],
)
def test_anything_else_is_refused_with_a_reason(text):
    with pytest.raises(ConfigError) as caught:
        run_from_text(text)

    assert caught.value.hint


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_no_json_is_more_than_refused(data):
    with pytest.raises(ConfigError):
        run_from_text(json.dumps(data))
