"""
φ accrual over an exponential distribution: Cassandra's detector.

    φ(t) = −log₁₀ P_later(t) = t / (mean · ln 10)        P_later(t) = e^(−t/mean)

t is the silence, the mean is over the gaps of a window; suspicion is φ divided
by the threshold. One parameter instead of two: it looks at the mean alone, so
it is robust, and slow: with the threshold 8 a death takes 18.42 means.

* A gap that ended in suspicion was an outage, and is not recorded (Akka's rule;
  Cassandra caps it).
* The mean is not taken below the interval, which was promised: a burst of beats
  that a stalled sender or path let go at once would otherwise shorten the
  deadline for the ones that follow.

Source:
    A. Lakshman, P. Malik: Cassandra, a decentralized structured storage system.
    LADIS 2009; Apache Cassandra, gms/FailureDetector.java
    (threshold 8, 1000 samples).
"""

import math

from deadpeer.core.detectors.base import (
    FLOOR,
    WINDOW,
    Silence,
    require_window,
)
from deadpeer.core.detectors.window import Window, nanoseconds
from deadpeer.policy.numbers import require_between

__all__ = ["PhiExponential"]

LN_10 = math.log(10)


class PhiExponential(Silence):
    """
    Suspect when so long a gap would be one in 10**threshold, were gaps exponential.

    Args:
        interval: Seconds between two beats.
        threshold: The φ at which suspicion is 1: a number of decimal digits.
        window: How many gaps the mean is over.
        floor: The smallest margin, in seconds.

    Raises:
        ConfigError: A value is outside its range.

    >>> detector = PhiExponential(interval=1)
    >>> detector.beat(0, now=100.0)
    >>> round(detector.deadline(), 2)
    118.42
    """

    __slots__ = ("_gaps", "threshold", "window")

    def __init__(
        self,
        *,
        interval: float,
        threshold: float = 8.0,
        window: int = WINDOW,
        floor: float = FLOOR,
    ) -> None:
        super().__init__(interval=interval, floor=floor)
        self.threshold = require_between("threshold", threshold, 0.1, 1e6)
        self.window = require_window("window", window)
        self._gaps = Window(window)
        self._gaps.add(nanoseconds(interval))  # the prior: what the sender promised

    def expect(self, sequence: int, now: float) -> float:  # noqa: ARG002
        """
        Return when φ will reach the threshold, in seconds.

        Args:
            sequence: The beat's number.
            now: The instant at which it arrived, in seconds.
        """
        if math.isfinite(self._deadline) and now < self._deadline:
            self._gaps.add(nanoseconds(now - self._heard_at))
        mean = max(self._gaps.mean(), self.interval)
        return now + max(mean * self.threshold * LN_10, mean + self.floor)
