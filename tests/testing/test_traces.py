"""Made-up traces have the troubles that were asked for, and come back by seed."""

import random
import statistics
from itertools import pairwise

import pytest

from deadpeer.errors import ConfigError
from deadpeer.testing.traces import Weather, synthesize

BEATS = 20_000


def passages(*, seed=3, beats=BEATS, **weather):
    chance = random.Random(seed)  # noqa: S311
    return synthesize(Weather(**weather), beats=beats, chance=chance).passages


def delays(found):
    return [p.arrived_at - p.sent_at for p in found if p.arrived_at is not None]


def test_a_seed_brings_the_same_trace_back():
    weather = {"loss": 0.1, "stall_every": 50, "step_every": 90, "step": 1.0}

    assert passages(beats=500, **weather) == passages(beats=500, **weather)
    assert passages(beats=500, **weather) != passages(beats=500, seed=4, **weather)


def test_in_calm_weather_every_beat_arrives_after_its_delay():
    found = passages(delay=0.1, jitter=0.0)

    assert {p.sequence - p.sent_at for p in found} == {0}
    assert delays(found) == pytest.approx([0.1] * BEATS, abs=1e-9)


def test_jitter_is_on_top_and_has_its_mean():
    found = delays(passages(delay=0.1, jitter=0.05))

    assert min(found) >= 0.1
    assert statistics.fmean(found) == pytest.approx(0.15, rel=0.02)


def test_losses_come_in_bursts():
    found = passages(burst_loss=0.8, burst_every=200, burst=20)
    lost = [p.arrived_at is None for p in found]
    pairs = list(pairwise(lost))
    after_a_loss = [two for one, two in pairs if one]

    assert statistics.fmean(lost) == pytest.approx(0.8 * 20 / 220, rel=0.3)
    assert statistics.fmean(after_a_loss) > 5 * statistics.fmean(lost)


def test_over_tcp_nothing_is_lost_but_all_behind_a_loss_waits():
    found = passages(loss=0.01, burst_loss=0.9, burst_every=500, resend_after=0.25)
    arrivals = [p.arrived_at for p in found]

    assert None not in arrivals
    assert arrivals == sorted(arrivals)
    assert sum(delay > 0.25 for delay in delays(found)) > 0.005 * BEATS
    assert max(delays(found)) < 100


def test_a_stall_shifts_the_schedule_for_good():
    found = passages(stall_every=1000, stall=5)
    shifts = [p.sent_at - p.sequence for p in found]

    assert all(one <= two + 1e-6 for one, two in pairwise(shifts))
    assert shifts[-1] == pytest.approx(BEATS / 1000 * 5, rel=0.5)


def test_a_route_changes_and_stays_for_a_while():
    found = delays(passages(delay=0.1, jitter=0.0, step_every=1000, step=2.0))

    levels = {round(delay, 6) for delay in found}
    assert 10 < len(levels) < 40
    assert 0.1 <= min(levels) < max(levels) <= 2.1


def test_a_queue_fills_and_drains():
    found = delays(
        passages(delay=0.1, jitter=0.0, bloat_every=500, bloat_for=100, bloat=3.0)
    )

    assert max(found) == pytest.approx(3.1, abs=0.2)
    # Along a straight line: no beat differs much from the one before.
    assert statistics.median(abs(a - b) for a, b in pairwise(found)) < 0.1
    assert min(found) == pytest.approx(0.1)


def test_what_would_be_sent_again_for_ever_is_refused():
    with pytest.raises(ConfigError, match="for ever"):
        passages(loss=1.0, resend_after=0.2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"loss": 2.0},
        {"loss": float("nan")},
        {"burst_loss": -0.1},
        {"delay": -1.0},
        {"jitter": "0.1"},
        {"step_every": 0},
        {"stall_every": -4},
        {"stall": 0},
        {"resend_after": 0},
        {"beats": -1},
        {"beats": "10"},
    ],
    ids=str,
)
def test_weather_that_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError) as caught:
        passages(**wrong)
    assert caught.value.field in wrong


@pytest.mark.parametrize("interval", [0, -1.0, float("nan")])
def test_an_interval_is_a_duration(interval):
    with pytest.raises(ConfigError, match="interval"):
        synthesize(Weather(), beats=3, chance=random.Random(1), interval=interval)  # noqa: S311
