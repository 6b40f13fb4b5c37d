"""
The user timeout while data is in flight, and what may put its end off.

It runs from the first retransmission, and the retransmission timer is cut to
what is left of it. There is one way around that cut. When a router reports the
host unreachable (after a pulled cable the last router does, once its own
questions for the neighbour stay unanswered), Linux takes one doubling of the
timeout back and sets the timer anew, *not* cut. If this happens shortly before
the end, the end waits for that timer.

Measured on Linux 6.18, HZ=250, cable pulled behind a router, a user timeout of
3.95 s, round trip under a millisecond: 4.38 s after the write if nothing is
reported, up to 4.96 s if it is.
"""

import math
from functools import lru_cache

from deadpeer.policy.timers import lateness

__all__ = ["REPORT_EVERY", "end_of_patience"]

# How often a router reports at the most: three questions for the neighbour, a
# second apart, come before each report.
# Source: Linux net/core/neighbour.c, neigh_timer_handler(); ip-sysctl,
# mcast_solicit (3) and retrans_time_ms (1000).
REPORT_EVERY = 3.0

# Halvings of the range of timeouts in the search for the worst one; what is
# left of it, a few thousandths of a second, is taken from the safe side.
STEPS = 12


@lru_cache(maxsize=4096)
def end_of_patience(
    timeout: float,
    rto: tuple[float, float],
    rto_max: float,
    *,
    hz: int | None = None,
    reports: bool = True,
) -> float:
    """
    Return when, at the latest, a user timeout ends a connection with data in flight.

    Args:
        timeout: The user timeout, in seconds.
        rto: The least and the greatest first retransmission timeout, in seconds.
        rto_max: The largest retransmission timeout, in seconds.
        hz: The kernel's ticks a second, None if not known.
        reports: Whether a router may report the host unreachable.

    Returns:
        Seconds after the write.

    Source:
        Linux tcp_timer.c, retransmits_timed_out() and
        tcp_clamp_rto_to_user_timeout(); tcp_ipv4.c, tcp_ld_RTO_revert(), after
        RFC 6069, which does not clamp.

    >>> round(end_of_patience(3.95, (0.2, 0.2), 120.0, hz=250, reports=False), 2)
    4.63
    >>> round(end_of_patience(3.95, (0.2, 0.2), 120.0, hz=250), 2)
    5.17
    """
    greatest = rto[1]
    # The last timer is cut to what is left; since timeouts double, that is
    # about half of the whole at the most.
    last = min(timeout, timeout / 2 + greatest, rto_max)
    plain = _first(greatest, hz) + timeout + lateness(last, hz)
    if not reports:
        return plain
    if timeout >= 2 * REPORT_EVERY:
        # With several reports a retransmission may fall on any moment; the
        # timeout in force is not longer than what came before it.
        longest = min(rto_max, timeout / 2 + greatest)
        late = lateness(longest, hz)
        return max(plain, _first(greatest, hz) + timeout + longest + late)
    worst = plain
    # Whether an earlier report has taken the first doubling back.
    for taken_back in (0, 1) if timeout >= REPORT_EVERY else (0,):
        worst = max(worst, _worst(timeout, rto, rto_max, hz, taken_back))
    return worst


def _first(rto: float, hz: int | None) -> float:
    """A tail loss probe may come first and sets the timer anew."""
    return 2 * (rto + lateness(rto, hz))


def _worst(
    timeout: float,
    rto: tuple[float, float],
    rto_max: float,
    hz: int | None,
    taken_back: int,
) -> float:
    """
    The latest end if a report follows the last retransmission in time.

    The longer the first timeout, the later that retransmission and the longer
    the timer after it, up to where the retransmission is no longer in time. So
    for each count of retransmissions the longest timeout is the worst.
    """
    worst, count = 0.0, 1
    while _sent_at(rto[0], count, rto_max, taken_back) < timeout:
        low, high = rto[0], rto[1]
        if _sent_at(high, count, rto_max, taken_back) >= timeout:
            for _ in range(STEPS):
                middle = (low + high) / 2
                in_time = _sent_at(middle, count, rto_max, taken_back) < timeout
                low, high = (middle, high) if in_time else (low, middle)
        again = min(math.ldexp(high, count - taken_back), rto_max)
        # Each timer before was late, too, but this one was still in time.
        late = sum(
            lateness(min(math.ldexp(high, n + 1 - taken_back), rto_max), hz)
            for n in range(count)
        )
        sent_at = min(timeout, _sent_at(high, count, rto_max, taken_back) + late)
        end = _first(high, hz) + sent_at + again + lateness(again, hz)
        worst, count = max(worst, end), count + 1
    return worst


def _sent_at(rto: float, count: int, rto_max: float, taken_back: int) -> float:
    """When, after the first, the retransmission number *count* is sent."""
    doublings = range(1 - taken_back, count + 1 - taken_back)
    return sum(min(math.ldexp(rto, n), rto_max) for n in doublings)
