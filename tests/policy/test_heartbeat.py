import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.errors import ConfigError
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.policy.middleboxes import MIDDLEBOXES

seconds = st.floats(0.01, 1e6)


def test_two_numbers_and_one_promise():
    heartbeat = Heartbeat()
    assert (heartbeat.interval, heartbeat.timeout) == (20.0, 10.0)
    assert (heartbeat.suspect_after, heartbeat.one_way) == (None, False)
    assert heartbeat.detection == 30.0


@given(seconds, seconds)
def test_the_promise_is_the_sum(interval, timeout):
    assert Heartbeat(interval=interval, timeout=timeout).detection == interval + timeout


def test_it_is_a_value():
    heartbeat = Heartbeat(interval=1, timeout=2)
    assert heartbeat == Heartbeat(interval=1.0, timeout=2.0)
    assert hash(heartbeat) == hash(Heartbeat(interval=1.0, timeout=2.0))
    assert isinstance(heartbeat.interval, float)
    assert isinstance(heartbeat.timeout, float)
    assert eval(repr(heartbeat)) == heartbeat  # noqa: S307 - of our own making
    with pytest.raises(dataclasses.FrozenInstanceError):
        heartbeat.interval = 3.0  # type: ignore[misc]
    slower = dataclasses.replace(heartbeat, timeout=0.5)
    assert slower.floor == 0.25


@pytest.mark.parametrize(
    ("timeout", "suspect_after", "floor"),
    [
        (10, None, 1.0),
        (2, None, 1.0),
        (1, None, 0.5),
        (10, 3, 3.0),
        (10, 0.02, 0.02),
        (10, 30, 10.0),  # nobody is suspect after death
    ],
)
def test_the_floor_is_what_was_asked_for_or_a_second_or_half_of_the_timeout(
    timeout, suspect_after, floor
):
    made = Heartbeat(interval=20, timeout=timeout, suspect_after=suspect_after)
    assert made.floor == floor
    assert isinstance(made.floor, float)


@given(seconds, seconds, st.none() | seconds)
def test_suspicion_never_comes_after_death(interval, timeout, suspect_after):
    made = Heartbeat(interval=interval, timeout=timeout, suspect_after=suspect_after)
    assert 0 < made.floor <= made.timeout


@pytest.mark.parametrize("field", ["interval", "timeout", "suspect_after"])
@pytest.mark.parametrize(
    "value", [0, -1, float("nan"), float("inf"), 1e10, 10**400, "20", True, 0.0099]
)
def test_what_is_no_usable_number_of_seconds_is_refused_by_name(field, value):
    with pytest.raises(ConfigError) as raised:
        Heartbeat(**{field: value})
    assert raised.value.field == field
    assert field in str(raised.value)
    assert raised.value.hint


def test_a_hundredth_of_a_second_is_the_least():
    assert Heartbeat(interval=0.01, timeout=0.01, suspect_after=0.01).floor == 0.01
    with pytest.raises(ConfigError, match=r"less than 0\.01 s"):
        Heartbeat(interval=0.009)


@pytest.mark.parametrize("field", ["interval", "timeout"])
def test_only_the_floor_may_be_left_out(field):
    with pytest.raises(ConfigError):
        Heartbeat(**{field: None})


@pytest.mark.parametrize("value", [None, 0, 1, "yes"])
def test_one_way_is_a_yes_or_no(value):
    with pytest.raises(ConfigError) as raised:
        Heartbeat(one_way=value)
    assert raised.value.field == "one_way"


@pytest.mark.parametrize(
    ("promise", "rtt", "interval", "timeout"),
    [
        (30, 0, 20, 10),
        (10, 0, 20 / 3, 10 / 3),
        (0.9, 0, 0.3, 0.6),  # two losses cost 3 · 0.2 s
        (6, 0.6, 3.0, 3.0),  # 3 · (0.6 + 0.2) + 0.6
    ],
)
def test_a_third_of_a_promise_is_for_the_answer_or_what_two_losses_cost(
    promise, rtt, interval, timeout
):
    made = Heartbeat.within(promise, rtt=rtt)
    assert made.interval == pytest.approx(interval)
    assert made.timeout == pytest.approx(timeout)


@given(st.floats(0.1, 1e5), st.floats(0, 10))
def test_within_keeps_its_promise_or_names_the_smallest_that_can_be_kept(promise, rtt):
    least = 4 * rtt + 0.6 + max(0.2, 2 * rtt)
    if promise < least - 1e-6:
        with pytest.raises(ConfigError) as refused:
            Heartbeat.within(promise, rtt=rtt)
        assert refused.value.field == "seconds"
        promise = float(refused.value.hint.split()[-2])
        assert promise == pytest.approx(least, abs=0.0011)
    made = Heartbeat.within(max(promise, least), rtt=rtt)
    assert made.detection == pytest.approx(max(promise, least))
    assert made.timeout >= 3 * (rtt + 0.2) + rtt - 1e-9
    assert made.interval >= 2 * rtt - 1e-6


@pytest.mark.parametrize("value", [0, -5, "10", 1e308, 10**400, float("nan"), True])
def test_a_promise_of_nonsense_is_refused(value):
    with pytest.raises(ConfigError) as raised:
        Heartbeat.within(value)
    assert raised.value.field == "seconds"
    assert raised.value.hint


@pytest.mark.parametrize("rtt", [-1, None, 1e308, float("inf"), True])
def test_a_round_trip_of_nonsense_is_refused(rtt):
    with pytest.raises(ConfigError) as raised:
        Heartbeat.within(10, rtt=rtt)
    assert raised.value.field == "rtt"


@pytest.mark.parametrize(
    ("made", "interval", "timeout"),
    [
        (Heartbeat.lan(), 2, 1),
        (Heartbeat.wan(), 20, 10),
        (Heartbeat.mobile(), 210, 30),
        (Heartbeat.behind_balancer(), 20, 10),
        (Heartbeat.behind_balancer(350), 20, 10),
        (Heartbeat.behind_balancer(30), 10, 10),
    ],
)
def test_the_presets_are_what_they_say(made, interval, timeout):
    assert (made.interval, made.timeout) == (interval, timeout)
    assert not made.one_way


@pytest.mark.parametrize("box", MIDDLEBOXES, ids=lambda box: box.name)
def test_behind_every_known_box_the_heartbeat_comes_before_it_forgets(box):
    forgets_after = box.idle_timeout
    made = Heartbeat.behind_balancer(forgets_after)
    assert 2 * made.interval < forgets_after


@pytest.mark.parametrize("value", [0, -1, "60", None, 0.0299])
def test_a_box_without_a_memory_is_refused(value):
    with pytest.raises(ConfigError) as raised:
        Heartbeat.behind_balancer(value)
    assert raised.value.field == "idle_timeout"
    assert raised.value.hint
    assert Heartbeat.behind_balancer(0.03).interval == 0.01
