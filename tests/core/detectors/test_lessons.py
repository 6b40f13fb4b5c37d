"""
What replays of traces have taught about detectors, shown on made-up ones.

The traces are synthetic and their seeds fixed.
"""

import random

import pytest
from tests.core.detectors.kinds import KINDS

from deadpeer.core.detectors import (
    Bertier,
    Chen,
    Fixed,
    PhiExponential,
    PhiNormal,
    TwoWindow,
)
from deadpeer.testing.replay import replay
from deadpeer.testing.traces import Passage, Trace, Weather, synthesize

BEATS = 10_000


def played(detector, **weather):
    trace = synthesize(Weather(**weather), beats=BEATS, chance=random.Random(5))  # noqa: S311
    return replay(detector, trace)


def test_a_stall_that_shifts_the_schedule_breaks_one_window_and_not_two():
    weather = {"stall_every": 2000, "stall": 2}

    chen = played(Chen(interval=1, margin=0.1, floor=0.1), **weather)
    two = played(TwoWindow(interval=1, margin=0.1, floor=0.1), **weather)
    fixed = played(Fixed(interval=1, margin=0.1, floor=0.1), **weather)

    assert chen.mistakes > 1000
    assert chen.accuracy < 0.95
    assert two.mistakes == fixed.mistakes < 10
    assert two.accuracy > 0.998


def test_after_a_shift_two_windows_are_wrong_once_and_one_window_for_its_length():
    passages = [
        Passage(i, i + 3.0 * (i > 300), i + 3.0 * (i > 300)) for i in range(900)
    ]
    trace = Trace(interval=1.0, passages=tuple(passages))

    two = replay(TwoWindow(interval=1, margin=0.5, long=200, floor=0.5), trace)
    chen = replay(Chen(interval=1, margin=0.5, window=200, floor=0.5), trace)

    assert two.mistakes == 1
    # Suspected until the mean is within the margin: 2.5 s of the shift of 3 s.
    assert chen.mistakes == pytest.approx(200 * 2.5 / 3, abs=2)


@pytest.mark.parametrize("kind", [Bertier, PhiNormal])
def test_the_floor_matters_more_than_the_algorithm(kind):
    weather = {"jitter": 0.002, "bloat_every": 300, "bloat_for": 2, "bloat": 0.4}

    bare = played(kind(interval=1, floor=0.001), **weather)
    floored = played(kind(interval=1, floor=0.5), **weather)

    assert bare.mistakes > 20
    assert floored.mistakes == 0


def test_on_a_quiet_link_an_adaptive_one_buys_nothing_over_a_fixed_margin():
    told = {kind: played(kind(interval=1, floor=0.2)) for kind in KINDS}
    fixed = told[Fixed]
    told.pop(PhiExponential)  # it waits for eighteen beats whatever the link does

    for kind, quality in told.items():
        assert quality.mistakes == 0, kind
        assert quality.detection == pytest.approx(fixed.detection, abs=0.01)


def test_adapting_pays_where_the_jitter_is_not_known_beforehand():
    phi = played(PhiNormal(interval=1, floor=0.1), jitter=0.1)
    fixed = played(Fixed(interval=1, margin=0.1, floor=0.1), jitter=0.1)

    assert fixed.mistakes > 100 * max(phi.mistakes, 1)


@pytest.mark.parametrize("kind", [PhiNormal, PhiExponential])
def test_the_gap_of_an_outage_is_not_learnt(kind):
    detector = kind(interval=1.0, window=100)
    for sequence in range(50):
        detector.beat(sequence, now=float(sequence))
    margin = detector.deadline() - 49
    detector.beat(50, now=3649.0)

    assert detector.deadline() - 3649 == pytest.approx(margin, abs=0.2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_burst_after_a_stalled_path_does_not_shorten_the_next_deadline(kind):
    detector = kind(interval=1.0)
    for sequence in range(30):
        detector.beat(sequence, now=float(sequence))
    for sequence in range(30, 60):  # all at once, the newest right on time
        detector.beat(sequence, now=59.0)

    assert detector.deadline() >= 59 + 1 + detector.floor


@pytest.mark.parametrize("kind", KINDS)
def test_a_slow_answer_followed_by_a_quick_one_is_taken(kind):
    slow = kind(interval=20.0)
    for number, delay in enumerate([0.05] * 500 + [30.0, 0.05]):
        slow.beat(number, now=number * 20 + delay)

    # Told i × interval + delay, a slow answer before a quick one runs backwards.
    overdue = slow.deadline() - 502 * 20
    assert slow.floor <= overdue < 18.43 * 21
