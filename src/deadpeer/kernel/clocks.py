"""
Notice that the machine slept: a laptop that was closed, a host in standby.

The clock of an event loop may stop in a sleep, and then everybody else seems to
have been silent for a moment only. Most systems have one clock that stops and
one that goes on; which they are is a row of data.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from deadpeer.core.suspend import Look, slept_between

__all__ = ["CLOCK_PAIRS", "ClockPair", "SuspendClock", "clock_pair"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockPair:
    """
    The clocks of one system, as the time module calls them.

    Args:
        system: What ``sys.platform`` starts with.
        stops: The clock that stops in a sleep; empty if there is none.
        goes_on: The clock that goes on in a sleep; empty if there is none.
        note: What follows from that.
    """

    system: str
    stops: str = ""
    goes_on: str = ""
    note: str = ""


# Source: clock_getres(2) for Linux; clock_gettime_nsec_np(3) for macOS;
# clock_gettime(2) of OpenBSD; FreeBSD sys/sys/_clock_id.h, where CLOCK_BOOTTIME is
# another name of CLOCK_MONOTONIC; PEP 418 for Windows.
CLOCK_PAIRS = (
    ClockPair(
        system="linux",
        stops="CLOCK_MONOTONIC",
        goes_on="CLOCK_BOOTTIME",
        note="Python's monotonic clock stops.",
    ),
    ClockPair(
        system="android",
        stops="CLOCK_MONOTONIC",
        goes_on="CLOCK_BOOTTIME",
        note="Python's monotonic clock stops.",
    ),
    # CLOCK_MONOTONIC goes on as well, but NTP steers it.
    ClockPair(
        system="darwin",
        stops="CLOCK_UPTIME_RAW",
        goes_on="CLOCK_MONOTONIC_RAW",
        note="Python's monotonic clock stops.",
    ),
    ClockPair(
        system="openbsd",
        stops="CLOCK_UPTIME",
        goes_on="CLOCK_MONOTONIC",
        note="Python's monotonic clock goes on: a sleep is lateness too.",
    ),
    ClockPair(
        system="freebsd",
        stops="CLOCK_MONOTONIC",
        note="No clock goes on: a sleep cannot be told.",
    ),
    ClockPair(
        system="win32",
        goes_on="CLOCK_MONOTONIC",
        note="Python's monotonic clock goes on: a sleep looks like lateness.",
    ),
)

UNKNOWN = ClockPair(system="", note="Nothing is known: a sleep cannot be told.")


def clock_pair(system: str = sys.platform) -> ClockPair:
    """
    Return the clocks of a system.

    Args:
        system: As ``sys.platform`` says it.
    """
    for pair in CLOCK_PAIRS:
        if system.startswith(pair.system):
            return pair
    return UNKNOWN


class SuspendClock:
    """
    Tells how long the machine slept since it was last asked.

    Args:
        pair: The clocks to compare; those of this system if None.
    """

    __slots__ = ("_goes_on", "_reference", "_stops")

    def __init__(self, pair: ClockPair | None = None) -> None:
        pair = clock_pair() if pair is None else pair
        self._stops = _reader(pair.stops)
        self._goes_on = _reader(pair.goes_on)
        self._reference = self._look()

    @property
    def can_tell(self) -> bool:
        """Whether this system has the clocks that it takes."""
        return self._reference is not None

    def slept(self) -> float:
        """
        Return the seconds for which the machine slept since this was last told.

        What is too short to be told adds up with what comes. Where the system
        cannot tell it is always 0.
        """
        reference, look = self._reference, self._look()
        if reference is None or look is None:
            return 0.0
        slept = slept_between(reference, look)
        if slept:
            self._reference = look
        return slept

    def _look(self) -> Look | None:
        stops, goes_on = self._stops, self._goes_on
        if stops is None or goes_on is None:
            return None
        return Look(before_at=stops(), whole_at=goes_on(), after_at=stops())


def _reader(name: str) -> Callable[[], float] | None:
    number = getattr(time, name, None) if name else None
    if number is None:
        return None

    def read() -> float:
        return time.clock_gettime(number)

    try:
        read()
    except OSError:  # known to Python, and not to this kernel
        return None
    return read
