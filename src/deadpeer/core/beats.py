"""
When promised beats are due: a schedule that does not drift and never catches up.

A sender that sleeps for the interval after each beat is late by its own work, every time;
one that makes up for missed beats sends a burst. Beats are due at first_at + k·interval,
and those that were missed are skipped.

Source: W. Chen, S. Toueg, M. K. Aguilera, "On the Quality of Service of Failure
Detectors", IEEE Transactions on Computers 51(5), 2002: beat i is sent at i·η.
"""

import math
from dataclasses import dataclass
from typing import Self

from deadpeer.errors import ConfigError
from deadpeer.policy.keepalive import require_seconds
from deadpeer.policy.numbers import LONGEST, require_share

__all__ = ["Beats"]

SHORTEST = 0.001  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Beats:
    """
    The instants at which to beat.

    Args:
        interval: Seconds from one to the next.
        first_at: The first, in seconds of the driver's clock.

    Raises:
        ConfigError: *interval* is no duration, below a millisecond or above
            thirty years.

    >>> Beats(interval=20.0, first_at=5.0).next_after(now=67.0)
    85.0
    """

    interval: float
    first_at: float

    def __post_init__(self) -> None:
        require_seconds("interval", self.interval, most=LONGEST)
        if self.interval < SHORTEST:
            raise ConfigError(
                f"interval={self.interval!r} is less than {SHORTEST} s",
                hint="an announcement carries whole milliseconds",
                field="interval",
                value=self.interval,
            )

    @classmethod
    def starting(cls, *, interval: float, now: float, jitter: float) -> Self:
        """
        Return a schedule whose first beat falls into the first interval.

        Peers that were all started by one event do not beat all at once.

        Args:
            interval: Seconds from one to the next.
            now: The driver's clock, in seconds.
            jitter: A share of the interval, from 0 to less than 1, by chance.

        Raises:
            ConfigError: A value is out of its range.
        """
        require_seconds("interval", interval, most=LONGEST)
        share = require_share("jitter", jitter, remark=", by chance")
        return cls(interval=interval, first_at=now + share * interval)

    def next_after(self, *, now: float) -> float:
        """
        Return the first instant of the schedule after *now*.

        A timer may fire a little early. Ask with the later of its instant and
        the clock, or the same beat is named again.

        Args:
            now: The driver's clock, in seconds.

        Returns:
            An instant, later than *now* by at most one interval.
        """
        if now < self.first_at:
            return self.first_at
        passed = math.floor((now - self.first_at) / self.interval)
        # The quotient may have been rounded either way.
        near = (self.first_at + (passed + k) * self.interval for k in range(3))
        return next((at for at in near if at > now), now + self.interval)
