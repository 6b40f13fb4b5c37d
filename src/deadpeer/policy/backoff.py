"""
How long to wait before the next attempt to connect.

When a server comes back, everybody who lost it tries again. Waits that double
take the load off it; waits that are drawn at random keep the attempts apart.
"""

import math
from dataclasses import dataclass

from deadpeer.errors import ConfigError
from deadpeer.policy.keepalive import require_seconds
from deadpeer.policy.numbers import LONGEST, is_number, require_share

__all__ = ["Backoff"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """
    Waits between attempts: any length up to a ceiling, and the ceiling grows.

    Args:
        first: The ceiling before the first new attempt, in seconds.
        cap: What the ceiling never exceeds, in seconds.
        factor: How many times the ceiling grows with each failed attempt, a
            ratio; 1 keeps it.
        steady: How many seconds a connection has to have lasted for the attempts
            to start anew. One that ends sooner counts as another failure, so
            that a server which accepts and then hangs up is not hammered.

    Raises:
        ConfigError: A value cannot work.

    >>> Backoff().delay(3, chance=0.5)
    2.0

    Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture
    Blog, 2015, "full jitter".
    """

    first: float = 0.5
    cap: float = 30.0
    factor: float = 2.0
    steady: float = 10.0

    def __post_init__(self) -> None:
        require_seconds("first", self.first)
        require_seconds("cap", self.cap, most=LONGEST)
        require_seconds("steady", self.steady, zero=True)
        if self.cap < self.first:
            raise ConfigError(
                f"cap={self.cap!r} is less than first={self.first!r}",
                hint="the ceiling starts at first and grows to cap",
                field="cap",
                value=self.cap,
            )
        if not is_number(self.factor) or not 1 <= self.factor < math.inf:
            raise ConfigError(
                f"factor={self.factor!r} does not make waits longer",
                hint="give a number from 1 on, such as 2",
                field="factor",
                value=self.factor,
            )

    def ceiling(self, attempt: int) -> float:
        """
        Return the longest wait before an attempt, in seconds.

        Args:
            attempt: How many attempts have failed since the last steady
                connection; 0 right after one was lost.

        Raises:
            ConfigError: *attempt* is no count.
        """
        if not isinstance(attempt, int) or isinstance(attempt, bool) or attempt < 0:
            raise ConfigError(
                f"attempt={attempt!r} is not a count",
                hint="give a whole number, zero or more",
                field="attempt",
                value=attempt,
            )
        if self.factor == 1:
            return self.first
        # In logarithms first: a server that is down for weeks would overflow.
        room = math.log(self.cap) - math.log(self.first)
        if attempt >= room / math.log(self.factor):
            return self.cap
        return min(self.cap, self.first * self.factor**attempt)

    def delay(self, attempt: int, *, chance: float) -> float:
        """
        Return the seconds to wait before an attempt.

        Args:
            attempt: As for ``ceiling``.
            chance: A share, a random number evenly spread from 0 up to 1, drawn
                anew for each wait.

        Raises:
            ConfigError: *attempt* is no count, or *chance* is out of its range.
        """
        remark = ", such as random.random() does"
        return self.ceiling(attempt) * require_share("chance", chance, remark=remark)

    def following(self, attempt: int, *, lasted: float = 0.0) -> int:
        """
        Return which attempt comes after this one.

        Args:
            attempt: The one that has ended.
            lasted: How many seconds its connection lasted; 0 if there was none.
        """
        return 0 if lasted >= self.steady and lasted > 0 else attempt + 1
