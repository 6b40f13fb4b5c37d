"""
The fixed timeout: the oldest detector, and hard to beat on a quiet link.

    deadline = A(l) + η + margin

A(l) is when the newest beat arrived, η the interval. It learns nothing, so
nothing can lead it astray; the price is a margin that must be right for the
worst hour, and is then paid in every hour.

Source:
    The common practice that W. Chen, S. Toueg, M. K. Aguilera: On the quality of
    service of failure detectors. IEEE Transactions on Computers 51(5), 2002,
    compare themselves with.
"""

from deadpeer.core.detectors.base import FLOOR, Silence
from deadpeer.policy.keepalive import require_seconds
from deadpeer.policy.numbers import LONGEST

__all__ = ["Fixed"]


class Fixed(Silence):
    """
    Wait for the interval and a margin that never changes.

    Args:
        interval: Seconds between two beats.
        margin: Seconds by which a beat may be late; it has to be above *floor* to
            count.
        floor: The smallest margin, in seconds.

    Raises:
        ConfigError: A value is not a positive number of seconds.

    >>> detector = Fixed(interval=1, margin=2)
    >>> detector.beat(0, now=100.0)
    >>> detector.deadline()
    103.0
    """

    __slots__ = ("margin",)

    def __init__(
        self, *, interval: float, margin: float = 0.0, floor: float = FLOOR
    ) -> None:
        super().__init__(interval=interval, floor=floor)
        self.margin = require_seconds("margin", margin, zero=True, most=LONGEST)

    def expect(self, sequence: int, now: float) -> float:  # noqa: ARG002
        """
        Return the beat's arrival, the interval and the margin added, in seconds.

        Args:
            sequence: The beat's number.
            now: The instant at which it arrived, in seconds.
        """
        return now + self.interval + max(self.margin, self.floor)
