"""
How likely a live peer stays silent for too long, because packets are lost.

A question and its answer are one packet each, and TCP sends a lost one again
after a timeout that doubles. So under loss "the peer lives" is no certainty, and
a lab that expects it has to know how sure it may be.
"""

from deadpeer.lab.wire.weather import Weather
from deadpeer.platforms import Defaults
from deadpeer.policy.timers import lateness, retransmission_timeout

__all__ = ["delivery", "odds_of_silence"]

# Losses of one packet in a row that are reckoned with; more are as good as never.
MOST = 200


def delivery(losses: int, *, rtt: float, defaults: Defaults) -> float:
    """
    Return how long the kernel takes to send a packet again so many times.

    Args:
        losses: How often it is lost before it comes through.
        rtt: The round-trip time in seconds.
        defaults: The sender's system, for the least and greatest timeout.

    Returns:
        Seconds, at the most.

    Source:
        RFC 6298, sections 2 and 5.5; Linux tcp_timer.c, tcp_retransmit_timer().

    >>> round(delivery(3, rtt=0.1, defaults=Defaults(hz=1000)), 3)
    2.285
    """
    _, timeout = retransmission_timeout(rtt, defaults)
    total = 0.0
    for _ in range(losses):
        waits = min(timeout, defaults.rto_max)
        total += waits + lateness(waits, defaults.hz)
        timeout *= 2
    return total


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
    rtt = 2 * (weather.delay + weather.jitter)
    takes = [delivery(n, rtt=rtt, defaults=defaults) for n in range(MOST)]
    chance = [weather.loss**n * (1 - weather.loss) for n in range(MOST)]
    # The sum of what is late, and not one minus the rest: it is very small.
    late = sum(
        chance[there] * chance[back]
        for there in range(MOST)
        for back in range(MOST)
        if takes[there] + takes[back] + rtt > timeout
    )
    return min(1.0, late + 2 * weather.loss**MOST)
