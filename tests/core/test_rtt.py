from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.core.rtt import smoothed

samples = st.floats(0, 100)


def test_the_first_sample_is_the_average_and_half_of_it_the_variance():
    assert smoothed(-1.0, 0.0, 3.0) == (3.0, 1.5)
    assert smoothed(0.0, 0.0, 8.0) == (1.0, 2.0)  # an average of 0 is one


def test_later_samples_move_it_by_an_eighth_and_a_quarter():
    # By hand, from RFC 6298: RTTVAR = 3/4·4 + 1/4·|16 − 8| = 5, SRTT = 7/8·16 + 1/8·8.
    assert smoothed(16.0, 4.0, 8.0) == (15.0, 5.0)


@given(st.lists(samples, min_size=1, max_size=50))
def test_it_is_what_exact_fractions_say(values):
    average, variance = smoothed(-1.0, 0.0, values[0])
    exact, spread = Fraction(values[0]), Fraction(values[0]) / 2
    for value in values[1:]:
        average, variance = smoothed(average, variance, value)
        spread = spread * 3 / 4 + abs(exact - Fraction(value)) / 4
        exact = exact * 7 / 8 + Fraction(value) / 8
    assert average == pytest.approx(float(exact), abs=1e-9)
    assert variance == pytest.approx(float(spread), abs=1e-9)


@given(st.lists(samples, min_size=1, max_size=50))
def test_the_average_stays_among_the_samples(values):
    average, variance = -1.0, 0.0
    for value in values:
        average, variance = smoothed(average, variance, value)
    assert min(values) - 1e-9 <= average <= max(values) + 1e-9
    assert variance >= 0


@given(samples)
def test_a_steady_round_trip_leaves_no_variance(value):
    average, variance = smoothed(-1.0, 0.0, value)
    for _ in range(200):
        average, variance = smoothed(average, variance, value)
    assert average == pytest.approx(value)
    assert variance == pytest.approx(0.0, abs=1e-9)
