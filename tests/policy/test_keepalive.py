"""The value: what it takes, how it rounds, and how it refuses."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.errors import ConfigError, UnsupportedError
from deadpeer.platforms import LINUX, Defaults, Platform
from deadpeer.policy import Keepalive

DURATIONS = ("idle", "interval", "user_timeout", "rto_max")


@pytest.mark.parametrize("name", [*DURATIONS, "probes"])
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, "5", True, [], 1j])
def test_a_value_that_is_no_number_of_seconds_or_probes_is_refused_by_name(name, value):
    with pytest.raises(ConfigError) as caught:
        Keepalive(**{name: value})
    assert caught.value.field == name
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("name", [*DURATIONS, "probes"])
def test_a_whole_number_that_is_larger_than_any_float_is_refused(name):
    with pytest.raises(ConfigError, match=name):
        Keepalive(**{name: 10**400})


@pytest.mark.parametrize("name", ["idle", "interval", "probes", "rto_max"])
def test_zero_is_refused_where_it_means_nothing(name):
    with pytest.raises(ConfigError, match=name):
        Keepalive(**{name: 0})


def test_a_user_timeout_of_zero_switches_it_off():
    assert Keepalive(user_timeout=0).in_units() == {"user_timeout": 0}


@pytest.mark.parametrize(
    ("name", "value", "nearest"),
    [
        ("idle", 32768, "32767"),
        ("interval", 1e300, "32767"),
        ("probes", 128, "127"),
        ("user_timeout", 2**31 / 1000, "2147483.647"),
        ("user_timeout", 1.7e308, "2147483.647"),
        ("rto_max", 0.5, "1"),
        ("rto_max", 121, "120"),
    ],
)
def test_a_value_out_of_range_names_the_option_the_range_and_the_nearest(
    name, value, nearest
):
    with pytest.raises(ConfigError) as caught:
        Keepalive(**{name: value}).in_units()
    assert caught.value.field == name
    assert LINUX.options[name].name in str(caught.value)
    assert str(caught.value).endswith(nearest)


@given(seconds=st.floats(0.001, 32767))
def test_rounding_is_up_and_by_less_than_one_unit(seconds):
    units = Keepalive(idle=seconds, user_timeout=seconds).in_units()
    assert units["idle"] - 1 < seconds <= units["idle"] + 1e-4
    assert (
        units["user_timeout"] - 1.001 < seconds * 1000 <= units["user_timeout"] + 1e-4
    )


@given(milliseconds=st.integers(1, 2**31 - 1), seconds=st.integers(1, 32767))
def test_what_the_kernel_holds_goes_back_unchanged(milliseconds, seconds):
    units = {"idle": seconds, "user_timeout": milliseconds}
    assert Keepalive.from_units(units).in_units() == units


def test_units_come_in_the_order_of_application():
    settings = Keepalive(rto_max=1, user_timeout=5, probes=3, interval=1, idle=2)
    assert list(settings.in_units()) == [
        "idle", "interval", "probes", "user_timeout", "rto_max",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        (Keepalive(), None),
        (Keepalive(user_timeout=5), None),
        (Keepalive(rto_max=5), None),
        (Keepalive(idle=5), True),
        (Keepalive(probes=5), True),
        (Keepalive(interval=5, on=False), False),
        (Keepalive(on=True), True),
    ],
)
def test_timing_turns_keepalive_on_and_nothing_else_does(settings, wanted):
    assert settings.wants_on is wanted


def test_a_switch_that_is_no_switch_is_refused():
    with pytest.raises(ConfigError, match="on='yes'"):
        Keepalive(on="yes")


def test_an_option_that_the_platform_lacks_is_refused_before_anything_is_done():
    bare = Platform(name="bare", title="Bare", options={}, absent={"idle": "a sysctl"})
    with pytest.raises(UnsupportedError, match="in its place: a sysctl") as caught:
        Keepalive(idle=5).in_units(bare)
    assert (caught.value.option, caught.value.platform) == ("idle", "bare")


def test_gaps_are_filled_from_the_system():
    effective = Keepalive(idle=60).over(Defaults(interval=10, probes=4))
    assert effective == Keepalive(
        idle=60, interval=10, probes=4, user_timeout=0.0, rto_max=120.0, on=True
    )
    assert Keepalive().over(Defaults()).on is False
