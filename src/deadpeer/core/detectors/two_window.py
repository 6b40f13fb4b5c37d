"""
2W-FD: the later of a quick estimate and a steady one.

    deadline = max(EA_short(l+1), EA_long(l+1)) + α        EA: see ``expected``

The long window does not feel one late beat; the short one follows at once when
the sender's schedule or the path changes for good. The later of the two is never
fooled by either, at the price of a slower detection for the few beats in which
they disagree.

Source:
    A. Tomsic, P. Sens, J. Garcia, L. Arantes, J. Sopena: 2W-FD: A failure
    detector algorithm with QoS. IEEE IPDPS 2015, hal-01357777.
"""

from deadpeer.core.detectors.base import FLOOR, WINDOW, Silence, require_window
from deadpeer.core.detectors.expected import Schedule
from deadpeer.core.detectors.window import Window
from deadpeer.errors import ConfigError
from deadpeer.policy.keepalive import require_seconds
from deadpeer.policy.numbers import LONGEST

__all__ = ["TwoWindow"]


class TwoWindow(Silence):
    """
    Wait until the later of two expected arrival times, and a margin.

    Args:
        interval: Seconds between two beats.
        margin: Seconds by which a beat may be late, α; it has to be above *floor* to
            count.
        short: How many beats the quick estimate is over.
        long: How many beats the steady one is over.
        floor: The smallest margin, in seconds.

    Raises:
        ConfigError: A value is outside its range, or *short* is not below *long*.

    >>> detector = TwoWindow(interval=1, margin=2)
    >>> detector.beat(0, now=100.0)
    >>> detector.beat(1, now=101.5)
    >>> detector.deadline()
    104.5
    """

    __slots__ = ("_quick", "_schedule", "_steady", "long", "margin", "short")

    def __init__(
        self,
        *,
        interval: float,
        margin: float = 0.0,
        short: int = 1,
        long: int = WINDOW,
        floor: float = FLOOR,
    ) -> None:
        super().__init__(interval=interval, floor=floor)
        self.margin = require_seconds("margin", margin, zero=True, most=LONGEST)
        self.short = require_window("short", short)
        self.long = require_window("long", long)
        if short >= long:
            raise ConfigError(
                f"short={short!r} is not below long={long!r}",
                hint="the two windows do their work by being different: 1 and 1000",
                field="short",
                value=short,
            )
        self._schedule = Schedule(interval)
        self._quick = Window(short)
        self._steady = Window(long)

    def expect(self, sequence: int, now: float) -> float:
        """
        Return the later expected arrival of the next beat plus the margin, in seconds.

        Args:
            sequence: The beat's number.
            now: The instant at which it arrived, in seconds.
        """
        quick, steady = self._quick, self._steady
        offset = self._schedule.offset(sequence, now)
        quick.add(offset)
        steady.add(offset)
        expected_at = self._schedule.due(sequence + 1) + max(
            quick.mean(), steady.mean()
        )
        return expected_at + max(self.margin, self.floor)
