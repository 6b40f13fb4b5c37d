"""
How likely a live peer stays silent for too long, because packets are lost.

A question and its answer are one packet each, and TCP sends a lost one again
after a timeout that doubles. So under loss "the peer lives" is no certainty, and
a lab that expects it has to know how sure it may be.
"""

from bisect import bisect_right

from deadpeer.lab.wire.weather import Weather
from deadpeer.platforms import Defaults
from deadpeer.policy.timers import lateness, retransmission_timeout

__all__ = ["deliveries", "odds_of_silence"]

# Losses of one packet in a row that are reckoned with; more are as good as never.
MOST = 200


def deliveries(most: int, *, rtt: float, defaults: Defaults) -> list[float]:
    """
    Return how long the kernel takes to send a packet again, by how often.

    Args:
        most: How many numbers of times.
        rtt: The round-trip time in seconds.
        defaults: The sender's system, for the least and greatest timeout.

    Returns:
        Seconds, at the most: for a packet that is never lost, lost once, twice.

    Source:
        RFC 6298, sections 2 and 5.5; Linux tcp_timer.c, tcp_retransmit_timer().

    >>> [round(t, 2) for t in deliveries(4, rtt=0.1, defaults=Defaults(hz=1000))]
    [0.0, 0.31, 0.97, 2.24]
    """
    _, timeout = retransmission_timeout(rtt, defaults)
    times = [0.0]
    for _ in range(most - 1):
        timeout = min(timeout, defaults.rto_max)
        times.append(times[-1] + timeout + lateness(timeout, defaults.hz))
        timeout *= 2
    return times


def odds_of_silence(weather: Weather, *, timeout: float, defaults: Defaults) -> float:
    """
    Return how likely the answer to one question takes longer than a timeout.

    Args:
        weather: The link, the same both ways; its *loss* hits each packet by
            itself.
        timeout: Seconds from the question.
        defaults: The systems at both ends.

    >>> calm = Weather(delay=0.05)
    >>> odds_of_silence(calm, timeout=1.0, defaults=Defaults())
    0.0
    """
    rtt, loss = 2 * (weather.delay + weather.jitter), weather.loss
    takes = deliveries(MOST, rtt=rtt, defaults=defaults)
    # The sum of what is late, and not one minus the rest: it is very small. The
    # answer is late if it is lost so often that the rest of the time is over,
    # and lost n times or more it is with probability loss^n.
    late = sum(
        loss**there
        * (1 - loss)
        * loss ** bisect_right(takes, timeout - rtt - takes[there])
        for there in range(MOST)
    )
    return min(1.0, late + loss**MOST)
