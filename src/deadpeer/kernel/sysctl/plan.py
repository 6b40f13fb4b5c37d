"""
One promise, ``within``, turned into the three system settings of keepalive.

The system has no user timeout to set, so these settings bound the death of an
idle peer and of no other.
"""

import math
from bisect import bisect_right

from deadpeer.errors import ConfigError
from deadpeer.kernel.sysctl.table import setting_named
from deadpeer.platforms import Defaults
from deadpeer.policy import Keepalive, State, assess

__all__ = ["plan_idle"]

# A live peer survives an outage of one part in eight of the promise, as in
# deadpeer.policy.plan; and one lost probe is no death (RFC 1122, 4.2.3.6).
OUTAGE = 1 / 8
PROBES = (5, 4, 3, 2)

# The longest round trip that is planned for, in seconds.
ROUND_TRIP = 0.2
DAY = 86_400

# What a socket option can express, in seconds; see table.py.
LONGEST = setting_named("time").highest


def plan_idle(within: float, *, defaults: Defaults | None = None) -> dict[str, int]:
    """
    Return the settings that find a dead, idle peer in time and probe the least.

    Args:
        within: Seconds from the death of an idle peer to its report.
        defaults: The system's other settings; Linux' own if None.

    Returns:
        ``time`` and ``interval`` in seconds, and ``probes``.

    Raises:
        ConfigError: No settings keep this promise.

    >>> plan_idle(60.0)
    {'time': 43, 'interval': 2, 'probes': 5}
    """
    if not (math.isfinite(within) and within > 0):
        raise ConfigError(
            f"within={within!r} is not a time",
            hint="give seconds, such as --within 8",
            field="within",
            value=within,
        )
    if within > DAY:
        raise ConfigError(
            f"within={within:g} is longer than a day",
            hint="the longest promise is 86400 s",
            field="within",
            value=within,
        )
    plans = [plan for probes in PROBES if (plan := _longest(within, probes, defaults))]
    if not plans:
        raise ConfigError(
            f"within={within:g} cannot be promised by system settings",
            hint=f"the smallest promise is {_smallest(defaults):g} s; for less use"
            " heartbeats",
            field="within",
            value=within,
        )
    return max(plans, key=lambda plan: plan["time"])


def _longest(
    within: float, probes: int, defaults: Defaults | None
) -> dict[str, int] | None:
    """Return the settings with this many probes and the longest idle time."""
    interval = max(1, math.ceil((within * OUTAGE + ROUND_TRIP) / (probes - 1)))
    times = range(1, min(math.floor(within), LONGEST) + 1)
    in_time = bisect_right(
        times, within, key=lambda time: _latest(time, interval, probes, defaults)
    )
    if not in_time:
        return None
    return {"time": times[in_time - 1], "interval": interval, "probes": probes}


def _latest(time: int, interval: int, probes: int, defaults: Defaults | None) -> float:
    keepalive = Keepalive(idle=time, interval=interval, probes=probes)
    judged = assess(keepalive, rtt=ROUND_TRIP, defaults=defaults)
    return judged.bound(State.IDLE).latest


def _smallest(defaults: Defaults | None) -> float:
    return math.ceil(_latest(1, 1, min(PROBES), defaults) * 10) / 10
