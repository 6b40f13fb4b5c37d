"""
NFD-E: a fixed margin on top of an arrival time that is learnt.

    deadline = EA(l+1) + α        EA: the mean over n beats, see ``expected``

The mean hardly feels one late beat, so the next is expected on schedule; that
is better than ``Fixed`` after a late one. Its weakness: a sender that *stalls
and shifts its schedule* (one that sleeps between beats does) is late for good,
and the mean needs n beats to learn it; all that time it is suspected again and
again. ``TwoWindow`` cures exactly that.

Source:
    W. Chen, S. Toueg, M. K. Aguilera: On the quality of service of failure
    detectors. IEEE Transactions on Computers 51(5), 2002 (NFD-E).
"""

from deadpeer.core.detectors.base import FLOOR, WINDOW, Silence, require_window
from deadpeer.core.detectors.expected import Schedule
from deadpeer.core.detectors.window import Window
from deadpeer.policy.keepalive import require_seconds
from deadpeer.policy.numbers import LONGEST

__all__ = ["Chen"]


class Chen(Silence):
    """
    Wait until the mean arrival time of the next beat, and a margin.

    Args:
        interval: Seconds between two beats.
        margin: Seconds by which a beat may be late, α of the paper; it has to be above *floor* to
            count.
        window: How many beats the mean is over: n of the paper.
        floor: The smallest margin, in seconds.

    Raises:
        ConfigError: A value is outside its range.

    >>> detector = Chen(interval=1, margin=2)
    >>> detector.beat(0, now=100.0)
    >>> detector.beat(1, now=101.5)
    >>> detector.deadline()
    104.25
    """

    __slots__ = ("_offsets", "_schedule", "margin", "window")

    def __init__(
        self,
        *,
        interval: float,
        margin: float = 0.0,
        window: int = WINDOW,
        floor: float = FLOOR,
    ) -> None:
        super().__init__(interval=interval, floor=floor)
        self.margin = require_seconds("margin", margin, zero=True, most=LONGEST)
        self.window = require_window("window", window)
        self._schedule = Schedule(interval)
        self._offsets = Window(window)

    def expect(self, sequence: int, now: float) -> float:
        """
        Return the expected arrival of the next beat plus the margin, in seconds.

        Args:
            sequence: The beat's number.
            now: The instant at which it arrived, in seconds.
        """
        self._offsets.add(self._schedule.offset(sequence, now))
        expected_at = self._schedule.due(sequence + 1) + self._offsets.mean()
        return expected_at + max(self.margin, self.floor)
