import math

import pytest

from deadpeer.errors import ConfigError
from deadpeer.lab.plain import from_plain, to_plain
from deadpeer.lab.wire.weather import CALM, CUT, LONGEST, Weather

IMPOSSIBLE = [
    {"delay": -0.1},
    {"delay": math.inf},
    {"delay": math.nan},
    {"delay": 0.1, "jitter": 0.2},
    {"delay": 0.1, "jitter": -0.1},
    {"loss": 1.5},
    {"loss": -0.1},
    {"loss": math.nan},
    {"reorder": 2},
    {"bandwidth": 0},
    {"bandwidth": math.nan},
    {"queue": LONGEST - 1},
    {"loss": 0.1, "burst": 0.5},
    {"loss": 0.1, "burst": math.inf},
    # One lost for each that passes is the least; nine need nine in a row.
    {"loss": 0.9, "burst": 8.9},
]


@pytest.mark.parametrize("values", IMPOSSIBLE, ids=str)
def test_weather_that_cannot_be_is_refused_by_name(values):
    with pytest.raises(ConfigError) as caught:
        Weather(**values)

    assert caught.value.field in values
    assert caught.value.value is values[caught.value.field]
    assert caught.value.hint


@pytest.mark.parametrize(
    "weather",
    [CALM, CUT, Weather(delay=0.1, jitter=0.1, loss=0.9, burst=9.0, bandwidth=1e6)],
)
def test_weather_travels_to_the_wires_process_and_back(weather):
    assert from_plain(Weather, to_plain(weather)) == weather


def test_the_longest_way_is_through_a_full_queue():
    weather = Weather(bandwidth=1e6, queue=125_000, delay=0.2, jitter=0.1)

    assert weather.longest == pytest.approx(1.3)
    assert CALM.longest == 0
