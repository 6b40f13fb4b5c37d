"""Promised beats: on schedule, never twice, never to catch up."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.core.beats import Beats
from deadpeer.errors import ConfigError

INTERVALS = st.floats(0.001, 100_000.0)
INSTANTS = st.floats(0.0, 1e8)


@given(interval=INTERVALS, first_at=INSTANTS, now=INSTANTS)
def test_the_next_beat_is_later_than_now_by_at_most_an_interval(
    interval, first_at, now
):
    due_at = Beats(interval=interval, first_at=first_at).next_after(now=now)

    assert due_at > now
    assert due_at == first_at or due_at - now <= interval * (1 + 1e-6) + 1e-7


@given(interval=INTERVALS, first_at=st.floats(0.0, 1e5), beats=st.integers(1, 50))
def test_beats_keep_to_the_schedule_and_do_not_drift(interval, first_at, beats):
    schedule = Beats(interval=interval, first_at=first_at)
    due_at = schedule.next_after(now=-1.0)
    for k in range(beats):
        assert due_at == pytest.approx(first_at + k * interval, rel=1e-12)
        due_at = schedule.next_after(now=due_at)


def test_missed_beats_are_skipped():
    schedule = Beats(interval=20.0, first_at=5.0)

    assert schedule.next_after(now=5.0) == 25.0
    assert schedule.next_after(now=1000.0) == 1005.0
    assert schedule.next_after(now=1004.999) == 1005.0


@given(interval=INTERVALS, now=INSTANTS, jitter=st.floats(0.0, 1.0, exclude_max=True))
def test_the_first_beat_falls_into_the_first_interval(interval, now, jitter):
    schedule = Beats.starting(interval=interval, now=now, jitter=jitter)

    assert now <= schedule.first_at <= now + interval


@pytest.mark.parametrize("jitter", [-0.1, 1.0, math.nan, "0.5", None, True])
def test_a_jitter_that_is_no_share_is_refused(jitter):
    with pytest.raises(ConfigError, match="jitter"):
        Beats.starting(interval=1.0, now=0.0, jitter=jitter)


@pytest.mark.parametrize("interval", [0, -1.0, 1e-9, 1e308, math.inf, math.nan, "1"])
def test_an_interval_that_is_no_duration_is_refused(interval):
    with pytest.raises(ConfigError, match="interval"):
        Beats(interval=interval, first_at=0.0)
    with pytest.raises(ConfigError, match="interval"):
        Beats.starting(interval=interval, now=0.0, jitter=0.5)
