"""
One promise, ``within``, turned into settings that keep it.

The promise runs from the peer's death and survives changes of state. Its worst
case is an idle peer that dies just after it was heard, and a write just before
the last keepalive tick: that write starts the user timeout anew. So the last
tick and the user timeout share ``within``, roughly half and half.

The user timeout also decides which keepalive tick is the last: it must lie
after the tick before, or too few probes would go unanswered, and not after the
last tick itself. That leaves one interval for it.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from deadpeer.errors import ConfigError, UnsupportedError
from deadpeer.platforms import LINUX, Defaults, Platform
from deadpeer.policy.assess import Assessment, assess
from deadpeer.policy.keepalive import Keepalive, require_seconds
from deadpeer.policy.predict import State, predict, unanswered_probes
from deadpeer.policy.timers import lateness

__all__ = ["DAY", "OUTAGE", "Plan", "plan", "smallest"]

DAY = 86_400.0

# A live peer survives an outage of one part in eight of the promise: RFC 1122
# (4.2.3.6) forbids to take one unanswered probe for a death, and a route that
# converges or a switch that restarts takes seconds.
OUTAGE = 1 / 8

# How many probes go unanswered. More of them closer together leave more of the
# promise for the idle time, so live connections cost less; fewer than two are
# no evidence.
PROBES = (5, 4, 3, 2)

# What a path whose round trip nobody named is planned for: the first of these,
# in seconds, that the promise has room for.
USUAL_RTTS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0)

# The intervals among which the smallest promises are looked for, in seconds.
QUICK_INTERVALS = range(1, 12)

# No other state or change of state takes longer than both of these: an idle
# death and a write take in the times of idle and of data in flight.
DECISIVE = (State.IDLE_THEN_WRITE, State.ZERO_WINDOW)

MILLISECOND = 0.001

# The kernel stores rto_max in ticks, rounded up (1001 ms read back as 1004 ms at
# 250 Hz). This many milliseconds are whole ticks at every usual CONFIG_HZ.
WHOLE_TICKS_MS = 20

# The user timeout has to be later than a tick by more than the clock's grain.
GRAIN = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    Settings that keep a promise, and what else they mean.

    Args:
        within: The promise: seconds from a peer's death to its report.
        keepalive: The settings to apply.
        rtt: The longest round-trip time, in seconds, that was planned for.
        assessment: Bounds for each state, traffic, warnings.
    """

    within: float
    keepalive: Keepalive
    rtt: float
    assessment: Assessment


def plan(
    *,
    within: float,
    rtt: float | None = None,
    platform: Platform = LINUX,
    defaults: Defaults | None = None,
    allow_stalled_reader: bool = False,
) -> Plan:
    """
    Return settings under which a peer's death is reported within *within*.

    Whatever the connection is doing when the peer dies, and whatever it does
    afterwards: no later than *within*, after at least two unanswered probes,
    and a live peer survives an outage of ``within / 8`` in every state of an
    established connection.

    Args:
        within: Seconds from the death to its report, a day at the most.
        rtt: The longest round-trip time of the path, in seconds. None plans
            for 0.2 s, or for the largest usual one that *within* has room for;
            the plan says which.
        platform: The row of the system that the socket is on.
        defaults: That system's settings; the platform's own if None.
        allow_stalled_reader: Never end a live peer for not reading. This takes
            ``TCP_RTO_MAX_MS`` (Linux 6.15) in place of the user timeout, and a
            promise of about 20 s or more.

    Returns:
        The plan. Its settings are whole in the platform's units.

    Raises:
        ConfigError: No settings can keep this promise; says which is the
            smallest that can be kept.
        UnsupportedError: The platform lacks an option without which no promise
            holds in every state.

    Source:
        docs/explanation/detection-times.md derives the rules.

    >>> plan(within=10).keepalive
    Keepalive(idle=1, interval=1, user_timeout=3.95)
    """
    require_seconds("within", within)
    if rtt is not None:
        require_seconds("rtt", rtt, zero=True)
    _require_options(platform, allow_stalled_reader=allow_stalled_reader)
    if within > DAY:
        raise ConfigError(
            f"within={within!r} is longer than a day",
            hint="the longest promise is 86400 s",
            field="within",
            value=within,
        )
    return _searched(
        within, rtt, platform, defaults or platform.defaults, allow_stalled_reader
    )


