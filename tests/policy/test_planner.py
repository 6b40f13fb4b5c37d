"""One promise: what must hold of every plan, and which are refused."""

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from deadpeer.errors import ConfigError, UnsupportedError
from deadpeer.platforms import LINUX, Defaults
from deadpeer.policy import (
    Keepalive,
    State,
    assess,
    plan,
    smallest,
    unanswered_probes,
    window_probes,
)
from deadpeer.policy.timers import persist_schedule

# Promises of both kinds, long enough that nearly all of them can be given.
PROMISES = st.fixed_dictionaries(
    {"within": st.floats(6, 86_400), "rtt": st.none() | st.floats(0, 1)}
) | st.fixed_dictionaries(
    {
        "within": st.floats(25, 3_600),
        "rtt": st.none() | st.floats(0, 0.5),
        "allow_stalled_reader": st.just(value=True),
    }
)

# What the system ends by itself, whatever a socket sets, in seconds of outage: a
# connect after a minute, fifteen window probes after nine.
SYSTEM_ALLOWS = {State.CONNECTING: 50, State.ZERO_WINDOW: 560}


def planned(promise):
    try:
        return plan(**promise)
    except ConfigError:
        assume(condition=False)


@given(promise=PROMISES)
@settings(max_examples=40)  # a plan is a search of some 10 ms
def test_a_plan_keeps_its_promise_in_every_state_and_change_of_state(promise):
    made = planned(promise)
    for bound in made.assessment.bounds:
        assert bound.latest <= promise["within"], bound


@given(promise=PROMISES)
@settings(max_examples=40)  # a plan is a search of some 10 ms
def test_a_plan_waits_for_two_unanswered_probes_and_survives_an_outage(promise):
    made = planned(promise)
    least, _ = unanswered_probes(made.assessment.effective)
    assert least >= 2
    outage = promise["within"] / 8 * 0.95
    for bound in made.assessment.bounds:
        most = SYSTEM_ALLOWS.get(bound.state, math.inf)
        assert bound.survives >= min(outage, most), bound


def test_a_plan_says_where_the_system_ends_a_live_peer_sooner():
    def said(made):
        return [text for text in made.assessment.warnings if "tcp_retries2" in text]

    long = plan(within=86_400)
    closed = long.assessment.bound(State.ZERO_WINDOW)

    assert closed.survives < 700
    assert any(f"{closed.survives:.3g} s" in text for text in said(long))
    assert not said(plan(within=60))


def test_few_retries_of_the_system_are_not_held_against_a_plan():
    # What many clusters are told to set; no socket option changes it.
    few = Defaults(retries=3)
    made = plan(within=30, defaults=few)

    assert made.keepalive == plan(within=30).keepalive
    assert made.assessment.bound(State.ZERO_WINDOW).survives < 30 / 8
    assert smallest(defaults=few) == smallest()


@given(promise=PROMISES)
@settings(max_examples=40)  # a plan is a search of some 10 ms
def test_a_plan_is_whole_in_the_kernels_units(promise):
    made = planned(promise)
    assert made.keepalive.rounded().over(Defaults()) == made.assessment.effective


@given(within=st.floats(16, 86_400), rtt=st.floats(0, 0.3))
@settings(max_examples=40)  # a plan is a search of some 10 ms
def test_from_sixteen_seconds_on_every_promise_can_be_given(within, rtt):
    assert plan(within=within, rtt=rtt).within == within


@pytest.mark.parametrize("rtt", [0.0, 0.02, 0.1, 0.2, 0.6])
@pytest.mark.parametrize("stalled", [False, True])
def test_the_smallest_promise_is_given_and_a_smaller_one_is_not(rtt, stalled):
    least = smallest(rtt=rtt, allow_stalled_reader=stalled)
    assert plan(within=least, rtt=rtt, allow_stalled_reader=stalled).within == least
    with pytest.raises(ConfigError, match=f"smallest promise is {least:g} s") as caught:
        plan(within=least - 0.02, rtt=rtt, allow_stalled_reader=stalled)
    assert caught.value.field == "within"
    assert "heartbeats" in caught.value.hint


def test_six_seconds_on_a_lan_can_be_promised_and_five_cannot():
    assert 5.9 < smallest(rtt=0) <= 6.0
    assert plan(within=6).rtt < 0.02
    with pytest.raises(ConfigError):
        plan(within=5)


