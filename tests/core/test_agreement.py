"""Two announcements, and one rule at both ends."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.core.agreement import agree, announce, promise
from deadpeer.core.hello import Hello, decode_hello, encode_hello
from deadpeer.core.limits import Limits
from deadpeer.errors import RemoteProtocolError
from deadpeer.policy.heartbeat import Heartbeat

LIMITS = Limits(longest_patience=1e9)

DURATIONS = st.floats(0.01, 100_000.0)
HEARTBEATS = st.builds(
    Heartbeat, interval=DURATIONS, timeout=DURATIONS, one_way=st.booleans()
)
GAPS = st.floats(0.001, 1000.0).map(
    lambda gap: Limits(longest_patience=1e9, heartbeat_gap=gap)
)


def sent(hello):
    return decode_hello(encode_hello(hello))


@given(mine=HEARTBEATS, theirs=HEARTBEATS, ttl=DURATIONS | st.none(), takes=GAPS)
def test_nobody_is_judged_before_the_time_that_it_announced(mine, theirs, ttl, takes):
    said = sent(announce(theirs, takes, time_to_live=ttl))
    agreed = agree(mine, said, LIMITS)

    assert agreed.detection >= said.time_to_live
    assert said.time_to_live >= (theirs.timeout if ttl is None else ttl) * (1 - 1e-9)
    # Nor earlier than by the judge's own wish.
    assert agreed.interval >= mine.interval * (1 - 1e-9)
    assert agreed.timeout >= mine.timeout


def test_a_difference_that_rounds_down_costs_the_peer_nothing():
    interval, time_to_live = 477.1172735306011, 3856.881
    assert interval + (time_to_live - interval) < time_to_live
    mine = Heartbeat(interval=interval, timeout=1)

    assert (
        agree(mine, Hello(time_to_live=time_to_live), LIMITS).detection >= time_to_live
    )


@given(mine=HEARTBEATS, theirs=HEARTBEATS, takes=GAPS, gives=GAPS)
def test_both_ends_compute_the_same(mine, theirs, takes, gives):
    here, there = sent(announce(mine, takes)), sent(announce(theirs, gives))
    agreed = agree(mine, there, LIMITS)
    period = promise(there, here)

    assert agreed.one_way is mine.one_way
    assert (period is not None) is agreed.one_way
    if period is not None:
        assert agreed.interval == period
        # A promise that is kept breaks no limit.
        assert period >= here.heartbeat_gap
    else:
        assert agreed.interval >= there.heartbeat_gap


@given(mine=HEARTBEATS, theirs=HEARTBEATS)
def test_who_wishes_the_same_gets_it(mine, theirs):
    mine = replace(mine, one_way=False)
    agreed = agree(mine, announce(mine, Limits(heartbeat_gap=0.001)), LIMITS)

    assert agreed == mine


def test_the_larger_period_of_beats_holds():
    mine = Heartbeat(interval=10, timeout=5, one_way=True)
    agreed = agree(mine, Hello(interval=30, time_to_live=1), LIMITS)

    assert agreed == Heartbeat(interval=30, timeout=5, one_way=True)


def test_beats_that_are_not_offered_are_asked_for():
    mine = Heartbeat(interval=10, timeout=5, one_way=True)
    agreed = agree(mine, Hello(interval=30, time_to_live=1, offers_beats=False), LIMITS)

    assert agreed == Heartbeat(interval=10, timeout=5, one_way=False)
    assert promise(Hello(offers_beats=False), announce(mine, LIMITS)) is None


def test_questions_come_no_faster_than_they_are_taken():
    agreed = agree(
        Heartbeat(interval=1, timeout=5), Hello(heartbeat_gap=3, time_to_live=1), LIMITS
    )

    assert agreed == Heartbeat(interval=3, timeout=5)


def test_a_peer_that_gives_no_sign_of_life_is_not_taken():
    theirs = Hello(answers_pings=False, offers_beats=True)
    with pytest.raises(RemoteProtocolError, match="answers no pings") as caught:
        agree(Heartbeat(), theirs, LIMITS)

    assert caught.value.breach == "unacceptable-heartbeat"
    assert agree(Heartbeat(one_way=True), theirs, LIMITS).one_way


@pytest.mark.parametrize("one_way", [True, False])
def test_patience_has_an_end(one_way):
    limits = Limits(longest_patience=60)
    mine = Heartbeat(interval=10, timeout=10, one_way=one_way)
    agree(mine, Hello(time_to_live=60), limits)
    with pytest.raises(RemoteProtocolError, match="60 s is") as caught:
        agree(mine, Hello(time_to_live=60.001), limits)

    assert caught.value.breach == "unacceptable-heartbeat"


def test_ones_own_patience_is_no_reason_to_refuse():
    mine = Heartbeat(interval=3600, timeout=600)

    assert agree(mine, Hello(), Limits(longest_patience=60)) == mine


def test_an_announcement_holds_to_its_own_limits():
    said = announce(Heartbeat(interval=0.05, timeout=1), Limits(largest_message=7))

    assert said.heartbeat_gap == 0.05
    assert said.largest_message == 7
    assert said.offers_beats
    assert not said.wants_beats
