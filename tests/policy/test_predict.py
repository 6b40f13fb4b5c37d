"""Bounds for each state, against what real kernels did."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from deadpeer.platforms import LINUX, Defaults
from deadpeer.policy import Keepalive, State, predict, unanswered_probes
from deadpeer.policy.timers import lateness

SECONDS = st.integers(1, 600)
PROBES = st.integers(1, 20)
TIMEOUT = st.floats(0.2, 2000)
RTT = st.floats(0, 1)
BUSY = (State.UNACKNOWLEDGED, State.ZERO_WINDOW)


def ka(idle, interval, probes, timeout=None):
    return Keepalive(idle=idle, interval=interval, probes=probes, user_timeout=timeout)


# Linux 6.18, HZ=250, round trip under a millisecond; peer silent from the pull,
# heard within the last quarter of a second before it. The first group is
# confirmed by the blog of Cloudflare, "When TCP sockets refuse to die".
@pytest.mark.parametrize(
    ("settings", "measured"),
    [
        (ka(2, 1, 3), 5.02),
        (ka(2, 1, 3, 0.5), 2.97),
        (ka(2, 1, 3, 2.5), 2.97),
        (ka(2, 1, 3, 4.5), 5.02),
        (ka(2, 1, 3, 5.0), 5.02),
        (ka(2, 1, 3, 5.5), 6.05),
        (ka(2, 1, 3, 8.0), 8.09),
        (ka(2, 1, 3, 20.0), 20.38),
        (ka(2, 1, 10), 12.19),
        (ka(2, 5, 3), 17.44),
        (ka(2, 5, 3, 5.5), 7.20),
        (ka(2, 5, 3, 8.0), 12.32),
        (ka(2, 5, 3, 20.0), 22.56),
        (ka(10, 1, 3), 13.09),
        (ka(10, 1, 3, 8.0), 11.04),
        (ka(10, 1, 3, 20.0), 20.25),
        (ka(5, 10, 3, 7.0), 15.0),
    ],
)
def test_an_idle_death_is_found_when_it_was_found(settings, measured):
    bound = predict(settings, State.IDLE, silence=(0.0, 0.25))
    assert bound.earliest <= measured <= bound.latest


@pytest.mark.parametrize(
    ("timeout", "measured"),
    [(0.3, 0.73), (1, 1.44), (3, 3.42), (5, 5.66), (10, 10.53), (20, 20.51)],
)
def test_a_busy_death_is_found_when_it_was_found(timeout, measured):
    settings = Keepalive(user_timeout=timeout)
    bound = predict(
        settings, State.UNACKNOWLEDGED, written_at=(0.0, 0.0), reports=False
    )
    assert bound.earliest <= measured <= bound.latest
    assert bound.latest - bound.earliest < 1.1


@pytest.mark.parametrize("measured", [4.37, 4.396, 4.876, 4.956, 4.968])
def test_a_death_that_a_router_reports_is_found_when_it_was_found(measured):
    settings = Keepalive(user_timeout=3.95)
    known = Defaults(hz=250)
    told = predict(settings, State.UNACKNOWLEDGED, written_at=(0, 0), defaults=known)
    assert told.earliest <= measured <= told.latest
    untold = predict(
        settings,
        State.UNACKNOWLEDGED,
        written_at=(0, 0),
        defaults=known,
        reports=False,
    )
    assert untold.latest < 4.7 < told.latest


@pytest.mark.parametrize(
    ("rto_max", "measured"), [(1, 14.97), (2, 27.5), (None, 938.96)]
)
def test_without_a_user_timeout_the_retries_decide(rto_max, measured):
    settings = Keepalive(rto_max=rto_max)
    bound = predict(settings, State.UNACKNOWLEDGED, written_at=(0.0, 0.0))
    assert bound.earliest <= measured <= bound.latest


@pytest.mark.parametrize(
    ("timeout", "measured"), [(0.5, 1.03), (2, 2.01), (5, 5.02), (10, 10.01)]
)
def test_a_connect_ends_when_it_ended(timeout, measured):
    bound = predict(Keepalive(user_timeout=timeout), State.CONNECTING)
    assert bound.earliest <= measured <= bound.latest


def test_a_connect_without_settings_ends_when_it_ended():
    bound = predict(Keepalive(), State.CONNECTING)
    assert bound.earliest <= 134.1 <= bound.latest


def test_a_connect_with_short_pauses_is_given_up_when_its_time_is_over():
    settings, known = Keepalive(rto_max=1.08), Defaults(hz=250)
    bound = predict(settings, State.CONNECTING, defaults=known)
    assert bound.earliest <= 8.28 <= bound.latest < 9


@pytest.mark.parametrize(
    ("settings", "closed", "measured"),
    [
        (Keepalive(user_timeout=8), (3.0, 3.1), 5.29),
        (Keepalive(rto_max=1), (3.0, 3.1), 16.0),
        (Keepalive(), None, 1063.9),
    ],
)
def test_a_death_behind_a_closed_window_is_found_when_it_was(
    settings, closed, measured
):
    bound = predict(settings, State.ZERO_WINDOW, closed=closed)
    assert bound.earliest <= measured <= bound.latest


@pytest.mark.parametrize(
    ("settings", "written", "measured"),
    [(ka(6, 2, 2, 9.5), 9.3, 19.24), (ka(2, 1, 3, 4.4), 4.8, 9.64)],
)
def test_a_write_just_before_the_last_tick_starts_the_user_timeout_anew(
    settings, written, measured
):
    span = (written, written)
    bound = predict(
        settings, State.IDLE_THEN_WRITE, silence=(0.0, 0.1), written_at=span
    )
    assert bound.earliest <= measured <= bound.latest


def test_a_write_after_the_last_tick_finds_the_connection_dead_already():
    settings = ka(2, 1, 3, 4.4)
    known = {"silence": (0.0, 0.0)}
    late = predict(settings, State.IDLE_THEN_WRITE, written_at=(9.0, 9.0), **known)
    assert late.latest == predict(settings, State.IDLE, **known).latest


def test_an_idle_socket_without_keepalive_never_hears_of_a_death():
    for settings in (Keepalive(), Keepalive(user_timeout=3), Keepalive(on=False)):
        bound = predict(settings, State.IDLE)
        assert (bound.earliest, bound.latest) == (math.inf, math.inf)


def test_keepalive_alone_bounds_nothing_while_data_is_in_flight():
    alone, nothing = ka(2, 1, 3), Keepalive()
    for state in BUSY:
        assert predict(alone, state).latest == predict(nothing, state).latest > 900


@given(idle=SECONDS, interval=SECONDS, probes=PROBES, rtt=RTT)
def test_without_a_user_timeout_each_setting_only_ever_delays(
    idle, interval, probes, rtt
):
    def latest(**changed):
        settings = {"idle": idle, "interval": interval, "probes": probes} | changed
        return predict(Keepalive(**settings), State.IDLE, rtt=rtt).latest

    assert latest() <= latest(idle=idle + 1)
    assert latest() <= latest(interval=interval + 1)
    assert latest() <= latest(probes=probes + 1)


@given(timeout=TIMEOUT, longer=st.floats(0, 100), rtt=RTT, state=st.sampled_from(State))
def test_a_longer_user_timeout_never_reports_sooner(timeout, longer, rtt, state):
    def bound(seconds):
        return predict(ka(20, 5, 3, seconds), state, rtt=rtt)

    assert bound(timeout).latest <= bound(timeout + longer).latest
    assert bound(timeout).earliest <= bound(timeout + longer).earliest


@given(rto_max=st.floats(1, 60), state=st.sampled_from(BUSY))
def test_a_doubled_rto_max_never_reports_sooner(rto_max, state):
    # In between, the kernel's model moves in powers of two and may dip.
    settings = [Keepalive(rto_max=seconds) for seconds in (rto_max, 2 * rto_max)]
    shorter, longer = (predict(each, state).latest for each in settings)
    assert shorter <= longer


@given(idle=SECONDS, interval=SECONDS, timeout=TIMEOUT)
def test_with_a_user_timeout_the_tick_that_reaches_it_is_the_last(
    idle, interval, timeout
):
    assume(idle >= interval)
    bound = predict(ka(idle, interval, 3, timeout), State.IDLE, silence=(0.0, 0.0))
    late = lateness(idle) + (bound.latest / interval + 1) * lateness(interval)
    assert bound.latest >= max(timeout, idle + interval)
    assert bound.latest <= max(timeout + interval, idle + interval) + late


@given(
    idle=SECONDS, interval=SECONDS, probes=PROBES, timeout=st.none() | TIMEOUT, rtt=RTT,
    state=st.sampled_from(State),
)  # fmt: skip
def test_a_bound_is_in_order_and_survives_less_than_it_takes(
    idle, interval, probes, timeout, rtt, state
):  # fmt: skip
    bound = predict(ka(idle, interval, probes, timeout), state, rtt=rtt)
    assert 0 <= bound.earliest <= bound.latest
    assert 0 <= bound.survives <= bound.latest


@given(
    idle=SECONDS, interval=SECONDS, timeout=TIMEOUT,
    heard=st.floats(0, 5), state=st.sampled_from(State),
)  # fmt: skip
def test_knowing_more_of_the_moment_only_narrows_the_bound(
    idle, interval, timeout, heard, state
):
    assume(heard <= idle)
    settings = ka(idle, interval, 3, timeout)
    wide = predict(settings, state)
    narrow = predict(
        settings, state, silence=(heard, heard), written_at=(0.0, 0.0), closed=(0, 0)
    )
    if state is State.IDLE_THEN_WRITE:
        # Written at once, the later moments are gone.
        assert narrow.latest <= wide.latest
        return
    assert wide.earliest <= narrow.earliest
    assert narrow.latest <= wide.latest


def test_probes_count_only_where_no_user_timeout_is_set():
    free, bound = ka(2, 1, 7), ka(2, 1, 7, 3.9)
    assert unanswered_probes(free.over(Defaults())) == (7, 7)
    assert unanswered_probes(bound.over(Defaults()), platform=LINUX) == (2, 2)


@pytest.mark.parametrize("state", [State.IDLE, State.HALF_CLOSED])
def test_after_an_answered_probe_a_long_interval_leaves_one_tick_less(state):
    # Heard at 0 s: asked at 5 s, silent for 10 s at the next tick. Were idle
    # what counts, it would be asked at 1 s and 6 s and be ended at 11 s.
    settings = Keepalive(idle=1, interval=5, user_timeout=10)
    bound = predict(settings, state)

    assert unanswered_probes(settings.over(Defaults()))[0] == 1
    assert bound.earliest <= 5
    assert bound.survives == 0


def test_a_closed_window_is_given_up_by_count_too_whatever_the_user_timeout():
    patient = Keepalive(user_timeout=3600, on=True)
    counted = predict(Keepalive(on=True), State.ZERO_WINDOW, closed=(0, 0))
    bound = predict(patient, State.ZERO_WINDOW, closed=(0, 0))

    assert bound.earliest == counted.earliest < 1000
    assert bound.latest <= counted.latest
    assert bound.survives == counted.survives < 1000
    assert "user timeout, or 15 unanswered window probes" in bound.why
    # Where the user timeout is over first, it alone is named.
    short = predict(Keepalive(user_timeout=5), State.ZERO_WINDOW, closed=(0.0, 0.0))
    assert short.why == "the user timeout"


def test_settings_with_gaps_are_a_mistake_of_the_caller():
    with pytest.raises(TypeError, match="over"):
        unanswered_probes(Keepalive(idle=5))
