"""Rows and sections: every connection is somewhere, and the words are true."""

from dataclasses import replace

import pytest
from tests.lab.made_run import by_hand, failed, made_run

from deadpeer.lab.rendering.report import (
    glance,
    headline,
    one_by_one,
    outside,
    sections,
)
from deadpeer.lab.scenario import Run, Scenario
from deadpeer.lab.terms import Fault, Situation


def told(run: Run) -> list[tuple[str, list[tuple[str, str, str, str]]]]:
    return [
        (
            f"{section.title}: {section.verdict}",
            [(r.label, r.predicted, r.measured, r.verdict) for r in section.rows],
        )
        for section in sections(run)
    ]


BY_HAND = [
    (
        "Nothing set, cable pulled: unnoticed in 3 of 3",
        [
            ("idle", "never", "nothing in 15 s", "ok"),
            ("unacknowledged", "15 to 18 min", "nothing in 15 s", "ok"),
            ("idle, then a write", "15 to 18 min", "nothing in 15 s", "ok"),
        ],
    ),
    (
        (
            "Keepalive alone, cable pulled: unnoticed in 2 of 3, as soon as data is in"
            " flight"
        ),
        [
            ("idle", "6.90 to 7.30 s", "7.10 s", "ok"),
            ("unacknowledged", "15 to 18 min", "nothing in 15 s", "ok"),
            ("idle, then a write", "15 to 18 min", "nothing in 15 s", "ok"),
        ],
    ),
    (
        "The plan, cable pulled: all within 10 s, the last after 7.80 s",
        [
            ("idle", "3.90 to 4.30 s", "4.10 s", "ok"),
            ("unacknowledged", "4.10 to 4.50 s", "4.30 s", "ok"),
            ("idle, then a write", "4.60 to 8.00 s", "4.80 to 7.80 s", "2 of 2 ok"),
        ],
    ),
    (
        "The plan, other faults: all within 10 s, the last after 0.05 s",
        [("normal close: idle", "within 0.1 s", "0.05 s", "ok")],
    ),
    (
        "Live peers: all 2 left alone",
        [
            ("outage 1.25 s: idle", "stays alive", "alive, 15 s", "ok"),
            ("idle", "stays alive", "alive, 15 s", "ok"),
        ],
    ),
]


def test_a_run_reads_as_it_went():
    assert told(by_hand()) == BY_HAND


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario(),
        Scenario(families=(4, 6)),
        Scenario(full=True, families=(4, 6)),
        Scenario(only=("outage",)),
        Scenario(only=("normal close",)),
    ],
)
def test_every_measurement_stands_in_exactly_one_row(scenario):
    run = made_run(scenario)
    found = sections(run)
    standing = [m.cell.id for s in found for row in s.rows for m in row.measurements]

    assert sorted(standing) == sorted(m.cell.id for m in run.measurements)
    whole = [row for section in one_by_one(found) for row in section.rows]
    assert len(whole) == len(run.measurements)


def test_settings_that_the_run_does_not_list_are_shown_too():
    run = replace(made_run(), settings=())

    assert sections(run) == sections(made_run())


def test_rows_of_one_connection_each_can_be_told_apart():
    run = made_run(Scenario(full=True, families=(4, 6)))
    for section in one_by_one(sections(run)):
        labels = [row.label for row in section.rows]

        assert len(set(labels)) == len(labels), section.title


@pytest.mark.parametrize(
    ("cell_id", "at", "words"),
    [
        ("cable/idle/plan/v4", None, ("nothing in 15 s", "FAILED")),
        ("cable/idle/plan/v4", 2.5, ("2.50 s", "FAILED")),
        (
            "cable/idle then a write/plan/v4/+3.5s",
            None,
            ("1 of 2: 4.80 s", "1 of 2 FAILED"),
        ),
        ("none/idle/plan/v4", 6.1, ("given up: 6.10 s", "FAILED")),
    ],
)
def test_a_failure_is_said_in_its_row(cell_id, at, words):
    run = failed(by_hand(), cell_id, at=at, note="wrong")
    rows = [row for section in sections(run) for row in section.rows]
    row = next(row for row in rows if row.failures)

    assert (row.measured, row.verdict) == words
    assert [m.cell.id for m in outside(run)] == [cell_id]


@pytest.mark.parametrize(
    ("cell_id", "at", "verdict"),
    [
        (
            "cable/idle/plan/v4",
            12.0,
            "1 of 3 later than the promised 10 s; 1 outside the prediction",
        ),
        (
            "cable/idle/plan/v4",
            None,
            (
                "unnoticed in 1 of 3, while the connection is idle;"
                " 1 outside the prediction"
            ),
        ),
        ("none/idle/plan/v4", 6.1, "1 of 2 were given up, wrongly"),
    ],
)
def test_a_failure_is_said_in_the_heading(cell_id, at, verdict):
    run = failed(by_hand(), cell_id, at=at, note="wrong")

    assert verdict in [section.verdict for section in sections(run)]


def test_a_prediction_ends_at_the_promise():
    run = by_hand()
    wide = tuple(
        replace(m, cell=replace(m.cell, latest=11.0))
        if m.cell.id == "cable/idle/plan/v4"
        else m
        for m in run.measurements
    )
    rows = sections(replace(run, measurements=wide))[2].rows

    assert rows[0].predicted == "3.90 to 10.00 s"


def test_at_a_glance_settings_stand_against_situations():
    found = glance(by_hand())

    assert found is not None
    assert found.fault is Fault.CABLE
    assert [s.name for s in found.settings] == ["nothing", "keepalive", "plan"]
    assert found.situations == (
        Situation.IDLE,
        Situation.UNACKNOWLEDGED,
        Situation.IDLE_THEN_WRITE,
    )
    assert not found.rows[Situation.UNACKNOWLEDGED, "keepalive"].is_noticed
    assert found.rows[Situation.UNACKNOWLEDGED, "plan"].is_noticed


def test_there_is_nothing_to_compare_in_a_run_of_one_setting():
    assert glance(made_run(Scenario(only=("plan",)))) is None
    assert glance(replace(by_hand(), measurements=())) is None


def test_the_headline_counts():
    run = by_hand()

    assert headline(run) == "All 13 measurements lie within their predictions"
    assert headline(replace(run, measurements=())) == "Nothing was measured"
    wrong = failed(run, "cable/idle/plan/v4", at=2.5, note="early")
    assert headline(wrong) == "1 of 13 measurements lie outside their prediction"
