import math
import random
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from deadpeer.lab.wire.lane import Drop, Lane
from deadpeer.lab.wire.weather import CALM, CUT, Weather

seconds = st.floats(0, 2)


@st.composite
def weathers(draw, **fixed):
    delay = draw(seconds)
    values = {
        "delay": delay,
        "jitter": draw(st.floats(0, delay)),
        "keeps_order": draw(st.booleans()),
        "loss": draw(st.floats(0, 1)),
        "bandwidth": draw(st.just(math.inf) | st.floats(1e4, 1e9)),
        "queue": draw(st.integers(65_600, 1_000_000)),
    }
    return Weather(**(values | fixed))


# Packets as they come: seconds after the one before, and bytes.
packets = st.lists(st.tuples(seconds, st.integers(40, 1514)), min_size=1, max_size=60)


def journey(weather, packets, seed=0):
    """Send packets down a lane, and return when each came and what became of it."""
    lane = Lane(random.Random(seed).random)  # noqa: S311 - weather
    lane.weather = weather
    now, found = 100.0, []
    for pause, size in packets:
        now += pause
        found.append((now, size, lane.admit(size, now=now)))
    return found


def arrivals(found):
    return [(now, size, due) for now, size, due in found if isinstance(due, float)]


@given(weathers(), packets)
def test_no_packet_is_early_and_none_is_later_than_the_longest_way(weather, packets):
    for now, size, due in arrivals(journey(weather, packets)):
        least = now + size * 8 / weather.bandwidth + weather.delay - weather.jitter

        assert least - 1e-6 <= due <= now + weather.longest + 1e-6


@given(weathers(keeps_order=True), packets)
def test_packets_arrive_in_order_where_order_is_kept(weather, packets):
    dues = [due for _, _, due in arrivals(journey(weather, packets))]

    assert dues == sorted(dues)


@given(weathers(jitter=0.0, loss=0.0), packets)
def test_a_line_carries_no_more_than_its_bandwidth(weather, packets):
    assume(math.isfinite(weather.bandwidth))
    for (_, _, before), (_, size, due) in pairwise(arrivals(journey(weather, packets))):
        assert due - before >= size * 8 / weather.bandwidth - 1e-6


@given(weathers(loss=0.0), packets)
def test_only_a_full_queue_drops_in_good_weather(weather, packets):
    room = weather.queue * 8 / weather.bandwidth
    free_at = 0.0
    for now, size, due in journey(weather, packets):
        waits = max(0.0, free_at - now)
        took = size * 8 / weather.bandwidth
        if due is Drop.OVERFLOWED:
            # What is half on the line takes its whole room.
            assert waits + took > room - 1514 * 8 / weather.bandwidth - 1e-6
        else:
            assert waits + took <= room + 1e-6
            free_at = max(free_at, now) + took


@given(weathers(), packets, st.integers())
def test_the_same_seed_is_the_same_weather(weather, packets, seed):
    assert journey(weather, packets, seed) == journey(weather, packets, seed)


@given(packets)
def test_a_cut_passes_nothing_and_calm_everything_at_once(packets):
    assert all(due is Drop.LOST for _, _, due in journey(CUT, packets))
    assert all(due == now for now, _, due in journey(CALM, packets))


MANY = 100_000


def losses(loss, burst):
    found = journey(Weather(loss=loss, burst=burst), [(0.0, 100)] * MANY, seed=1)
    return [due is Drop.LOST for _, _, due in found]


@pytest.mark.parametrize("loss", [0.004, 0.05, 0.3, 0.7])
@pytest.mark.parametrize("burst", [None, 3.0, 20.0])
def test_loss_comes_to_the_part_that_was_asked_for(loss, burst):
    lost = losses(loss, burst)
    in_a_row = burst or 1.0
    spread = math.sqrt(MANY * loss * (1 - loss) * (2 * in_a_row - 1))

    assert abs(sum(lost) - MANY * loss) < 5 * spread


@pytest.mark.parametrize("burst", [None, 3.0, 20.0])
def test_losses_come_in_bursts_as_long_as_was_asked_for(burst):
    loss = 0.1
    lost = losses(loss, burst)
    begun = sum(now and not before for before, now in pairwise(lost))

    # Losses that know nothing of each other come in a row too, now and then.
    assert sum(lost) / begun == pytest.approx(burst or 1 / (1 - loss), rel=0.1)


def test_the_part_that_overtakes_is_what_was_asked_for():
    weather = Weather(delay=0.5, reorder=0.25)
    found = journey(weather, [(0.001, 100)] * 10_000, seed=2)
    overtook = sum(due == now for now, _, due in found)

    assert abs(overtook - 2500) < 5 * math.sqrt(10_000 * 0.25 * 0.75)


def test_a_packet_lost_on_a_line_took_its_time_there():
    lane = Lane(iter([0.0, 0.9]).__next__)
    lane.weather = Weather(loss=0.5, bandwidth=8000)

    assert lane.admit(1000, now=10.0) is Drop.LOST
    assert lane.admit(1000, now=10.0) == pytest.approx(12.0)


def test_the_weather_can_change_while_packets_wait():
    lane = Lane(lambda: 0.5)
    lane.weather = Weather(bandwidth=8000)
    lane.admit(1000, now=10.0)
    assert lane.waiting(now=10.5) == 1000
    lane.weather = CALM

    assert lane.admit(1000, now=10.5) == pytest.approx(11.0)  # behind the first
    assert lane.waiting(now=11.5) == 0
