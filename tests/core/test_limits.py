"""Limits: values that cannot work are refused by name."""

import math

import pytest

from deadpeer.core.limits import Limits
from deadpeer.errors import ConfigError


@pytest.mark.parametrize(
    "name",
    ["handshake_timeout", "frame_timeout", "heartbeat_gap", "longest_patience"],
)
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, 1e308, "1", None, True])
def test_a_duration_that_cannot_work_is_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=name) as caught:
        Limits(**{name: value})
    assert caught.value.field == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("largest_message", -1),
        ("largest_message", 2**32),
        ("largest_hello", 23),
        ("largest_hello", 65544),
        ("strikes", 0),
        ("strikes", 2.0),
        ("strikes", True),
    ],
)
def test_a_number_that_cannot_work_is_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=name) as caught:
        Limits(**{name: value})
    assert caught.value.field == name


def test_the_memory_of_a_peer_is_a_message_and_a_frame():
    assert Limits(largest_message=0).most_bytes == 16387
    assert Limits(largest_message=1000).most_bytes == 17387
    assert Limits(largest_message=0, largest_hello=65543).most_bytes == 65543
