"""
Bertier's detector: Chen's expected arrival, and a margin that is learnt too.

    error   = A(k) − EA(k) − delay
    delay  += γ · error
    spread += γ · (|error| − spread)
    margin  = β · delay + φ · spread          deadline = EA(l+1) + margin

That is Jacobson's estimator of TCP's retransmission timeout, fed with how late
the beats are. On a quiet link the margin shrinks to nothing, and each hiccup is
a mistake: give it a floor.

Source:
    M. Bertier, O. Marin, P. Sens: Implementation and performance evaluation of
    an adaptable failure detector. DSN 2002 (β = 1, φ = 4, γ = 0.1);
    V. Jacobson: Congestion avoidance and control. SIGCOMM 1988.
"""

from deadpeer.core.detectors.base import (
    FLOOR,
    WINDOW,
    Silence,
    require_window,
)
from deadpeer.core.detectors.expected import Schedule
from deadpeer.core.detectors.window import NANOSECONDS, Window
from deadpeer.policy.numbers import require_between

__all__ = ["Bertier"]


class Bertier(Silence):
    """
    Wait until the mean arrival time of the next beat, and a margin that adapts.

    Args:
        interval: Seconds between two beats.
        beta: How much the mean lateness counts: a ratio, β.
        phi: How much its spread counts: a ratio, φ.
        gamma: How quickly both follow: the ratio of the newest beat, γ.
        window: How many beats the mean arrival is over.
        floor: The smallest margin, in seconds.

    Raises:
        ConfigError: A value is outside its range.

    >>> detector = Bertier(interval=1, floor=0.5)
    >>> detector.beat(0, now=100.0)
    >>> detector.beat(1, now=101.0)
    >>> detector.deadline()
    102.5
    """

    __slots__ = (
        "_delay",
        "_offsets",
        "_schedule",
        "_spread",
        "beta",
        "gamma",
        "phi",
        "window",
    )

    def __init__(
        self,
        *,
        interval: float,
        beta: float = 1.0,
        phi: float = 4.0,
        gamma: float = 0.1,
        window: int = WINDOW,
        floor: float = FLOOR,
    ) -> None:
        super().__init__(interval=interval, floor=floor)
        self.beta = require_between("beta", beta, 0.0, 100.0)
        self.phi = require_between("phi", phi, 0.0, 100.0)
        self.gamma = require_between("gamma", gamma, 0.0, 1.0)
        self.window = require_window("window", window)
        self._schedule = Schedule(interval)
        self._offsets = Window(window)
        # Weights that shrink from beat to beat forget their rounding errors as
        # they forget their samples: nothing adds up.
        self._delay = 0.0
        self._spread = 0.0

    def expect(self, sequence: int, now: float) -> float:
        """
        Return the expected arrival of the next beat plus the margin, in seconds.

        Args:
            sequence: The beat's number.
            now: The instant at which it arrived, in seconds.
        """
        schedule, offsets = self._schedule, self._offsets
        begun = schedule.begun
        offset = schedule.offset(sequence, now)
        if begun:
            # A(k) − EA(k): the offset against the mean of those before.
            error = offset / NANOSECONDS - offsets.mean() - self._delay
            self._delay += self.gamma * error
            self._spread += self.gamma * (abs(error) - self._spread)
        offsets.add(offset)
        margin = self.beta * self._delay + self.phi * self._spread
        expected_at = schedule.due(sequence + 1) + offsets.mean()
        return expected_at + max(margin, self.floor)
