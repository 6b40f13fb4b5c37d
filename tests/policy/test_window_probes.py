"""A closed window is probed for as long as the kernel does, and no bound is too tight."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.policy.timers import lateness
from deadpeer.policy.window_probes import given_up, outlasts

retries = st.integers(1, 40)
rtos = st.floats(0.2, 3.0)
limits = st.sampled_from([1.0, 10.0, 120.0])
spans = st.tuples(st.floats(0, 500), st.floats(0, 500)).map(sorted)


def probed(pause: float, rto_max: float, times: int) -> list[float]:
    """Play the kernel: each pause is twice the one before, up to the largest."""
    at, instants = 0.0, []
    for _ in range(times):
        at += min(pause, rto_max)
        pause *= 2
        instants.append(at)
    return instants


@given(retries=retries, rto=rtos, rto_max=limits)
def test_an_outage_is_outlasted_that_leaves_one_probe_more(retries, rto, rto_max):
    # One may count already when the peer falls silent, and one more has to be left.
    sure = probed(rto, rto_max, max(0, retries - 2))

    assert outlasts(retries, rto, rto_max) == pytest.approx(sure[-1] if sure else 0.0)


@given(retries=retries, rto=rtos, rto_max=limits, closed=spans, share=st.floats(0, 1))
def test_a_window_that_closed_in_the_span_is_given_up_between_the_bounds(
    retries, rto, rto_max, closed, share
):
    shortest, longest = closed
    earliest, latest = given_up(
        retries, (rto, rto), rto_max, closed=(shortest, longest)
    )
    # The pause has grown with the time for which the window was closed.
    was_closed = shortest + share * (longest - shortest)
    pauses = [min(rto, rto_max)]
    while sum(pauses) < was_closed:
        pauses.append(min(2 * pauses[-1], rto_max))
    after = probed(pauses[-1], rto_max, retries + 1)
    died_at = max(0.0, was_closed - sum(pauses[:-1]))  # within the pause that runs

    assert earliest <= after[retries - 1] - died_at + 1e-9
    assert after[-1] <= latest + 1e-9


@given(retries=retries, rto=rtos, rto_max=limits)
def test_a_window_that_was_closed_for_any_time_has_the_latest_bound(
    retries, rto, rto_max
):
    _, latest = given_up(retries, (rto, rto), rto_max)

    for seconds in (0.0, 1.0, 60.0, 1e6):
        span = given_up(retries, (rto, rto), rto_max, closed=(seconds, seconds))
        assert span[1] <= latest + 1e-9


def test_every_pause_may_run_late():
    _, latest = given_up(1, (1.0, 1.0), 120.0, closed=(0.0, 0.0), hz=250)

    assert latest == pytest.approx(1 + 2 + lateness(1.0, 250) + lateness(2.0, 250))
