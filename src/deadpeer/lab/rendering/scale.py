"""From seconds to places on a picture, and back to round numbers on its axis."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from deadpeer.lab.rendering.report import Section

__all__ = ["Scale", "scale_for"]

# The part of a picture's width that shows the time before the fault.
BEFORE = 0.08

# Numbers on an axis, at the most; fewer where there is less room.
ROOM_FOR_A_NUMBER = 42


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """
    A straight line from seconds to places.

    Args:
        left: Where the picture begins, in pixels.
        right: Where it ends, in pixels.
        end: The instant at its right end, in seconds after the fault.
    """

    left: float
    right: float
    end: float

    @property
    def zero(self) -> float:
        """The place of the fault, in pixels (a number of them)."""
        return self.left + BEFORE * (self.right - self.left)

    def at(self, seconds: float) -> float:
        """
        Return the place of an instant, no further than the picture goes.

        Args:
            seconds: After the fault.

        Returns:
            The number of pixels from the left.
        """
        place = self.zero + seconds / self.end * (self.right - self.zero)
        return max(self.left, min(self.right, place))

    def ticks(self) -> list[int | float]:
        """Return round instants for the axis, in seconds after the fault."""
        room = max(2.0, (self.right - self.zero) / ROOM_FOR_A_NUMBER)
        step = _round_step(self.end / room)
        return [n * step for n in range(math.floor(self.end / step) + 1)]


def scale_for(sections: Iterable[Section], left: float, right: float) -> Scale:
    """
    Return a scale on which every death can be seen to its end.

    Live peers may be watched for longer; that they live on is clear without.

    Args:
        sections: What the picture shows.
        left: Where it begins, in pixels.
        right: Where it ends, in pixels.
    """
    rows = [row for section in sections for row in section.rows]
    deaths = [row for row in rows if not row.is_live] or rows
    ends = (max((row.observed_for, *row.reports)) for row in deaths)
    return Scale(left=left, right=right, end=max(ends, default=1.0) or 1.0)


def _round_step(least: float) -> float:
    """Return 1, 2 or 5 times a power of ten, no less than asked."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(
        (step * power for step in (1, 2, 5, 10) if step * power >= least), 10 * power
    )