# A server asks for the same promise on every connection that it accepts.
@lru_cache(maxsize=1024)
def _searched(
    within: float,
    rtt: float | None,
    platform: Platform,
    defaults: Defaults,
    stalled_reader: bool,  # noqa: FBT001 -- lru_cache keys are cheaper by position
) -> Plan:
    path = _Path(defaults, platform, stalled_reader=stalled_reader)
    for candidate in USUAL_RTTS if rtt is None else (rtt,):
        best = path.best(within, candidate)
        if best is not None:
            return Plan(
                within=within,
                keepalive=best.keepalive,
                rtt=candidate,
                assessment=best,
            )
    raise _refused(within, USUAL_RTTS[-1] if rtt is None else rtt, path)


def smallest(
    *,
    rtt: float = 0.0,
    platform: Platform = LINUX,
    defaults: Defaults | None = None,
    allow_stalled_reader: bool = False,
) -> float:
    """
    Return the smallest promise that can honestly be given.

    Args:
        rtt: The longest round-trip time of the path, in seconds.
        platform: The row of the system that the socket is on.
        defaults: That system's settings; the platform's own if None.
        allow_stalled_reader: As for ``plan``.

    Returns:
        Seconds, rounded up to hundredths.

    Raises:
        UnsupportedError: The platform can give no promise.
    """
    require_seconds("rtt", rtt, zero=True)
    _require_options(platform, allow_stalled_reader=allow_stalled_reader)
    path = _Path(
        defaults or platform.defaults, platform, stalled_reader=allow_stalled_reader
    )
    return path.smallest(rtt)


