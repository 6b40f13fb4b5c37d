import re
import time
from pathlib import Path

import pytest

from deadpeer.errors import LabError
from deadpeer.lab import false_time
from deadpeer.lab.false_time import FalseTime, find_library
from deadpeer.lab.leash import Child

CLOCKS = """
import asyncio, os, subprocess, sys, threading, time
from deadpeer.lab.false_time import leave_no_trace
leave_no_trace()
from deadpeer.lab.leash import child_channel

def clocks():
    return {
        "wall": time.time(),
        "datetime": __import__("datetime").datetime.now().timestamp(),
        "monotonic": time.monotonic(),
        "boot": time.clock_gettime(time.CLOCK_BOOTTIME),
        "loop": asyncio.new_event_loop().time(),
    }

lines, _ = child_channel(sys.argv)
lines.send({"running": True})
while (order := lines.wait()) is not None:
    answer = clocks()
    began = time.monotonic()
    asyncio.run(asyncio.sleep(order.get("wait", 0)))
    answer["waited"] = time.monotonic() - began
    lines.send(answer)
"""
FAKED = ("wall", "datetime")
TRUE = ("monotonic", "boot", "loop")


@pytest.fixture(autouse=True)
def library():
    try:
        find_library()
    except LabError as error:
        pytest.skip(str(error))


@pytest.fixture
def false_clock():
    with FalseTime() as clock:
        yield clock


@pytest.fixture
def child(tmp_path, monkeypatch, false_clock):
    (tmp_path / "clocks.py").write_text(CLOCKS, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with Child("clocks", surroundings=false_clock.surroundings) as child:
        child.hear()
        yield child


def differences(one, other):
    return {name: other[name] - one[name] for name in one if name != "waited"}


@pytest.mark.parametrize("seconds", [3600, -3600, 10 * 365 * 86400])
def test_the_wall_clock_steps_and_no_other(child, false_clock, seconds):
    before = child.ask()
    real_before = time.time() - time.monotonic()
    false_clock.step(seconds)
    stepped = differences(before, child.ask())

    for name in FAKED:
        assert seconds <= stepped[name] < seconds + 5
    for name in TRUE:
        assert 0 <= stepped[name] < 5
    assert time.time() - time.monotonic() == pytest.approx(real_before, abs=1)


def test_a_clock_can_be_set_back_again(child, false_clock):
    before = child.ask()
    false_clock.step(3600)
    false_clock.step(-3600)

    assert all(0 <= d < 5 for d in differences(before, child.ask()).values())


def test_an_event_loop_waits_as_long_as_ever(child, false_clock):
    child.tell(wait=0.3)
    false_clock.step(-3600)

    assert 0.3 <= child.hear()["waited"] < 5


def test_nothing_is_left_behind_by_a_child_that_is_killed(child, false_clock):
    left = re.compile(rf"faketime_\w+_{child.pid}$")
    child.kill()

    assert not [f for f in Path("/dev/shm").iterdir() if left.search(f.name)]  # noqa: S108
    # Its time of day is in no directory at all.
    assert str(false_clock.fd) in false_clock.surroundings["FAKETIME_TIMESTAMP_FILE"]


def test_without_the_library_the_lab_says_what_to_install(monkeypatch):
    monkeypatch.setattr(false_time, "PLACES", ("/nowhere/*.so",))
    find_library.cache_clear()
    try:
        with pytest.raises(LabError, match="apt-get install libfaketime"):
            FalseTime()
    finally:
        find_library.cache_clear()
