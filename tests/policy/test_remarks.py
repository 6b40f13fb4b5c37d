"""What a careful engineer says about settings, and that nothing is said of good ones."""

import pytest

from deadpeer.platforms import LINUX, Defaults
from deadpeer.policy.assess import assess
from deadpeer.policy.keepalive import Keepalive

GOOD = {"idle": 70, "interval": 10, "probes": 3, "user_timeout": 95}


def said(*, defaults=None, **settings):
    return assess(
        Keepalive(**settings), platform=LINUX, defaults=defaults or Defaults()
    ).warnings


def said_of(word, **settings):
    return [sentence for sentence in said(**settings) if word in sentence]


@pytest.mark.parametrize(
    ("word", "change"),
    [
        ("never noticed", {"on": False}),
        ("RFC 1122", {"idle": 70, "interval": 30, "user_timeout": 71}),
        ("also spaces answered probes", {"interval": 80}),
        ("reads nothing for 95 s", {}),
        ("probes=3 does not count", {}),
        ("needs Linux 6.15", {"rto_max": 10}),
        ("battery-powered", {"idle": 15}),
        ("is too late for", {"idle": 7200}),
        ("stops while data is in flight", {"user_timeout": None}),
        ("tcp_retries2 counts", {"defaults": Defaults(retries=3)}),
    ],
)
def test_what_should_be_known_is_said(word, change):
    assert said_of(word, **(GOOD | change))


@pytest.mark.parametrize(
    ("word", "change"),
    [
        ("never noticed", {}),
        ("RFC 1122", {}),
        ("also spaces answered probes", {}),
        ("reads nothing", {"user_timeout": None}),
        ("does not count", {"user_timeout": None}),
        ("does not count", {"probes": None}),
        ("needs Linux 6.15", {}),
        ("needs Linux 6.15", {"rto_max": 120}),
        ("battery-powered", {}),
        ("stops while data is in flight", {}),
    ],
)
def test_what_is_not_so_is_not_said(word, change):
    assert not said_of(word, **(GOOD | change))


def test_of_many_boxes_three_are_named_and_the_rest_counted():
    [sentence] = said_of("is too late for", **(GOOD | {"idle": 7200}))

    assert sentence.count(" s)") == 3
    assert "more kinds of box" in sentence
    assert "after 7200 s" in sentence
