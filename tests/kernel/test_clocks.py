import sys
import time
from types import SimpleNamespace

import pytest

from deadpeer.kernel.clocks import CLOCK_PAIRS, ClockPair, SuspendClock, clock_pair

linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads Linux's clocks"
)


@linux
def test_this_machine_can_tell_and_is_awake():
    clock = SuspendClock()
    assert clock.can_tell
    assert [clock.slept() for _ in range(100)] == [0.0] * 100


@pytest.fixture
def machine(monkeypatch):
    """A machine that has slept for as long as a test says."""
    machine = SimpleNamespace(slept=0.0)
    read = time.clock_gettime

    def asleep(number):
        is_whole = number == time.CLOCK_BOOTTIME
        return read(number) + (machine.slept if is_whole else 0.0)

    monkeypatch.setattr(time, "clock_gettime", asleep)
    return machine


@linux
def test_a_sleep_is_told_once(machine):
    clock = SuspendClock()
    assert clock.slept() == 0.0
    machine.slept = 3600.0
    assert clock.slept() == pytest.approx(3600.0, abs=1.0)
    assert clock.slept() == 0.0
    machine.slept += 60.0
    assert clock.slept() == pytest.approx(60.0, abs=1.0)


@linux
def test_short_sleeps_add_up_until_they_are_worth_telling(machine):
    clock = SuspendClock()
    told = 0.0
    for _ in range(40):
        machine.slept += 0.05
        told += clock.slept()
    assert 1.5 < told < 2.1


@pytest.mark.parametrize(
    "pair",
    [
        clock_pair("win32"),
        clock_pair("freebsd14"),
        clock_pair("plan9"),
        ClockPair(system="x", stops="CLOCK_NONE", goes_on="CLOCK_NONE"),
    ],
)
def test_a_system_without_the_two_clocks_says_that_it_cannot_tell(pair):
    clock = SuspendClock(pair)
    assert not clock.can_tell
    assert clock.slept() == 0.0


def test_a_clock_that_the_kernel_does_not_know_is_not_there(monkeypatch):
    monkeypatch.setattr(time, "CLOCK_UNHEARD_OF", 12345, raising=False)
    pair = ClockPair(system="x", stops="CLOCK_UNHEARD_OF", goes_on="CLOCK_UNHEARD_OF")
    assert not SuspendClock(pair).can_tell


def test_each_system_has_one_row_that_says_what_follows():
    systems = [pair.system for pair in CLOCK_PAIRS]
    assert len(set(systems)) == len(systems)
    assert all(pair.note for pair in CLOCK_PAIRS)
    assert clock_pair("openbsd7").stops == "CLOCK_UPTIME"


@pytest.mark.parametrize("pair", CLOCK_PAIRS, ids=lambda pair: pair.system)
def test_the_two_clocks_of_a_row_differ(pair):
    assert pair.stops != pair.goes_on