class _Path:
    """The search for settings on one platform, for one kind of promise."""

    def __init__(
        self, defaults: Defaults, platform: Platform, *, stalled_reader: bool
    ) -> None:
        self.defaults = defaults
        self.platform = platform
        self.settings = self.with_rto_max if stalled_reader else self.with_timeout
        # A user timeout is tied to the last tick. An rto_max is not, and fifteen
        # retransmissions need the larger part of the promise.
        self.share = 1 / 4 if stalled_reader else 1.0

    def best(self, within: float, rtt: float) -> Assessment | None:
        """Return the plan with the longest idle time that keeps the promise."""
        found = (self.longest_idle(within, rtt, probes) for probes in PROBES)
        kept = [plan for plan in found if plan and self.keeps(plan, within)]
        return max(kept, key=lambda plan: plan.effective.idle or 0, default=None)

    def longest_idle(self, within: float, rtt: float, probes: int) -> Assessment | None:
        """Return the settings of this shape that are in time and probe the least."""
        interval = max(1, math.ceil((within * OUTAGE + rtt) / (probes - 1)))
        most = min(self.platform.options["idle"].highest, int(within * self.share))

        def in_time(idle: int, *, milliseconds: int | None = None) -> bool:
            low, high, settings = self.settings(idle, interval, probes)
            patience = low if milliseconds is None else milliseconds
            return low <= high and self.latest(settings(patience), rtt) <= within

        idle = _last(in_time, interval, most)
        if idle is None:
            return None
        low, high, settings = self.settings(idle, interval, probes)
        # What time is left is patience with data in flight.
        longest = _last(lambda ms: in_time(idle, milliseconds=ms), low, high)
        return None if longest is None else self.assess(settings(longest), rtt)

    def with_timeout(
        self, idle: int, interval: int, probes: int
    ) -> tuple[int, int, Callable[[int], Keepalive]]:
        step = interval + lateness(interval)
        before_last = idle + lateness(idle) + (probes - 1) * step + GRAIN
        last = idle + probes * interval
        shape = Keepalive(idle=idle, interval=interval)
        return (
            math.ceil(before_last / MILLISECOND),
            round(last / MILLISECOND),
            lambda ms: replace(shape, user_timeout=ms / 1000),
        )

    def with_rto_max(
        self, idle: int, interval: int, probes: int
    ) -> tuple[int, int, Callable[[int], Keepalive]]:
        option = self.platform.options["rto_max"]
        shape = Keepalive(idle=idle, interval=interval, probes=probes, user_timeout=0.0)
        return (
            math.ceil(option.lowest / WHOLE_TICKS_MS),
            option.highest // WHOLE_TICKS_MS,
            lambda steps: replace(shape, rto_max=steps * WHOLE_TICKS_MS / 1000),
        )

    def latest(self, keepalive: Keepalive, rtt: float) -> float:
        """Return the worst bound; the search asks often, so only these two states."""
        return max(
            predict(
                keepalive,
                state,
                rtt=rtt,
                defaults=self.defaults,
                platform=self.platform,
            ).latest
            for state in DECISIVE
        )

    def assess(self, keepalive: Keepalive, rtt: float) -> Assessment:
        return assess(
            keepalive, rtt=rtt, defaults=self.defaults, platform=self.platform
        )

    def keeps(self, assessment: Assessment, within: float) -> bool:
        least, _ = unanswered_probes(assessment.effective, platform=self.platform)
        return (
            assessment.worst <= within
            and assessment.survives >= within * OUTAGE
            and least >= min(PROBES)
        )

    @property
    def quick(self) -> float:
        """The promise, in seconds, up to which gaps are looked for."""
        return QUICK_INTERVALS[-1] / OUTAGE

    def smallest(self, rtt: float, *, above: float = 0.0) -> float:
        """Return the smallest promise of *above* or more, in whole hundredths."""
        kept = [max(low, above) for low, high in self.promises(rtt) if high >= above]
        hundredths = math.ceil(min(kept) * 100)
        # The product may have been rounded down to a whole number.
        return (hundredths + (hundredths / 100 < min(kept))) / 100

    def promises(self, rtt: float) -> Iterator[tuple[float, float]]:
        """Yield the promises, shortest and longest, of the quickest settings."""
        for probes in PROBES:
            for interval in QUICK_INTERVALS:
                low, _, settings = self.settings(interval, interval, probes)
                assessment = self.assess(settings(low), rtt)
                longest = assessment.survives / OUTAGE
                if assessment.worst <= longest:
                    yield assessment.worst, longest


def _last(holds: Callable[[int], bool], low: int, high: int) -> int | None:
    """Return the last number in *low* … *high* for which *holds*, a falling step."""
    if low > high or not holds(low):
        return None
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def _require_options(platform: Platform, *, allow_stalled_reader: bool) -> None:
    patience = "rto_max" if allow_stalled_reader else "user_timeout"
    for name in ("idle", "interval", patience):
        if name not in platform.options:
            raise UnsupportedError(
                f"{platform.title} has no option for {name}, so no promise can be"
                " kept in every state",
                hint="set Keepalive(...) for what it can do, and use heartbeats",
                option=name,
                platform=platform.name,
            )
    if not platform.probes_yield:
        raise UnsupportedError(
            f"how {platform.title} times out behind a closed window was not measured,"
            " so no promise can be given",
            hint="set Keepalive(...) for what it can do, and use heartbeats",
            option=platform.options["user_timeout"].name,
            platform=platform.name,
        )


def _refused(within: float, rtt: float, path: _Path) -> ConfigError:
    least = path.smallest(rtt)
    problem = f"within={within!r} cannot be promised at a round trip of {rtt:g} s"
    if within < least:
        why = f"the smallest promise is {least:g} s"
        hint = "for less use heartbeats, which need no kernel timers"
    elif within <= path.quick:
        why = "the kernel counts in whole seconds, which leaves a gap here"
        hint = f"the next promise is {path.smallest(rtt, above=within):g} s"
    else:
        why = "data in flight is given up before an outage of an eighth of that ends"
        hint = "promise less, or plan without allow_stalled_reader"
    return ConfigError(f"{problem}: {why}", hint=hint, field="within", value=within)
