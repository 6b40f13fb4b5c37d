"""
What two HELLOs come to: how I judge you, and what I have promised to send.

Nobody is judged by a rule that it did not hear of. My wish is stretched where your
announcement asks for more time, never cut; and what I promise for my own direction
follows from the same two HELLOs that you have, so both ends compute the same.
"""

import math
from dataclasses import replace

from deadpeer.core.breaches import remote_breach
from deadpeer.core.hello import Hello
from deadpeer.core.limits import Limits
from deadpeer.policy.heartbeat import Heartbeat

__all__ = ["agree", "announce", "promise"]

SMALLEST = 0.001  # seconds; the unit of durations on the wire


def announce(
    mine: Heartbeat, limits: Limits, *, time_to_live: float | None = None
) -> Hello:
    """
    Return the HELLO that goes with a wish.

    Args:
        mine: How I wish to judge others. Beats are always offered, because they
            cost nothing until somebody wants them.
        limits: What I take.
        time_to_live: Seconds of silence for which others should wait for me, at
            least. None is what I give to them: *timeout*.

    Raises:
        ConfigError: A value is more than the format can carry.

    >>> announce(Heartbeat(interval=20, timeout=10), Limits()).time_to_live
    10.0
    """
    return Hello(
        interval=mine.interval,
        time_to_live=mine.timeout if time_to_live is None else time_to_live,
        heartbeat_gap=min(limits.heartbeat_gap, mine.interval),
        largest_message=limits.largest_message,
        wants_beats=mine.one_way,
    )


def agree(mine: Heartbeat, theirs: Hello, limits: Limits) -> Heartbeat:
    """
    Return the rules by which I judge the peer that sent *theirs*.

    I judge by beats if I wanted them and it offers them, and by asking
    otherwise. I ask no more often than it takes questions, I expect beats no more often
    than both of us said, and I call it dead no earlier than it asked for.

    Args:
        mine: My wish.
        theirs: Its announcement.
        limits: How much patience it may ask for.

    Raises:
        RemoteProtocolError: It answers nothing and offers nothing, or it asks for
            more patience than *limits* allow and my own wish has.
        ConfigError: *mine* is more than the format can carry.

    Source:
        STOMP 1.2, "Heart-beating" (the larger of both periods); ZMTP 3.1, PING's
        time-to-live (the one who is judged says how long to wait).

    >>> agree(Heartbeat(interval=2, timeout=1), Hello(time_to_live=5), Limits())
    Heartbeat(interval=2.0, timeout=3.0, suspect_after=None, one_way=False)
    """
    one_way = mine.one_way and theirs.offers_beats
    if not one_way and not theirs.answers_pings:
        raise remote_breach(
            "unacceptable-heartbeat",
            "it answers no pings, and beats were not agreed",
            hint="let this end want beats, and the peer offer them",
        )
    if one_way:
        interval = max(_on_the_wire(mine.interval), theirs.interval)
    else:
        interval = max(mine.interval, theirs.heartbeat_gap)
    timeout = max(mine.timeout, _rest(theirs.time_to_live, interval))
    agreed = replace(mine, interval=interval, timeout=timeout, one_way=one_way)
    patience = max(limits.longest_patience, mine.detection)
    if agreed.detection > patience:
        raise remote_breach(
            "unacceptable-heartbeat",
            f"silence of {agreed.detection:g} s would be allowed, "
            f"at most {patience:g} s is",
            hint="raise longest_patience, or let the peer announce less",
        )
    return agreed


def promise(mine: Hello, theirs: Hello) -> float | None:
    """
    Return how often I have promised to beat: the period in seconds, or None.

    Args:
        mine: What I announced.
        theirs: What the peer announced.

    >>> promise(Hello(interval=20), Hello(interval=60, wants_beats=True))
    60.0
    """
    if not (mine.offers_beats and theirs.wants_beats):
        return None
    return max(mine.interval, theirs.interval)


def _on_the_wire(interval: float) -> float:
    # What the peer was told: whole milliseconds. It promises by that.
    return Hello(interval=interval, heartbeat_gap=SMALLEST).interval


def _rest(time_to_live: float, interval: float) -> float:
    """Return the least timeout, in seconds, that is not too early after *interval*."""
    rest = time_to_live - interval
    # A difference rounds; the sum has to reach what the peer asked for.
    return rest if interval + rest >= time_to_live else math.nextafter(rest, math.inf)
