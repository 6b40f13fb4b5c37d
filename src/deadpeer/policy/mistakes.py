"""
Which intervals keep a promise about mistakes: the bounds, and the search.

The formulae, what they assume and their sources stand at the head of
``deadpeer.policy.quality``, which is what users call.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from deadpeer.policy.link import Link
from deadpeer.policy.numbers import LONGEST

__all__ = [
    "SHORTEST",
    "Search",
    "last_below",
    "lowest",
    "rounded_up",
]

# Below a hundredth of a second a heartbeat measures the scheduler, not the peer.
SHORTEST = 0.01

# Linux's shortest retransmission timeout (include/net/tcp.h, TCP_RTO_MIN).
RTO_MIN = 0.2

MILLISECOND = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """
    The intervals that keep a promise on one link, for one detection time.

    Args:
        link: What was measured.
        rate: Mistakes per second that are allowed.
        last: Seconds for which each of them may last; ``math.inf`` for any time.
    """

    link: Link
    rate: float
    last: float = math.inf

    @property
    def wrong(self) -> float:
        """The share of the time that may be spent in mistakes."""
        return self.rate * self.last

    @property
    def shortest_timeout(self) -> float:
        """
        A timeout that one lost segment does not break, in seconds.

        The segment is sent again after the retransmission timeout and then
        takes a round trip.

        Source:
            net/ipv4/tcp_input.c, tcp_set_rto(); RFC 1122, section 4.2.3.6.
        """
        spread = math.sqrt(self.link.variance)
        return 2 * self.link.rtt + max(4 * spread, RTO_MIN)

    def mistakes(self, interval: float, within: float) -> float:
        """
        Return the most mistakes per second that this interval can make.

        Args:
            interval: Seconds between pings.
            within: Seconds in which a death is known.
        """
        v, p = self.link.variance, self.link.loss
        slack = within - interval - self.link.rtt
        return (p + (1 - p) * v / (v + slack * slack)) / interval

    def wrongly(self, interval: float, within: float) -> float:
        """
        Return the largest share of the time that mistakes can take.

        Args:
            interval: Seconds between pings.
            within: Seconds in which a death is known.
        """
        v, p = self.link.variance, self.link.loss
        slack = within - interval - self.link.rtt
        # ½ (√(V + s²) − s), without the subtraction.
        late = 0.5 * v / (math.sqrt(v + slack * slack) + slack)
        # Of a run of lost pings, each is wrong for one interval at most.
        return p + (1 - p) * late / interval

    def keeps(self, interval: float, within: float) -> bool:
        """
        Return whether an interval keeps the promise.

        Args:
            interval: Seconds between pings.
            within: Seconds in which a death is known.
        """
        return (
            self.mistakes(interval, within) <= self.rate
            and self.wrongly(interval, within) <= self.wrong
        )

    def longest_interval(self, within: float) -> float | None:
        """
        Return the longest interval that keeps the promise, in seconds, if any does.

        Args:
            within: Seconds in which a death is known.
        """
        most = within - self.shortest_timeout
        if most <= 0:
            return None
        longest = min(
            last_below(lambda i: self.mistakes(i, within), self.rate, most),
            last_below(lambda i: self.wrongly(i, within), self.wrong, most),
        )
        rounded = math.floor(longest / MILLISECOND) * MILLISECOND
        tries = (round(rounded, 3), longest)
        return next((i for i in tries if i >= SHORTEST and self.keeps(i, within)), None)

    def grants(self, within: float) -> bool:
        """
        Return whether any interval keeps the promise.

        Args:
            within: Seconds in which a death is known.
        """
        return self.longest_interval(within) is not None

    def fewest_mistakes(self, within: float) -> float:
        """
        Return the fewest mistakes per second that any interval can promise.

        Args:
            within: Seconds in which a death is known.
        """
        most = within - self.shortest_timeout
        if most <= 0:
            return math.inf
        best = lowest(lambda i: self.mistakes(i, within), most)
        return self.mistakes(best, within)

    def soonest(self) -> float | None:
        """Return the shortest detection time that can be promised, in seconds, if any."""
        high = self.shortest_timeout
        while not self.grants(high):
            high *= 2
            if high > LONGEST:
                return None
        low = high / 2
        while high - low > 1e-4 * high:
            middle = 0.5 * (low + high)
            if self.grants(middle):
                high = middle
            else:
                low = middle
        return rounded_up(high)


def lowest(f: Callable[[float], float], most: float) -> float:
    """
    Return where a function that falls and then rises is lowest.

    Both of ours do: in η, log(1/η) falls ever more slowly, and the logarithm of
    either bound rises ever faster, as long as the timeout leaves one standard
    deviation (``shortest_timeout`` leaves four).

    Args:
        f: The function, of seconds.
        most: The right end of its range, in the unit of its argument: seconds.

    Returns:
        The argument, in seconds.

    Source:
        Golden-section search, J. Kiefer 1953.
    """
    ratio = (math.sqrt(5) - 1) / 2
    left, right = 0.0, most
    for _ in range(80):  # 0.618^80 is below what a float can tell apart
        step = ratio * (right - left)
        one, two = right - step, left + step
        if f(one) < f(two):
            right = two
        else:
            left = one
    return min(max(right, most * 1e-12), most)


def last_below(f: Callable[[float], float], limit: float, most: float) -> float:
    """
    Return the last argument at which such a function is not above a limit.

    Args:
        f: A function of seconds that falls and then rises.
        limit: What it may reach: a ratio, or a number per second.
        most: The right end of its range, in seconds.

    Returns:
        Seconds; where the function is lowest, if it is above the limit there too.
    """
    if f(most) <= limit:
        return most
    low, high = lowest(f, most), most
    for _ in range(100):
        middle = 0.5 * (low + high)
        if f(middle) <= limit:
            low = middle
        else:
            high = middle
    return low


def rounded_up(value: float) -> float:
    """
    Return the next number of three digits.

    Args:
        value: A positive number of anything.

    Returns:
        A number of the same.

    >>> rounded_up(12.341)
    12.4
    """
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{math.ceil(value / unit) * unit:.3g}")
