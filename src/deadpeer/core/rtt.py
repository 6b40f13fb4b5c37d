"""Round-trip times, from answered pings only: last, smoothed, variance, smallest."""

from dataclasses import dataclass
from typing import Final

__all__ = ["Rtt", "smoothed"]

# RFC 6298, section 2.3.
ALPHA: Final = 1 / 8
BETA: Final = 1 / 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Rtt:
    """
    Round-trip times of one peer, in seconds.

    Args:
        last: The latest, in seconds.
        smoothed: Their moving average, in seconds.
        variance: Their mean deviation from it, in seconds.
        smallest: The shortest so far, in seconds.
    """

    last: float
    smoothed: float
    variance: float
    smallest: float


def smoothed(average: float, variance: float, sample: float) -> tuple[float, float]:
    """
    Return average and variance in seconds, after one more sample.

    Args:
        average: Before, in seconds; negative if this is the first sample.
        variance: Before, in seconds.
        sample: The new round trip in seconds.

    Source:
        RFC 6298, section 2: RTTVAR ← ¾·RTTVAR + ¼·|SRTT − R|, then
        SRTT ← ⅞·SRTT + ⅛·R; the first sample sets R and R/2.

    >>> smoothed(-1.0, 0.0, 0.2)
    (0.2, 0.1)
    """
    if average < 0:
        return sample, sample / 2
    variance += BETA * (abs(average - sample) - variance)
    return average + ALPHA * (sample - average), variance
