"""What is known of a link: how long round trips take, and how much that varies."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from deadpeer.errors import ConfigError
from deadpeer.policy.keepalive import require_seconds
from deadpeer.policy.numbers import require_between, require_share

__all__ = ["Link"]

# Eleven days for a round trip: whoever gives more gave another unit.
LONGEST = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """
    What was measured of a link.

    Args:
        rtt: The mean round-trip time, in seconds.
        variance: Its variance, in seconds squared.
        loss: The share of pings that are never answered though the peer lives.
            Leave it at 0 over TCP: there a lost segment is sent again, and shows
            as a long round trip.

    Raises:
        ConfigError: A value is outside its range.

    >>> Link(rtt=0.05, variance=0.0001)
    Link(rtt=0.05, variance=0.0001, loss=0.0)
    """

    rtt: float
    variance: float
    loss: float = 0.0

    def __post_init__(self) -> None:
        require_seconds("rtt", self.rtt, most=LONGEST)
        require_between("variance", self.variance, 0.0, LONGEST**2)
        require_share("loss", self.loss, remark="; over TCP it is 0")

    @classmethod
    def from_rtts(cls, samples: Iterable[float], *, loss: float = 0.0) -> Self:
        """
        Return the link that showed these round-trip times.

        Args:
            samples: Round-trip times in seconds, of pings alone; two or more,
                and as many as the link needs to show its bad hours.
            loss: The share of pings that were never answered.

        Raises:
            ConfigError: There are fewer than two, or one is not a duration.

        >>> Link.from_rtts([0.25, 0.5, 0.75]).rtt
        0.5
        """
        if not isinstance(samples, Iterable):
            raise ConfigError(
                f"samples={samples!r} are no round-trip times",
                hint="give two or more, such as [0.021, 0.023]",
                field="samples",
                value=samples,
            )
        rtts = [require_seconds("samples", one, most=LONGEST) for one in samples]
        if len(rtts) < 2:  # noqa: PLR2004 - one has no variance
            raise ConfigError(
                f"{len(rtts)} round-trip times say nothing about their spread",
                hint="measure two or more, at best over a whole day",
                field="samples",
                value=rtts,
            )
        rtt = statistics.fmean(rtts)
        return cls(rtt=rtt, variance=statistics.variance(rtts, rtt), loss=loss)
