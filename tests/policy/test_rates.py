"""A rate is read as people write it, and written so that it can be read."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.errors import ConfigError
from deadpeer.policy.rates import in_words, per_second


@pytest.mark.parametrize(
    ("written", "rate"),
    [
        ("1/week", 1 / 604_800),
        ("2 / day", 2 / 86_400),
        ("0.5/hour", 0.5 / 3600),
        ("1/month", 1 / 2_592_000),
        ("1/year", 1 / 31_536_000),
        (0.25, 0.25),
        (3, 3.0),
    ],
)
def test_a_rate_is_read(written, rate):
    assert per_second("x", written) == pytest.approx(rate)


@pytest.mark.parametrize(
    "value",
    [
        *("", "week", "1/fortnight", "-1/day", "0/day", "1//day", "9" * 400 + "/day"),
        *(0, -1, math.nan, math.inf, None, True, 10**400, 1e-40, "1e400/day"),
    ],
)
def test_what_is_no_rate_is_refused_with_an_example(value):
    with pytest.raises(ConfigError, match="1/week") as caught:
        per_second("mistakes_at_most", value)

    assert caught.value.field == "mistakes_at_most"


@given(rate=st.floats(1e-9, 1e6))
def test_what_is_written_can_be_read(rate):
    written = in_words(rate)

    if "e" in written.split("/")[0]:
        return  # beyond what people write
    assert per_second("x", written) == pytest.approx(rate, rel=6e-3)