def test_a_gap_between_whole_seconds_is_named_with_the_next_promise():
    with pytest.raises(ConfigError, match=r"whole seconds.*next promise is 9\.\d") as e:
        plan(within=9, rtt=0)
    following = float(e.value.hint.split()[-2])
    assert plan(within=following, rtt=0).within == following


@pytest.mark.parametrize("within", [6, 7, 8, 9, 10, 12])
def test_whole_promises_have_room_for_a_real_path(within):
    assert plan(within=within, defaults=Defaults(hz=250)).rtt >= 0.05


def test_a_kernel_whose_ticks_are_known_leaves_room_for_longer_paths():
    known = plan(within=10, rtt=0.2, defaults=Defaults(hz=250))
    assert known.assessment.worst <= 10
    with pytest.raises(ConfigError, match="smallest promise is 10"):
        plan(within=10, rtt=0.2)


@pytest.mark.parametrize("within", [0, -1, math.nan, math.inf, "10", None, 86_401])
def test_what_is_no_promise_is_refused_by_name(within):
    with pytest.raises(ConfigError, match="within"):
        plan(within=within)


@pytest.mark.parametrize("rtt", [-0.1, math.nan, "fast"])
def test_what_is_no_round_trip_is_refused_by_name(rtt):
    with pytest.raises(ConfigError, match="rtt"):
        plan(within=10, rtt=rtt)


@given(within=st.floats(6, 100), hz=st.sampled_from([100, 250, 300, 1000]))
@settings(max_examples=40)
def test_no_plan_is_warned_of_taking_one_lost_probe_for_a_death(within, hz):
    try:
        made = plan(within=within, defaults=Defaults(hz=hz))
    except ConfigError:
        assume(condition=False)
    assert not [w for w in made.assessment.warnings if "one lost probe" in w]


def test_a_path_that_is_too_long_for_any_promise_is_refused_in_words():
    for ask in (lambda: plan(within=10, rtt=9), lambda: smallest(rtt=9)):
        with pytest.raises(ConfigError, match="cannot be promised"):
            ask()


def test_a_stalled_reader_is_never_ended_where_that_was_asked_for():
    made = plan(within=30, allow_stalled_reader=True)
    assert made.keepalive.user_timeout == 0
    assert made.assessment.longest_pause == math.inf
    assert plan(within=30).assessment.longest_pause < 30


def test_a_plan_that_nothing_can_keep_says_why_instead_of_naming_a_smallest():
    with pytest.raises(ConfigError, match="outage of an eighth"):
        plan(within=86_400, allow_stalled_reader=True)


def test_a_platform_without_the_options_gets_no_promise_but_a_way_out():
    options = {name: LINUX.options[name] for name in ("idle", "interval")}
    bare = replace(LINUX, name="bare", options=options)
    with pytest.raises(UnsupportedError, match="heartbeats") as caught:
        plan(within=10, platform=bare)
    assert caught.value.option == "user_timeout"


def test_a_hasty_plan_is_told_what_is_wrong_with_it():
    hasty = assess(Keepalive(idle=1, interval=1, probes=1, user_timeout=1))
    assert any("one lost probe" in warning for warning in hasty.warnings)
    assert hasty.survives == 0


def test_the_systems_defaults_are_judged_as_what_they_are():
    judged = assess(Keepalive(on=True))
    assert 7875 <= judged.bound(State.IDLE).latest <= 7875 * 1.13
    assert any("Azure" in warning for warning in judged.warnings)
    off = assess(Keepalive())
    assert off.worst == math.inf
    assert off.traffic.packets == 0


def test_the_traffic_of_an_idle_hour_is_probes_and_answers():
    traffic = assess(Keepalive(idle=60, interval=10, probes=3)).traffic
    assert traffic.packets == 120
    assert (traffic.ipv4_bytes, traffic.ipv6_bytes) == (120 * 52, 120 * 72)


def test_many_retries_of_the_system_make_no_search_long(monkeypatch):
    built = []
    build = persist_schedule

    def counted(*given):
        built.append(given)
        return build(*given)

    monkeypatch.setattr(window_probes, "persist_schedule", counted)
    with pytest.raises(ConfigError):
        # Numbers of its own, so that no other test has filled the cache.
        plan(within=5, defaults=Defaults(retries=255, rto_min=0.21))
    assert len(built) < 1000  # each of 255 steps; a search asks ten thousand times
