import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.core.suspend import TOLERANCE, Look, slept_between

instants = st.floats(0, 10**6)
# Fractions of a second between readings, some of them as long as a swapped-out process.
pauses = st.floats(0, 100)


def look(at: float, gap: float, *, first: float = 0.0, second: float = 0.0) -> Look:
    """Read the clocks with pauses of so many seconds in between."""
    return Look(at, at + first + gap, at + first + second)


@given(instants, instants, instants, pauses, pauses, pauses, pauses)
def test_a_process_that_was_put_aside_has_not_slept(at, gap, passed, a, b, c, d):
    earlier = look(at, gap, first=a, second=b)
    later = look(at + passed, gap, first=c, second=d)
    assert slept_between(earlier, later) == 0.0


@given(instants, instants, st.floats(0.2, 10**6))
def test_a_sleep_is_told_in_full_when_nothing_came_between_the_readings(at, gap, slept):
    told = slept_between(look(at, gap), look(at + 5, gap + slept))
    assert told == pytest.approx(slept, abs=1e-6)


@given(instants, st.floats(0, 10**6), pauses, pauses, pauses, pauses)
def test_never_more_sleep_is_told_than_there_was(at, slept, a, b, c, d):
    earlier = look(at, 0.0, first=a, second=b)
    later = look(at + 300, slept, first=c, second=d)
    assert slept_between(earlier, later) <= slept + 1e-6


def test_what_is_within_the_tolerance_is_no_sleep():
    assert slept_between(look(0, 0), look(9, TOLERANCE)) == 0.0
    assert slept_between(look(0, 0), look(9, 0.101)) == pytest.approx(0.101)


def test_a_gap_that_shrinks_is_no_sleep():
    assert slept_between(look(0, 50), look(9, 0)) == 0.0
