"""
φ accrual over a normal distribution, computed exactly.

    φ(t) = −log₁₀ P_later(t)        P_later(t) = ½ erfc(y/√2)        y = (t − μ)/σ

t is the silence, μ and σ are over the gaps of a window; suspicion is φ divided
by the threshold. If gaps were normal, a suspicion would be a mistake once in
10^threshold; they are not, so take φ as a scale and not as a probability.

* **Exact, at any y.** 1 − CDF is zero from y = 8.3 on, where φ would jump from
  16 to infinity; Akka's logistic stand-in calls a φ of 7.06 eight. Here it is
  ``erfc``, and beyond the reach of a float its asymptotic series.
* **Deadline form.** φ reaches the threshold at μ + σ·z after the last beat, and
  z depends on the threshold alone: solved once, never polled.
* **A floor.** σ·z is the margin, so a floor under the margin is one under σ.
* **Cold start.** Two made-up gaps of η ± η/4 (Akka's prior) are the window's
  first, and leave it like any other.
* **Outages.** A gap that ended in suspicion is not recorded (Akka): an hour's
  outage would make the next hour's deaths invisible.
* **Bursts.** μ is not taken below the interval, which was promised: beats that a
  stalled path lets go at once would otherwise make it smaller.

Source:
    N. Hayashibara, X. Défago, R. Yared, T. Katayama: The φ accrual failure
    detector. SRDS 2004; Akka, PhiAccrualFailureDetector.scala
    (threshold 8, 1000 samples); M. Abramowitz, I. Stegun: Handbook of
    Mathematical Functions, 1964, 7.1.23 (the series), 26.2.12.
"""

import functools
import math

from deadpeer.core.detectors.base import (
    FLOOR,
    WINDOW,
    Silence,
    require_window,
)
from deadpeer.core.detectors.window import SpreadWindow, nanoseconds
from deadpeer.policy.numbers import require_between

__all__ = ["PhiNormal", "phi", "quantile"]

LN_10 = math.log(10)
SQRT_2 = math.sqrt(2)
LN_SQRT_TAU = 0.5 * math.log(math.tau)

# Where the series takes over from erfc, which is still accurate here (it has
# no digits left at 38): at 30 the terms below err by less than a float can show.
FAR = 30.0


def phi(y: float) -> float:
    """
    Return −log₁₀ of the probability that a normal variable exceeds *y* sigmas.

    Args:
        y: A number of standard deviations above the mean.

    Returns:
        A number of decimal digits, from 0 to infinity.

    Source:
        M. Abramowitz, I. Stegun: Handbook of Mathematical Functions, 26.2.12.

    >>> round(phi(5.612), 4)
    8.0
    >>> round(phi(100.0), 1)
    2173.9
    """
    if y < 0:
        # Nearly certain: the logarithm of 1 − x, without forming 1 − x.
        return -math.log1p(-0.5 * math.erfc(-y / SQRT_2)) / LN_10
    if y < FAR:
        return -math.log10(0.5 * math.erfc(y / SQRT_2))
    inverse = 1.0 / (y * y)
    series = 1.0
    for odd in (11.0, 9.0, 7.0, 5.0, 3.0, 1.0):
        series = 1.0 - odd * inverse * series
    return (0.5 * y * y + math.log(y) + LN_SQRT_TAU - math.log(series)) / LN_10


@functools.lru_cache(maxsize=16)  # one threshold serves many peers
def quantile(digits: float) -> float:
    """
    Return the y at which ``phi(y)`` is *digits*.

    Args:
        digits: A number of decimal digits, 0.1 or more.

    Returns:
        A number of standard deviations.

    Source:
        Bisection; φ is increasing.

    >>> round(quantile(8), 3)
    5.612
    """
    # From P_later(y) ≤ e^(−y²/2) for y ≥ 0: the solution is never beyond this.
    low, high = -2.0, math.sqrt(2.0 * LN_10 * digits)
    while True:
        middle = 0.5 * (low + high)
        if not low < middle < high:  # neighbours: no float lies between
            return high
        if phi(middle) < digits:
            low = middle
        else:
            high = middle


class PhiNormal(Silence):
    """
    Suspect when so long a gap would be one in 10**threshold, were gaps normal.

    Args:
        interval: Seconds between two beats.
        threshold: The φ at which suspicion is 1: a number of decimal digits.
        window: How many gaps are remembered.
        floor: The smallest margin, in seconds.

    Raises:
        ConfigError: A value is outside its range.

    >>> detector = PhiNormal(interval=1)
    >>> detector.beat(0, now=100.0)
    >>> round(detector.deadline(), 3)
    102.403
    """

    __slots__ = ("_expected_at", "_gaps", "_z", "threshold", "window")

    def __init__(
        self,
        *,
        interval: float,
        threshold: float = 8.0,
        window: int = WINDOW,
        floor: float = FLOOR,
    ) -> None:
        super().__init__(interval=interval, floor=floor)
        # Below 1, one beat in ten is a mistake, and y would not be positive for
        # long; nobody wants that.
        self.threshold = require_between("threshold", threshold, 1.0, 1e6)
        self.window = require_window("window", window, least=2)
        self._z = quantile(threshold)
        self._expected_at = -math.inf
        self._gaps = SpreadWindow(window)
        self._gaps.add(nanoseconds(interval * 0.75))
        self._gaps.add(nanoseconds(interval * 1.25))

    def expect(self, sequence: int, now: float) -> float:  # noqa: ARG002
        """
        Return when φ will reach the threshold, in seconds.

        Args:
            sequence: The beat's number.
            now: The instant at which it arrived, in seconds.
        """
        gaps = self._gaps
        if math.isfinite(self._deadline) and now < self._deadline:
            gaps.add(nanoseconds(now - self._heard_at))
        margin = max(self._z * math.sqrt(gaps.variance()), self.floor)
        self._expected_at = now + max(gaps.mean(), self.interval)
        return self._expected_at + margin

    def suspicion(self, *, now: float) -> float:
        """
        Return φ divided by the threshold, a ratio.

        Args:
            now: The instant, in seconds of the caller's clock.
        """
        if self._heard_at == -math.inf:
            return 0.0
        # The margin is z sigmas, whether measured or the floor: in these units
        # the deadline is at z exactly, whatever the floats before it rounded.
        margin = self._deadline - self._expected_at
        if margin <= 0:  # too small for a float of this clock
            return super().suspicion(now=now)
        return phi(self._z * ((now - self._expected_at) / margin)) / phi(self._z)
