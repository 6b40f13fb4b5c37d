"""The quality that a replay measures is the one that can be counted by hand."""

import math

import pytest

from deadpeer.core.detectors import Fixed
from deadpeer.testing.replay import replay
from deadpeer.testing.traces import Passage, Trace


def trace(*arrivals):
    passages = tuple(Passage(i, float(i), at) for i, at in arrivals)
    return Trace(interval=1.0, passages=passages)


def fixed():
    return Fixed(interval=1.0, margin=0.5, floor=0.5)


def test_without_trouble_there_are_no_mistakes():
    told = replay(fixed(), trace((0, 0.1), (1, 1.1), (2, 2.1)))

    assert told.mistakes == 0
    assert told.recurrence == math.inf
    assert (told.length, told.accuracy) == (0, 1)
    # 0.1 s on the way, 1 s until the next, 0.5 s of margin.
    assert told.detection == pytest.approx(1.6)
    assert told.worst_detection == pytest.approx(1.6)


def test_a_lost_and_a_late_beat_are_a_mistake_each():
    told = replay(fixed(), trace((0, 0.0), (1, None), (2, 2.0), (3, 4.5), (4, 4.6)))

    assert told.mistakes == 2
    assert told.length == pytest.approx((0.5 + 1.0) / 2)
    assert told.recurrence == pytest.approx(4.6 / 2)
    assert told.accuracy == pytest.approx(1 - 1.5 / 4.6)
    assert told.worst_detection == pytest.approx(4.5 + 1.5 - 3)


def test_a_beat_that_was_overtaken_ends_no_mistake():
    told = replay(fixed(), trace((0, 0.0), (2, 1.0), (1, 2.8), (3, 3.0)))

    assert told.mistakes == 1
    assert told.length == pytest.approx(0.5)


def test_a_beat_right_at_the_deadline_is_in_time():
    assert replay(fixed(), trace((0, 0.0), (1, 1.5))).mistakes == 0


def test_a_trace_of_which_nothing_arrived_says_that_nothing_is_noticed():
    told = replay(fixed(), trace((0, None)))

    assert told.detection == math.inf
    assert told.duration == 0
