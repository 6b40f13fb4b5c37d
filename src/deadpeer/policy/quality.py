"""
From a wish about quality to an interval and a timeout, or why it cannot be had.

A wish has the three numbers by which failure detectors are judged: how soon a
death is known (T_D), how rarely a live peer is accused (T_MR, the mistakes'
recurrence), and how long such a mistake lasts (T_M). The link is known by the
mean E and the variance V of its round trips, and by the share p of pings that
are never answered at all.

With a ping every η seconds and a timeout τ, counted from when the ping was due:

    η + τ ≤ T_D                                  a death is known in time
    miss(τ) / η ≤ 1 / T_MR                       mistakes are rare enough
    late(τ) / η + p ≤ T_M / T_MR                 and not too long, taken together

    miss(τ) = p + (1−p) · V / (V + (τ−E)²)       Cantelli: so many come too late
    late(τ) = (1−p) · ½ (√(V + (τ−E)²) − (τ−E))  Scarf: by so much, on average

**What is assumed.** That E, V and p are those of every ping to come, whenever it
is sent: so measure for as long as the link takes to show its bad hours. Nothing
else. No distribution: both bounds hold for every one that has this mean and
variance. No independence either, which over TCP would be false, since one lost
segment delays all that is behind it: expected numbers of mistakes add up whether
or not the mistakes come in clusters. For the same reason the length of mistakes
is bounded in sum (T_M for each one allowed) and not for a single one.

The price of assuming so little is caution: real links make fewer mistakes.

Source:
    W. Chen, S. Toueg, M. K. Aguilera: On the quality of service of failure
    detectors. IEEE Transactions on Computers 51(5), 2002, sections 2 and 5;
    F. P. Cantelli 1910 (the one-sided form of Chebyshev's inequality);
    H. Scarf: A min-max solution of an inventory problem. 1958.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from deadpeer.errors import ConfigError
from deadpeer.policy.assess import HOUR, IPV4_BYTES, IPV6_BYTES, Traffic
from deadpeer.policy.keepalive import require_seconds
from deadpeer.policy.link import Link
from deadpeer.policy.mistakes import SHORTEST, Search, rounded_up
from deadpeer.policy.numbers import LONGEST
from deadpeer.policy.rates import in_words, per_second

__all__ = ["Link", "Quality", "configure"]

# One ping, one answer, one acknowledgement of it; at most three bytes each of
# the first two, and the acknowledgement of the ping rides on the answer.
PACKETS, PAYLOAD = 3, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """
    An interval and a timeout, and what they promise on the link they are for.

    Args:
        interval: Seconds of silence after which a ping is due.
        timeout: Seconds from then until the peer counts as dead.
        mistakes_every: The mean time between two mistakes is at least this many
            seconds; ``math.inf`` if the link never varies.
        wrong: A live peer is suspected for at most this share of the time.
        traffic: What the pings and answers cost on an otherwise idle connection.
    """

    interval: float
    timeout: float
    mistakes_every: float
    wrong: float
    traffic: Traffic

    @property
    def detection(self) -> float:
        """A death is known so many seconds after the last byte heard."""
        return self.interval + self.timeout


def configure(
    *,
    detect_within: float,
    mistakes_at_most: str | float,
    link: Link,
    mistakes_last_at_most: float | None = None,
) -> Quality:
    """
    Return the interval and timeout that keep a promise with the least traffic.

    Of all intervals that do, the longest is chosen. What the promise rests on is
    at the head of this module.

    Args:
        detect_within: Seconds after the last byte heard by which a death is
            known: T_D.
        mistakes_at_most: How often a live peer may be accused: "1/week",
            "2/day", or a number per second: 1 / T_MR.
        link: What was measured of the link.
        mistakes_last_at_most: Seconds for which a mistake may last: T_M. The
            time spent in mistakes, all taken together, is at most this for each
            one allowed. None sets no limit.

    Raises:
        ConfigError: A value is outside its range, or the wish cannot be granted
            on this link; the hint says what can.

    Source:
        W. Chen, S. Toueg, M. K. Aguilera 2002.

    >>> quality = configure(
    ...     detect_within=5,
    ...     mistakes_at_most="1/day",
    ...     link=Link(rtt=0.05, variance=1e-4),
    ... )
    >>> quality.interval, round(quality.timeout, 3)
    (3.342, 1.658)
    """
    within = require_seconds("detect_within", detect_within, most=LONGEST)
    if not isinstance(link, Link):
        raise ConfigError(
            f"link={link!r} is no Link",
            hint="give Link(rtt=…, variance=…), or Link.from_rtts(…)",
            field="link",
            value=link,
        )
    rate = per_second("mistakes_at_most", mistakes_at_most)
    last = math.inf
    if mistakes_last_at_most is not None:
        last = require_seconds("mistakes_last_at_most", mistakes_last_at_most)
    search = Search(link=link, rate=rate, last=last)
    interval = search.longest_interval(within)
    if interval is None:
        raise _refusal(search, within)
    mistakes = search.mistakes(interval, within)
    return Quality(
        interval=interval,
        timeout=within - interval,
        mistakes_every=1 / mistakes if mistakes else math.inf,
        wrong=min(1.0, search.wrongly(interval, within)),
        traffic=_traffic(interval),
    )


def _refusal(search: Search, within: float) -> ConfigError:
    wish = f"detect_within={within:g} with {in_words(search.rate)}"
    if math.isfinite(search.last):
        wish += f" of {search.last:g} s each"
    offers = ", or ".join(_offers(search, within))
    hints = [f"nearest, the rest as wished: {offers}"] if offers else []
    if search.link.loss:
        hints.append("over TCP nothing is lost for good: give loss=0 there")
    return ConfigError(
        f"{wish} cannot be promised on this link: {_obstacle(search, within)}",
        hint="; ".join(hints) or "a steadier link is needed",
        field="detect_within",
        value=within,
    )


def _obstacle(search: Search, within: float) -> str:
    """Say which of the link's numbers stands in the way."""
    link = search.link
    if within < search.shortest_timeout + SHORTEST:
        return (
            f"a timeout that one lost segment does not break takes"
            f" {search.shortest_timeout:.3g} s at a round trip of {link.rtt:g} s,"
            f" and leaves no time for an interval"
        )
    if link.loss and replace(search, link=replace(link, loss=0.0)).grants(within):
        return f"{link.loss:.2g} of all pings are never answered"
    spread = f"with round trips that vary by {math.sqrt(link.variance):.3g} s,"
    if replace(search, last=math.inf).grants(within):
        return f"{spread} late answers may come too much later"
    return f"{spread} answers may be late more often"


def _offers(search: Search, within: float) -> Iterator[str]:
    """Yield the wishes nearest to this one that can be granted, one number changed."""
    soonest = search.soonest()
    if soonest is not None:
        yield f"detect_within={soonest:g}"
    fewest = search.fewest_mistakes(within)
    if search.rate < fewest < math.inf:
        # A hair more, because at the very best only one interval will do.
        rate = rounded_up(fewest * 1.01)
        if replace(search, rate=rate).grants(within):
            yield f"mistakes_at_most='{in_words(rate)}'"
    interval = replace(search, last=math.inf).longest_interval(within)
    if interval is not None:
        last = rounded_up(search.wrongly(interval, within) / search.rate * 1.01)
        yield f"mistakes_last_at_most={last:g}"


def _traffic(interval: float) -> Traffic:
    pings = HOUR / interval
    return Traffic(
        every=interval,
        packets=PACKETS * pings,
        ipv4_bytes=(PACKETS * IPV4_BYTES + PAYLOAD) * pings,
        ipv6_bytes=(PACKETS * IPV6_BYTES + PAYLOAD) * pings,
    )
