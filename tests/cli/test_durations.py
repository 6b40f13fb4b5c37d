"""Durations as people write them."""

import contextlib
import math

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.cli.durations import SECONDS, in_words, rounded_down, rounded_up

UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
durations = st.floats(0, 1e9)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.2, "0.2 s"),
        (0.004, "0 s"),
        (3.949, "3.95 s"),
        (9.999, "10 s"),
        (12.34, "12.3 s"),
        (59.96, "1 min"),
        (60, "1 min"),
        (90.4, "1 min 30 s"),
        (3600, "1 h"),
        (7875, "2 h 11 min 15 s"),
        (86_400, "1 d"),
        (90_061, "1 d 1 h 1 min 1 s"),
        (math.inf, "never"),
    ],
)
def test_a_duration_is_said_in_words(seconds, words):
    assert in_words(seconds) == words


def meant(words: str) -> float:
    parts = words.split()
    return sum(
        float(number) * UNITS[unit]
        for number, unit in zip(parts[::2], parts[1::2], strict=True)
    )


@given(durations)
def test_words_mean_the_duration_as_nearly_as_they_can(seconds):
    grain = 0.01 if seconds < 10 else 0.1 if seconds < 60 else 1

    assert meant(in_words(seconds)) == pytest.approx(seconds, abs=grain * 0.51)


@given(durations)
def test_an_at_least_is_never_more_and_an_at_most_never_less(seconds):
    slack = seconds * 1e-9

    assert meant(in_words(rounded_down(seconds))) <= seconds + slack
    assert meant(in_words(rounded_up(seconds))) >= seconds - slack


@given(durations)
def test_rounding_moves_by_less_than_what_can_be_seen(seconds):
    grain = 0.01 if seconds < 10 else 0.1 if seconds < 60 else 1

    assert rounded_up(seconds) - rounded_down(seconds) < grain * 1.01


def test_never_stays_never():
    assert rounded_down(math.inf) == rounded_up(math.inf) == math.inf


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("10", 10),
        ("0.5", 0.5),
        ("500ms", 0.5),
        (" 10 S ", 10),
        ("2min", 120),
        ("2m", 120),
        ("1h", 3600),
        ("1d", 86_400),
        ("1e-3", 0.001),
        ("-1", -1),
        (10, 10),
    ],
)
def test_a_duration_is_read(written, seconds):
    assert SECONDS.convert(written, None, None) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written",
    ["", "ten", "nan", "inf", "1y", "1 2", ".", "1..2", "1e", "0x10", "٣", "1_0"],
)
def test_what_is_no_duration_is_a_wrong_command_line(written):
    with pytest.raises(click.BadParameter, match="is not a duration"):
        SECONDS.convert(written, None, None)


@given(st.text())
def test_any_text_is_a_duration_or_a_wrong_command_line(text):
    with contextlib.suppress(click.BadParameter):
        assert math.isfinite(SECONDS.convert(text, None, None))
