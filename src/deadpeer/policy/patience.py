"""
The user timeout while data is in flight, and what may put its end off.

It runs from the first retransmission, and the retransmission timer is cut to
what is left of it. There is one way around that cut. When a router reports the
host unreachable (after a pulled cable the last router does, once its own
questions for the neighbour stay unanswered), Linux takes one doubling of the
timeout back and sets the timer anew, *not* cut. What waited at the router is
reported all at once: the first report may retransmit, and the next then starts
a whole timeout. If this happens shortly before the end, the end waits for it.

Measured on Linux 6.18, HZ=250, IPv4, cable pulled behind a router, round trip
under a millisecond: with a user timeout of 3.95 s, 4.38 s after the write if
nothing is reported and up to 4.96 s if it is; with 2.195 s, 2.64 s and 3.39 s.

Source:
    RFC 6069; Linux tcp_ipv4.c, tcp_ld_RTO_revert(), which unlike tcp_timer.c,
    tcp_retransmit_timer(), does not call tcp_clamp_rto_to_user_timeout().
"""

from deadpeer.policy.timers import lateness

__all__ = ["ASKING", "ASKING_LATE", "end_of_patience", "put_off", "with_reports"]

# What passes between a router's first packet for a neighbour that is gone and
# its report: three questions, a second apart. It asks anew before each report.
# Source: Linux net/core/neighbour.c, neigh_timer_handler(); ip-sysctl,
# mcast_solicit (3) and retrans_time_ms (1000), the same for ARP and IPv6.
ASKING = 3.0
ASKING_LATE = ASKING + 3 * lateness(1.0)


def end_of_patience(
    timeout: float, rto: float, rto_max: float, *, hz: int | None = None
) -> float:
    """
    Return when, at the latest, a user timeout ends a connection with data in flight.

    Args:
        timeout: The user timeout, in seconds.
        rto: The greatest first retransmission timeout, in seconds.
        rto_max: The largest retransmission timeout, in seconds.
        hz: The kernel's ticks a second, None if not known.

    Returns:
        Seconds after the write, if no router reports anything.

    Source:
        Linux tcp_timer.c, retransmits_timed_out(), which counts from
        retrans_stamp, and tcp_clamp_rto_to_user_timeout().

    >>> round(end_of_patience(3.95, 0.2, 120.0, hz=250), 2)
    4.63
    """
    # A tail loss probe may come first and sets the timer anew. The last timer is
    # cut to what is left; since timeouts double, that is about half of the whole.
    first = 2 * (rto + lateness(rto, hz))
    last = min(timeout, timeout / 2 + rto, rto_max)
    return first + timeout + lateness(last, hz)


def put_off(
    timeout: float, rto: float, rto_max: float, *, hz: int | None = None
) -> float:
    """
    Return by how much a router's report may put the end of a user timeout off.

    The timer is set anew to the timeout of before the last doubling, which is
    not longer than all the time that had passed until then.

    Args:
        timeout: The user timeout, in seconds.
        rto: The greatest first retransmission timeout, in seconds.
        rto_max: The largest retransmission timeout, in seconds.
        hz: The kernel's ticks a second, None if not known.

    Returns:
        Seconds.

    >>> round(put_off(3.95, 0.2, 1.0, hz=250), 2)
    1.04
    """
    longest = min(rto_max, timeout / 2 + rto)
    return longest + lateness(longest, hz)


def with_reports(end: float, more: float, first_sent: tuple[float, float]) -> float:
    """
    Return the latest end, if routers may report.

    Args:
        end: The end without reports, in seconds after the death.
        more: By how much a report may put it off, in seconds.
        first_sent: When, at the earliest and the latest, the first packet meets
            the router that no longer finds the peer; seconds after the death.

    Returns:
        Seconds after the death.

    >>> with_reports(2.5, 1.0, (0.0, 1.0)), with_reports(7.0, 1.0, (0.0, 1.0))
    (2.5, 8.0)
    """
    earliest, latest = first_sent[0] + ASKING, first_sent[1] + ASKING_LATE
    if end < earliest:
        return end
    if end < earliest + ASKING:
        # Only the first report can have come so far.
        return max(end, min(end, latest) + more)
    return end + more
