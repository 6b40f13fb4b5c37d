"""
When is the next beat expected? The estimate that three detectors build upon.

    EA(l+1) = 1/n · Σ (A(i) − η·i) + (l+1)·η        over the last n beats received

A(i) is when beat i arrived, η the interval, l the newest number. The sum is the
mean offset of the sender's schedule against our clock, delay included; no
synchronised clocks are needed, because only the offset is asked for.

Source:
    W. Chen, S. Toueg, M. K. Aguilera: On the quality of service of failure
    detectors. IEEE Transactions on Computers 51(5), 2002, section 6 (NFD-E).
"""

from deadpeer.core.detectors.window import Window

__all__ = ["ExpectedArrival"]


class ExpectedArrival:
    """
    The mean offset of a sender's schedule, over a window of beats.

    Args:
        interval: Seconds between two beats.
        size: How many beats are remembered.
    """

    __slots__ = ("_began_at", "_first", "_interval", "_offsets")

    def __init__(self, *, interval: float, size: int) -> None:
        self._interval = interval
        self._offsets = Window(size)
        self._first = 0
        self._began_at = 0.0

    def arrived(self, sequence: int, now: float) -> None:
        """
        Take note of a beat.

        Args:
            sequence: Its number.
            now: The instant at which it arrived, in seconds.
        """
        if not len(self._offsets):
            # Offsets are counted from the first beat: small numbers, which keep
            # their nanoseconds where an instant of a clock would not.
            self._first, self._began_at = sequence, now
        due = (sequence - self._first) * self._interval
        self._offsets.add((now - self._began_at) - due)

    def of(self, sequence: int) -> float:
        """
        Return when a beat is expected, in seconds, once one has arrived.

        Args:
            sequence: Its number.
        """
        due = (sequence - self._first) * self._interval
        return self._began_at + due + self._offsets.mean()
