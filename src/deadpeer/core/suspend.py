"""
How long the machine slept, from two clocks of which only one stops meanwhile.

Two clocks cannot be read at one instant. Reading the one before and after the
other bounds what the gap between them was, and only growth beyond these bounds
is sleep: a process that is put aside between two readings has not slept.
"""

from typing import NamedTuple

__all__ = ["Look", "slept_between"]

# Shorter sleeps, in seconds, are not worth telling, and clocks that are steered
# apart by NTP differ by 0.5 ms in a second at most (adjtimex(2)).
TOLERANCE = 0.1


class Look(NamedTuple):
    """
    One look at both clocks.

    Attributes:
        before_at: The clock that stops in a sleep, right before.
        whole_at: The clock that goes on in a sleep.
        after_at: The clock that stops in a sleep, right after.
    """

    before_at: float
    whole_at: float
    after_at: float


def slept_between(earlier: Look, later: Look) -> float:
    """
    Return the seconds for which the machine slept at least; 0 for a tenth or less.

    Args:
        earlier: The first look.
        later: The second look.
    """
    # The gap was at most this then, and is at least that now.
    then = earlier.whole_at - earlier.before_at
    now = later.whole_at - later.after_at
    slept = now - then
    return slept if slept > TOLERANCE else 0.0
