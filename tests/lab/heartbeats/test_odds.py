import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.lab.heartbeats.odds import deliveries, odds_of_silence
from deadpeer.lab.wire.weather import Weather
from deadpeer.platforms import Defaults

SYSTEM = Defaults(hz=1000)
QUICK = Defaults(hz=1000, rto_max=1.0)


def test_each_loss_costs_a_timeout_that_doubles_up_to_the_greatest():
    # 0.3, 0.6, 1.2 at a round trip of 100 ms; the kernel's timers add a little.
    times = deliveries(4, rtt=0.1, defaults=SYSTEM)
    capped = deliveries(8, rtt=0.1, defaults=QUICK)

    assert times == pytest.approx([0, 0.3, 0.9, 2.1], rel=0.13)
    assert all(b - a <= 1.13 for a, b in pairwise(capped))


@given(
    st.floats(0, 0.5),
    st.floats(0.2, 30),
    st.floats(0.2, 30),
    st.sampled_from([SYSTEM, QUICK]),
)
def test_more_patience_is_never_less_sure(loss, one, other, defaults):
    weather = Weather(delay=0.05, loss=loss)
    odds = [
        odds_of_silence(weather, timeout=t, defaults=defaults)
        for t in sorted([one, other])
    ]

    assert 0 <= odds[1] <= odds[0] <= 1 + 1e-9


@pytest.mark.parametrize(("loss", "timeout"), [(0.3, 3.3), (0.3, 5.0), (0.05, 0.5)])
def test_the_odds_are_those_of_throwing_dice(loss, timeout):
    weather = Weather(delay=0.05, loss=loss)
    takes = deliveries(40, rtt=0.1, defaults=SYSTEM)
    dice = random.Random(1)  # noqa: S311 - weather
    count, late = 100_000, 0
    for _ in range(count):
        took = weather.delay * 2
        for _ in ("there", "back"):
            losses = 0
            while dice.random() < loss:
                losses += 1
            took += takes[losses]
        late += took > timeout
    odds = odds_of_silence(weather, timeout=timeout, defaults=SYSTEM)

    assert abs(late - count * odds) < 5 * (count * odds) ** 0.5


def test_everything_lost_is_silence():
    assert odds_of_silence(Weather(loss=1.0), timeout=100.0, defaults=SYSTEM) == 1
