"""A window's sums are those of its samples, however many went through it."""

import statistics
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.core.detectors.window import MOST, SpreadWindow, nanoseconds

samples = st.lists(st.integers(-(10**18), 10**18), min_size=1, max_size=60)


@given(samples=samples, size=st.integers(1, 20))
def test_mean_and_variance_are_those_of_the_newest_samples(samples, size):
    window = SpreadWindow(size)
    for sample in samples:
        window.add(sample)
    kept = [Fraction(sample, 10**9) for sample in samples[-size:]]

    assert len(window) == len(kept)
    assert window.mean() == pytest.approx(float(statistics.mean(kept)), rel=1e-12)
    assert window.variance() == pytest.approx(
        float(statistics.pvariance(kept)), rel=1e-12
    )


@given(samples=samples, size=st.integers(1, 20))
def test_what_is_forgotten_is_told(samples, size):
    window = SpreadWindow(size)

    gone = [window.add(sample) for sample in samples]

    assert gone == ([0] * size + samples)[: len(samples)]


def test_a_small_spread_far_from_zero_is_seen():
    # In floats, 1e18 squared has no room for one nanosecond.
    window = SpreadWindow(4)
    for sample in (0, 1, 0, 1):
        window.add(10**17 + sample)

    assert window.variance() == 0.25e-18


def test_nothing_drifts_in_many_samples():
    window = SpreadWindow(3)
    for number in range(200_000):
        window.add(number * 7919 % 200_003)
    fresh = SpreadWindow(3)
    for number in range(199_997, 200_000):
        fresh.add(number * 7919 % 200_003)

    assert window.mean() == fresh.mean()
    assert window.variance() == fresh.variance()


@given(seconds=st.floats(-1e12, 1e12))
def test_a_duration_beyond_thirty_years_is_cut(seconds):
    sample = nanoseconds(seconds)

    assert -MOST <= sample <= MOST
    if abs(seconds) < 1e9:
        assert sample == round(seconds * 1e9)
