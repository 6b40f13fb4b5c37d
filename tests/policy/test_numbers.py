"""What is no usable number is refused by name, whatever it is."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.errors import ConfigError
from deadpeer.policy.keepalive import require_seconds
from deadpeer.policy.numbers import (
    is_number,
    require_between,
    require_bool,
    require_share,
    require_whole,
)

NO_NUMBERS: list[object] = [None, "1", True, False, [], 1j, Fraction(1, 2), object]
CHECKS = {
    "require_between": lambda value: require_between("x", value, 0, 9),
    "require_seconds": lambda value: require_seconds("x", value, zero=True, most=9),
    "require_share": lambda value: require_share("x", value),
    "require_whole": lambda value: require_whole("x", value, 0, 9),
}


def refused(check, value) -> ConfigError:
    with pytest.raises(ConfigError, match="x=") as caught:
        check(value)
    assert caught.value.field == "x"
    assert caught.value.value is value
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_refused(check, value):
    assert not is_number(value)
    refused(check, value)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1, 10, 10**400])
def test_what_is_in_no_range_is_refused(check, value):
    refused(check, value)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_zero_is_a_number_and_belongs_to_these_ranges(check):
    assert check(0) == 0
    assert is_number(0)


@given(value=st.floats(0, 9))
def test_a_number_in_the_range_is_what_it_was(value):
    assert require_between("x", value, 0, 9) == value
    assert require_seconds("x", value, zero=True, most=9) == value


def test_both_ends_belong_to_a_range_and_one_is_no_share():
    assert [require_whole("x", n, 2, 3) for n in (2, 3)] == [2, 3]
    assert isinstance(require_between("x", 9, 0, 9), float)
    refused(CHECKS["require_share"], 1.0)
    refused(CHECKS["require_whole"], 3.0)
    assert require_seconds("x", 9, most=9) == 9


def test_the_hint_names_the_range():
    assert "0 to 9" in refused(CHECKS["require_between"], 10).hint
    assert "0 to 9" in refused(CHECKS["require_whole"], 10).hint
    assert "at most 9" in refused(CHECKS["require_seconds"], 10).hint
    with pytest.raises(ConfigError) as caught:
        require_share("x", 2, remark="; ask a doctor")
    assert caught.value.hint.endswith("1; ask a doctor")


@pytest.mark.parametrize("value", [None, 0, 1, "yes", math.nan])
def test_only_true_and_false_are_a_yes_or_no(value):
    with pytest.raises(ConfigError, match="neither True nor False") as caught:
        require_bool("x", value, hint="True is better")
    assert (caught.value.field, caught.value.hint) == ("x", "True is better")
    assert require_bool("x", value=True, hint="") is True
