"""
How long a closed window is probed, and when that is given up by count.

The system limits how many probes in a row may go unanswered (``tcp_retries2``),
beside any user timeout: whichever is over first ends the connection. Answers set
the count back, but not the pause between probes, which has grown with the time
that the window was closed. A live peer leaves one unanswered where two follow
each other within half a second (``tcp_invalid_ratelimit``), so one may count
already when it dies.

Source:
    Linux tcp_timer.c, tcp_probe_timer(): both limits lead to its abort label;
    include/net/tcp.h, tcp_probe0_when().
"""

from functools import lru_cache

from deadpeer.policy.timers import gaps, lateness, persist_schedule

__all__ = ["given_up", "outlasts"]


# A search asks for the same few over and over, and retries may be 255.
@lru_cache(maxsize=1024)
def outlasts(retries: int, rto: float, rto_max: float) -> float:
    """
    Return the outage that window probes are sure to outlast.

    Args:
        retries: ``tcp_retries2``.
        rto: The least first retransmission timeout, in seconds.
        rto_max: The largest, in seconds.

    Returns:
        Seconds, of a peer that answers at once.

    >>> round(outlasts(15, 0.2, 120.0), 1), outlasts(2, 0.2, 120.0)
    (564.6, 0.0)
    """
    schedule = persist_schedule(rto, rto_max, max(0, retries - 2))
    return schedule[-1] if schedule else 0.0


@lru_cache(maxsize=1024)
def given_up(
    retries: int,
    rto: tuple[float, float],
    rto_max: float,
    *,
    closed: tuple[float, float] | None = None,
    hz: int | None = None,
) -> tuple[float, float]:
    """
    Return when window probes have gone unanswered often enough.

    Args:
        retries: ``tcp_retries2``.
        rto: The least and the greatest first retransmission timeout, in seconds.
        rto_max: The largest, in seconds.
        closed: How long, in seconds, the window was closed before the death at
            the least and the most; None if any time.
        hz: The kernel's ticks a second, None if not known.

    Returns:
        The earliest and the latest, in seconds after the death.

    >>> earliest, latest = given_up(15, (0.2, 0.2), 120.0, closed=(0.0, 0.0))
    >>> round(earliest), round(latest)
    (685, 1021)
    """
    count, fewest = retries + 1, max(1, retries)
    if closed is None:
        fresh = persist_schedule(rto[0], rto_max, fewest)
        pause = rto_max + lateness(rto_max, hz)
        return fresh[-1] - fresh[0], count * pause
    shortest, longest = closed
    # The pause at that moment lies between half of the time and all of it.
    grown = min(rto_max, (max(0.0, shortest) + rto[0]) / 2)
    earliest = persist_schedule(grown, rto_max, fewest)[-1] - grown
    grown = min(rto_max, max(0.0, longest) + rto[1])
    pauses = gaps(persist_schedule(grown, rto_max, count))
    return earliest, sum(pause + lateness(pause, hz) for pause in pauses)
