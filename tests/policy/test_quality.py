"""A wish about quality becomes an interval and a timeout, or a reason why not."""

import math
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deadpeer.errors import ConfigError
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.policy.link import Link
from deadpeer.policy.mistakes import SHORTEST, Search, last_below, lowest, rounded_up
from deadpeer.policy.quality import configure
from deadpeer.policy.rates import per_second

LAN = Link(rtt=0.001, variance=1e-8)
CITY = Link(rtt=0.05, variance=25e-6)
MOBILE = Link(rtt=0.2, variance=0.01)

links = st.builds(
    Link,
    rtt=st.floats(1e-4, 2),
    variance=st.one_of(st.just(0.0), st.floats(1e-9, 1)),
    loss=st.one_of(st.just(0.0), st.floats(0, 0.5)),
)
wishes = st.fixed_dictionaries(
    {
        "detect_within": st.floats(0.1, 1000),
        "mistakes_at_most": st.floats(1e-8, 1),
        "mistakes_last_at_most": st.none() | st.floats(0.01, 100),
    }
)


def asked(link=CITY, **wish):
    wish = {"detect_within": 5, "mistakes_at_most": "1/week"} | wish
    return configure(link=link, **wish)


def granted(link, **wish) -> bool:
    try:
        asked(link, **wish)
    except ConfigError:
        return False
    return True


def test_the_wish_of_the_front_page_is_granted():
    quality = asked(detect_within=5, mistakes_at_most="1/week")

    assert quality.detection == pytest.approx(5)
    assert quality.mistakes_every >= 7 * 86_400
    # By hand: miss = V / (V + (τ − E)²) and mistakes every η / miss.
    slack = quality.timeout - 0.05
    by_hand = quality.interval * (25e-6 + slack**2) / 25e-6
    assert quality.mistakes_every == pytest.approx(by_hand)


def test_a_mistake_every_so_often_is_what_chens_bound_says():
    # A worked example: E = 0.1, V = 0.04, η = 4, τ = 2.1: slack 2.
    search = Search(link=Link(rtt=0.1, variance=0.04), rate=1.0)

    assert search.mistakes(4.0, 6.1) == pytest.approx(0.04 / (0.04 + 4) / 4)
    # Scarf: (sqrt(0.04 + 4) − 2) / 2 seconds too late on average, every 4 s.
    assert search.wrongly(4.0, 6.1) == pytest.approx((math.sqrt(4.04) - 2) / 2 / 4)


def test_a_lost_ping_is_a_miss_and_wrong_for_an_interval():
    search = Search(link=Link(rtt=0.1, variance=0.0, loss=0.01), rate=1.0)

    assert search.mistakes(4.0, 6.1) == pytest.approx(0.01 / 4)
    assert search.wrongly(4.0, 6.1) == pytest.approx(0.01)


def test_a_heartbeat_is_made_of_it_in_one_call():
    wish = {"detect_within": 5, "mistakes_at_most": "1/week"}
    quality = asked(**wish)

    made = Heartbeat.for_quality(link=CITY, **wish)

    assert (made.interval, made.timeout) == (quality.interval, quality.timeout)
    assert made.detection == pytest.approx(5)


@given(link=links, wish=wishes)
@settings(max_examples=200)
def test_what_is_granted_keeps_every_part_of_the_wish(link, wish):
    try:
        quality = configure(link=link, **wish)
    except ConfigError:
        return
    rate, last = wish["mistakes_at_most"], wish["mistakes_last_at_most"]

    assert quality.interval >= SHORTEST
    assert quality.detection <= wish["detect_within"] * (1 + 1e-12)
    assert quality.timeout >= 2 * link.rtt + 0.2 - 1e-9
    assert quality.mistakes_every >= 1 / rate * (1 - 1e-9)
    if last is not None:
        assert quality.wrong <= rate * last * (1 + 1e-9)


@given(link=links, wish=wishes)
@settings(max_examples=100)
def test_no_longer_interval_would_do(link, wish):
    try:
        quality = configure(link=link, **wish)
    except ConfigError:
        return
    last = wish["mistakes_last_at_most"] or math.inf
    search = Search(link=link, rate=wish["mistakes_at_most"], last=last)
    most = wish["detect_within"] - search.shortest_timeout
    longer = quality.interval + 0.0011

    for share in range(20):
        interval = longer + (most - longer) * share / 20
        assert interval > most or not search.keeps(interval, wish["detect_within"])


