"""
The search for settings that keep a promise on one path.

Settings come in shapes: so many probes, so far apart, after so long an idle
time. What a shape leaves open, the user timeout (or, where stalled readers are
allowed, the longest pause between retransmissions), is filled in last. Every
candidate is judged by the same bounds as anybody's settings.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from deadpeer.platforms import Defaults, Platform
from deadpeer.policy.assess import Assessment, assess
from deadpeer.policy.keepalive import Keepalive
from deadpeer.policy.predict import State, predict, unanswered_probes
from deadpeer.policy.timers import lateness

__all__ = ["Search"]

# A live peer survives an outage of one part in eight of the promise: RFC 1122
# (4.2.3.6) forbids to take one unanswered probe for a death, and a route that
# converges or a switch that restarts takes seconds.
OUTAGE = 1 / 8

# Intervals are whole seconds, and between one and two of them there would be
# promises that nothing keeps (8 s is one). A twentieth less outage closes that.
NEARLY = 0.95

# How many probes go unanswered. More of them closer together leave more of the
# promise for the idle time, so live connections cost less; fewer than two are
# no evidence.
PROBES = (5, 4, 3, 2)

# The intervals among which the smallest promises are looked for, in seconds.
QUICK_INTERVALS = range(1, 12)

# No other state or change of state takes longer than both of these: an idle
# death and a write take in the times of idle and of data in flight.
DECISIVE = (State.IDLE_THEN_WRITE, State.ZERO_WINDOW)

# How far below the first guess the smallest promise is looked for.
SEARCHED = 0.8

# In how many strides, and each of those in how many smaller ones.
STRIDES = 16

# At how many steps through its range a number is tried.
MARKS = 8

# How often the smallest promise and its longest pause are fitted to each other.
SETTLING = 8

MILLISECOND = 0.001

# The kernel stores rto_max in ticks, rounded up (1001 ms read back as 1004 ms at
# 250 Hz). This many milliseconds are whole ticks at every usual CONFIG_HZ.
WHOLE_TICKS_MS = 20

# The user timeout has to be later than a tick by more than the clock's grain.
GRAIN = 0.01


class Search:
    """
    The search on one platform, for one kind of promise; all durations are seconds.

    Args:
        defaults: The system's settings.
        platform: The row of the system.
        stalled_reader: Whether live peers may stop reading for ever.
    """

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
        for outage in (within * OUTAGE, within * OUTAGE * NEARLY):
            found = (self.longest_idle(within, rtt, n, outage) for n in PROBES)
            kept = [plan for plan in found if plan and self.keeps(plan, within, outage)]
            if kept:
                return max(kept, key=lambda plan: plan.effective.idle or 0)
        return None

    def longest_idle(
        self, within: float, rtt: float, probes: int, outage: float
    ) -> Assessment | None:
        """Return the settings of this shape that are in time and probe the least."""
        interval = max(1, math.ceil((outage + rtt) / (probes - 1)))
        most = min(self.platform.options["idle"].highest, int(within * self.share))

        def in_time(idle: int, step: int | None = None) -> bool:
            shape = self.settings(idle, interval, probes, outage)
            steps = shape.marks() if step is None else (step,)
            return any(self.latest(shape.at(n), rtt) <= within for n in steps)

        idle = _last(in_time, interval, most)
        if idle is None:
            return None
        # What time is left is patience with data in flight.
        shape = self.settings(idle, interval, probes, outage)
        marks = shape.marks()
        mark = max(n for n in marks if in_time(idle, n))
        following = min((n for n in marks if n > mark), default=mark)
        step = _last(lambda n: in_time(idle, n), mark, following)
        return None if step is None else self.assess(shape.at(step), rtt)

    def with_timeout(
        self, idle: int, interval: int, probes: int, outage: float
    ) -> "_Shape":
        """Return what a user timeout, in ms, has room for."""
        hz = self.defaults.hz
        step = interval + lateness(interval, hz)
        before_last = idle + lateness(idle, hz) + (probes - 1) * step + GRAIN
        last = idle + probes * interval
        shape = Keepalive(idle=idle, interval=interval, rto_max=self.pause(outage))
        return _Shape(
            first=math.ceil(before_last / MILLISECOND),
            last=round(last / MILLISECOND),
            at=lambda ms: replace(shape, user_timeout=ms / 1000),
        )

    def pause(self, outage: float) -> float | None:
        """
        Return the longest pause between retransmissions, where it can be set.

        A shorter one limits how far a router's report puts the end off, and
        finds a healed path sooner. Not shorter than an outage, since a peer that
        takes back its window is given up after one to two of these.
        """
        option = self.platform.options.get("rto_max")
        if option is None:
            return None
        wanted = min(max(outage * 1000, option.lowest), option.highest)
        steps = math.ceil(wanted / WHOLE_TICKS_MS)
        return min(steps * WHOLE_TICKS_MS, option.highest) / 1000

    def with_rto_max(
        self, idle: int, interval: int, probes: int, _outage: float
    ) -> "_Shape":
        """Return what an rto_max, in whole steps, has room for."""
        option = self.platform.options["rto_max"]
        shape = Keepalive(idle=idle, interval=interval, probes=probes, user_timeout=0.0)
        return _Shape(
            first=math.ceil(option.lowest / WHOLE_TICKS_MS),
            last=option.highest // WHOLE_TICKS_MS,
            at=lambda steps: replace(shape, rto_max=steps * WHOLE_TICKS_MS / 1000),
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
        """Judge settings on this path, as anybody's are judged."""
        return assess(
            keepalive, rtt=rtt, defaults=self.defaults, platform=self.platform
        )

    def keeps(self, assessment: Assessment, within: float, outage: float) -> bool:
        """Tell if settings keep the promise, survive the outage, and ask twice."""
        least, _ = unanswered_probes(
            assessment.effective, platform=self.platform, hz=self.defaults.hz
        )
        return (
            assessment.worst <= within
            and self.outlasts(assessment) >= outage
            and least >= min(PROBES)
        )

    def outlasts(self, assessment: Assessment) -> float:
        """
        Return the outage, in seconds, that live peers survive by these settings.

        With a user timeout, how long window probes go on is not among them: the
        system counts those too (``tcp_retries2``), and no option changes that.
        """
        if not assessment.effective.user_timeout:
            return assessment.survives
        apart = (State.CONNECTING, State.ZERO_WINDOW)
        return min(b.survives for b in assessment.bounds if b.state not in apart)

    @property
    def quick(self) -> float:
        """The promise, in seconds, up to which gaps are looked for."""
        return QUICK_INTERVALS[-1] / OUTAGE

    def smallest(self, rtt: float, *, above: float = 0.0) -> float | None:
        """Return the smallest promise of *above* or more, None if there is none."""
        kept = [max(low, above) for low, high in self.promises(rtt) if high >= above]
        if not kept:
            return None
        # A shape with more room may keep a little less, and pauses are rounded:
        # the search has the last word, in ever smaller steps, in hundredths.
        least = math.ceil(min(kept) * 100)
        lowest = max(math.ceil(above * 100), int(least * SEARCHED))
        step = max(1, (least - lowest) // STRIDES)
        near = range(least, least + 100)
        start = next((n for n in near if self.best(n / 100, rtt)), None)
        if start is None:
            return None
        coarse = range(start, lowest - 1, -step)
        least = min(n for n in coarse if self.best(n / 100, rtt))
        while step > 1:
            step = max(1, step // STRIDES)
            while least - step >= lowest and self.best((least - step) / 100, rtt):
                least -= step
        return least / 100

    def promises(self, rtt: float) -> Iterator[tuple[float, float]]:
        """Yield the promises, shortest and longest, of the quickest settings."""
        for probes in PROBES:
            for interval in QUICK_INTERVALS:
                assessment = self.quickest(interval, probes, rtt)
                if assessment is None:
                    continue
                longest = self.outlasts(assessment) / (OUTAGE * NEARLY)
                if assessment.worst <= longest:
                    yield assessment.worst, longest

    def quickest(self, interval: int, probes: int, rtt: float) -> Assessment | None:
        """Return the quickest settings of a shape."""
        # The pause goes by the promise, and the promise by the pause. Both only
        # grow here, so the last is safe where they do not settle.
        outage = 0.0
        for _ in range(SETTLING):
            shape = self.settings(interval, interval, probes, outage)
            each = [shape.at(mark) for mark in shape.marks()]
            if not each:
                return None
            quickest = min(each, key=lambda keepalive: self.latest(keepalive, rtt))
            assessment = self.assess(quickest, rtt)
            wanted = assessment.worst * OUTAGE
            if not wanted > outage or self.pause(wanted) == self.pause(outage):
                break
            outage = wanted
        return assessment


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """Settings but for one number, and which numbers fit them."""

    first: int
    last: int
    at: Callable[[int], Keepalive]

    def marks(self) -> list[int]:
        """
        Return numbers spread over the range, none if it is empty.

        More patience mostly takes longer, but not always: what a router's report
        puts off goes up and down with the user timeout.
        """
        if self.first > self.last:
            return []
        width = self.last - self.first
        return sorted({self.first + width * n // MARKS for n in range(MARKS + 1)})


def _last(holds: Callable[[int], bool], low: int, high: int) -> int | None:
    """Return the last number in *low* … *high* for which *holds*, a falling step."""
    if low > high or not holds(low):
        return None
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low
