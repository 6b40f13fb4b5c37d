"""
When is the next beat expected? The estimate that three detectors build upon.

    EA(l+1) = 1/n · Σ (A(i) − η·i) + (l+1)·η        over the last n beats received

A(i) is when beat i arrived, η the interval, l the newest number. The sum is the
mean offset of the sender's schedule against our clock, delay included; no
synchronised clocks are needed, because only the offset is asked for.

Source:
    W. Chen, S. Toueg, M. K. Aguilera: On the quality of service of failure
    detectors. IEEE Transactions on Computers 51(5), 2002 (NFD-E).
"""

from deadpeer.core.detectors.window import nanoseconds

__all__ = ["Schedule"]


class Schedule:
    """
    A sender's schedule as the first beat made it appear: when each one is due.

    The window over the offsets is the caller's, who may have two of them.

    Args:
        interval: Seconds between two beats.
    """

    __slots__ = ("_began_at", "_first", "_interval", "begun")

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._first = 0
        self._began_at = 0.0
        self.begun = False

    def offset(self, sequence: int, now: float) -> int:
        """
        Return by how much a beat is late, in whole nanoseconds; negative if early.

        Args:
            sequence: Its number.
            now: The instant at which it arrived, in seconds.
        """
        if not self.begun:
            # Offsets are counted from the first beat: small numbers, which keep
            # their nanoseconds where an instant of a clock would not.
            self._first, self._began_at = sequence, now
            self.begun = True
        due = (sequence - self._first) * self._interval
        return nanoseconds((now - self._began_at) - due)

    def due(self, sequence: int) -> float:
        """
        Return when a beat is due, in seconds; add the mean offset to expect it.

        Args:
            sequence: Its number.
        """
        return self._began_at + (sequence - self._first) * self._interval