@given(link=links, wish=wishes)
@settings(max_examples=150)
def test_each_offer_of_a_refusal_is_granted(link, wish):
    try:
        configure(link=link, **wish)
    except ConfigError as refused:
        offers = re.findall(r"(\w+)=('[^']*'|[\d.e+-]+)", refused.hint)
    else:
        return
    for name, value in offers:
        if name == "loss" or "e" in value.split("/")[0]:
            continue
        given_value = value.strip("'") if value[0] == "'" else float(value)
        configure(link=link, **(wish | {name: given_value}))


@given(link=links, wish=wishes)
@settings(max_examples=60)
def test_a_wish_is_refused_only_if_no_interval_keeps_it(link, wish):
    try:
        configure(link=link, **wish)
    except ConfigError:
        pass
    else:
        return
    last = wish["mistakes_last_at_most"] or math.inf
    search = Search(link=link, rate=wish["mistakes_at_most"], last=last)
    most = wish["detect_within"] - search.shortest_timeout
    for part in range(1, 500):
        interval = most * part / 500
        assert interval < SHORTEST or not search.keeps(interval, wish["detect_within"])


def test_a_steady_link_needs_no_margin_but_for_one_lost_segment():
    quality = asked(Link(rtt=0.1, variance=0.0))

    assert quality.mistakes_every == math.inf
    assert quality.timeout == pytest.approx(2 * 0.1 + 0.2, abs=0.001)


def test_a_timeout_leaves_four_deviations_for_a_segment_sent_again():
    # RTO = RTT + max(0.2 s, 4·RTTVAR), and one more round trip for the answer.
    search = Search(link=Link(rtt=0.1, variance=0.25), rate=1.0)

    assert search.shortest_timeout == pytest.approx(0.1 + 4 * 0.5 + 0.1)


def test_the_more_is_wished_the_more_often_is_pinged():
    week = asked(LAN, mistakes_at_most="1/week").interval
    year = asked(LAN, mistakes_at_most="1/year").interval
    jittery = asked(CITY, mistakes_at_most="1/week").interval

    assert jittery < year < week
    assert asked(LAN, detect_within=60).interval > 50


def test_traffic_is_told():
    quality = asked(Link(rtt=0.1, variance=0.0), detect_within=20.4)

    assert quality.interval == pytest.approx(20, abs=0.001)
    assert quality.traffic.packets == pytest.approx(3 * 180, rel=1e-3)
    # Three segments of 52 bytes and two heartbeats of three, 180 times an hour.
    assert quality.traffic.ipv4_bytes == pytest.approx(162 * 180, rel=1e-3)


def refusal(link, **wish) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        asked(link, **wish)
    return caught.value


def test_a_refusal_names_what_stands_in_the_way():
    assert "late more often" in refusal(MOBILE).message
    assert "one lost segment" in refusal(LAN, detect_within=0.1).message
    lossy = refusal(Link(rtt=0.05, variance=1e-6, loss=0.01))
    assert "0.01 of all pings are never answered" in lossy.message
    assert "loss=0" in lossy.hint
    too_long = refusal(
        Link(rtt=0.1, variance=25e-4), detect_within=30, mistakes_last_at_most=1
    )
    assert "too much later" in too_long.message
    assert "mistakes_last_at_most=" in too_long.hint


@pytest.mark.parametrize("variance", [0.0, 5e-324, 1e-9])
def test_a_wish_that_leaves_no_time_between_pings_is_refused(variance):
    link = Link(rtt=0.1, variance=variance)
    refused = refusal(link, detect_within=0.4 + SHORTEST / 2)

    assert "leaves no time for an interval" in refused.message
    [soonest] = re.findall(r"detect_within=([\d.]+)", refused.hint)
    assert granted(link, detect_within=float(soonest))


def test_a_refusal_offers_the_soonest_detection():
    [found] = re.findall(r"detect_within=([\d.]+)", refusal(MOBILE).hint)

    soonest = float(found)
    assert granted(MOBILE, detect_within=soonest)
    assert not granted(MOBILE, detect_within=soonest * 0.985)


