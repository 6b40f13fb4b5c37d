import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.errors import ConfigError
from deadpeer.policy.backoff import Backoff

seconds = st.floats(0.001, 1000)
chances = st.floats(0, 1, exclude_max=True)
attempts = st.integers(0, 10**9)


@st.composite
def backoffs(draw):
    first, cap = sorted((draw(seconds), draw(seconds)))
    return Backoff(first=first, cap=cap, factor=draw(st.floats(1, 10)))


@given(backoffs(), attempts, chances)
def test_a_wait_is_never_longer_than_its_ceiling_nor_the_ceiling_than_the_cap(
    backoff, attempt, chance
):
    ceiling = backoff.ceiling(attempt)
    assert 0 <= backoff.delay(attempt, chance=chance) <= ceiling <= backoff.cap
    assert ceiling >= backoff.first


@given(backoffs(), attempts)
def test_the_ceiling_never_shrinks_with_failures(backoff, attempt):
    assert backoff.ceiling(attempt) <= backoff.ceiling(attempt + 1)


@given(backoffs(), attempts, chances)
def test_a_wait_is_in_proportion_to_the_chance(backoff, attempt, chance):
    whole = backoff.ceiling(attempt)
    assert backoff.delay(attempt, chance=chance) == pytest.approx(chance * whole)
    assert backoff.delay(attempt, chance=0.0) == 0.0


def test_the_ceilings_double_up_to_the_cap():
    ceilings = [Backoff().ceiling(n) for n in range(8)]
    assert ceilings == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_factor_of_one_keeps_the_ceiling():
    backoff = Backoff(first=2, cap=30, factor=1)
    assert {backoff.ceiling(n) for n in (0, 1, 99)} == {2}
    assert Backoff(first=2, cap=2, factor=3).ceiling(5) == 2


def test_years_of_failures_overflow_nothing():
    assert Backoff(factor=1e300).ceiling(10**12) == 30.0
    assert Backoff().ceiling(10**400) == 30.0
    assert Backoff(first=1e-250, cap=1e9).ceiling(10**4) == 1e9


@given(backoffs(), attempts)
def test_a_connection_that_never_was_counts_as_a_failure(backoff, attempt):
    assert backoff.following(attempt) == attempt + 1
    assert backoff.following(attempt, lasted=backoff.steady / 2) == attempt + 1


@given(backoffs(), attempts)
def test_attempts_start_anew_after_a_steady_connection(backoff, attempt):
    assert backoff.following(attempt, lasted=backoff.steady) == 0
    assert backoff.following(attempt, lasted=math.inf) == 0


def test_any_connection_may_be_called_steady_but_none_is_no_connection():
    assert Backoff(steady=0).following(3, lasted=0.001) == 0
    assert Backoff(steady=0).following(3) == 4


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("first", 0),
        ("first", "1"),
        ("cap", 0.1),
        ("cap", math.inf),
        ("cap", 1e308),
        ("factor", 0.5),
        ("factor", math.nan),
        ("factor", True),
        ("steady", -1),
    ],
)
def test_values_that_cannot_work_are_named(field, value):
    with pytest.raises(ConfigError) as caught:
        Backoff(**{field: value})
    assert caught.value.field == field
    assert caught.value.hint


@pytest.mark.parametrize("chance", [-0.1, 1.0, math.nan, "0.5", None])
def test_a_chance_is_drawn_from_zero_up_to_one(chance):
    with pytest.raises(ConfigError) as caught:
        Backoff().delay(0, chance=chance)
    assert caught.value.field == "chance"


@pytest.mark.parametrize("attempt", [-1, 1.5, True, None])
def test_attempts_are_counted(attempt):
    with pytest.raises(ConfigError) as caught:
        Backoff().delay(attempt, chance=0.5)
    assert caught.value.field == "attempt"