def test_where_no_time_would_do_none_is_offered():
    hopeless = refusal(
        Link(rtt=0.1, variance=0.0, loss=0.3),
        mistakes_at_most="1/year",
        mistakes_last_at_most=1,
    )

    assert "detect_within=" not in hopeless.hint
    assert hopeless.hint


def test_real_round_trips_make_fewer_mistakes_than_the_bound():
    # Exponential on top of a delay: a long tail, and the bound still holds.
    draw = random.Random(2)  # noqa: S311
    rtts = [0.05 + draw.expovariate(50) for _ in range(50_000)]
    link = Link.from_rtts(rtts)
    quality = asked(link, detect_within=3, mistakes_at_most=0.002)
    missed = sum(rtt > quality.timeout for rtt in rtts)

    assert missed / (len(rtts) * quality.interval) <= 1 / quality.mistakes_every


def test_the_worst_distribution_that_there_is_comes_near_the_bound():
    # Two values: the one for which Cantelli's inequality is an equality.
    link = Link(rtt=0.1, variance=0.0025)
    quality = asked(link, detect_within=5, mistakes_at_most="1/hour")
    slack = quality.timeout - link.rtt
    share = link.variance / (link.variance + slack**2)
    late, early = link.rtt + slack, link.rtt - link.variance / slack

    assert share * late + (1 - share) * early == pytest.approx(link.rtt)
    spread = share * (late - link.rtt) ** 2 + (1 - share) * (early - link.rtt) ** 2
    assert spread == pytest.approx(link.variance)
    assert quality.mistakes_every == pytest.approx(quality.interval / share)


def test_a_link_is_measured_from_round_trips():
    link = Link.from_rtts([0.1, 0.2, 0.6])

    assert link.rtt == pytest.approx(0.3)
    assert link.variance == pytest.approx((0.04 + 0.01 + 0.09) / 2)
    assert link.loss == 0


@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("rtt", lambda: Link(rtt=0, variance=1)),
        ("rtt", lambda: Link(rtt=50_000_000, variance=1)),
        ("variance", lambda: Link(rtt=1, variance=-1)),
        ("variance", lambda: Link(rtt=1, variance=1e300)),
        ("loss", lambda: Link(rtt=1, variance=1, loss=1)),
        ("loss", lambda: Link(rtt=1, variance=1, loss=math.nan)),
        ("loss", lambda: Link(rtt=1, variance=1, loss="no")),
        ("samples", lambda: Link.from_rtts([0.1])),
        ("samples", lambda: Link.from_rtts([0.1, -1])),
        ("samples", lambda: Link.from_rtts([1e308, 1e308])),
        ("samples", lambda: Link.from_rtts(0.1)),
        ("samples", lambda: Link.from_rtts(None)),
        ("detect_within", lambda: asked(detect_within=0)),
        ("detect_within", lambda: asked(detect_within=1e300)),
        ("mistakes_at_most", lambda: asked(mistakes_at_most="often")),
        ("mistakes_last_at_most", lambda: asked(mistakes_last_at_most=0)),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(field, make):
    with pytest.raises(ConfigError) as caught:
        make()

    assert caught.value.field == field
    assert caught.value.hint


def test_the_lowest_point_and_the_last_below_a_limit_are_found():
    def valley(x):
        return (x - 2) ** 2 + 1

    assert lowest(valley, 10.0) == pytest.approx(2, abs=1e-6)
    assert last_below(valley, 5.0, 10.0) == pytest.approx(4)
    assert last_below(valley, 500.0, 10.0) == 10
    assert last_below(valley, 0.5, 10.0) == pytest.approx(2, abs=1e-6)


@given(value=st.floats(1e-20, 1e20))
def test_three_digits_are_never_less(value):
    assert value * (1 - 1e-12) <= rounded_up(value) <= value * 1.0101


def test_an_offered_rate_can_be_given_back():
    [offer] = re.findall(r"mistakes_at_most='([^']+)'", refusal(MOBILE).hint)

    assert granted(MOBILE, mistakes_at_most=offer)
    assert not granted(MOBILE, mistakes_at_most=per_second("", offer) * 0.97)


def test_a_round_trip_time_alone_is_no_link():
    with pytest.raises(ConfigError, match=r"link=0\.05 is no Link"):
        configure(detect_within=5, mistakes_at_most="1/week", link=0.05)
