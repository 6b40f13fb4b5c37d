"""
The last so many durations, with their mean and variance, in constant time.

Running sums of floats drift: each addition rounds, and nothing takes the error
back. Here durations are whole nanoseconds, and the sums Python's integers: what
leaves the window is subtracted exactly, so that after a billion beats the mean
is what adding up the window afresh would give.
"""

from array import array

__all__ = ["NANOSECONDS", "SpreadWindow", "Window", "nanoseconds"]

NANOSECONDS = 1e9

# What an array of 64-bit integers holds is 292 years. Anything beyond 30 years
# is a wrong number, and must not raise where a peer can send it.
MOST = 10**18


class Window:
    """
    A ring of durations that knows its mean.

    Args:
        size: How many are remembered.
    """

    __slots__ = ("_oldest", "_samples", "_size", "_total")

    def __init__(self, size: int) -> None:
        self._size = size
        self._samples = array("q")
        self._oldest = 0
        self._total = 0

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, sample: int) -> int:
        """
        Remember a duration, and forget the oldest where there is no room.

        Args:
            sample: Whole nanoseconds; ``nanoseconds`` makes them.

        Returns:
            The sample that was forgotten, or 0.
        """
        samples = self._samples
        if len(samples) < self._size:
            samples.append(sample)
            self._total += sample
            return 0
        at = self._oldest
        gone = samples[at]
        samples[at] = sample
        self._total += sample - gone
        at += 1
        self._oldest = at if at < self._size else 0
        return gone

    def mean(self) -> float:
        """Return the mean, in seconds, of a window that is not empty."""
        return self._total / len(self._samples) / NANOSECONDS


class SpreadWindow(Window):
    """
    A ring of durations that also knows how far they spread.

    Args:
        size: How many are remembered.
    """

    __slots__ = ("_squares",)

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._squares = 0

    def add(self, sample: int) -> int:
        """
        Remember a duration, and forget the oldest where there is no room.

        Args:
            sample: Whole nanoseconds.

        Returns:
            The sample that was forgotten, or 0.
        """
        gone = super().add(sample)
        self._squares += sample * sample - gone * gone
        return gone

    def variance(self) -> float:
        """Return the variance, in seconds squared, of a window that is not empty."""
        # Whole numbers throughout: nothing cancels, however large the mean is.
        count, total = len(self._samples), self._total
        return (count * self._squares - total * total) / (count * count) / 1e18


def nanoseconds(seconds: float) -> int:
    """
    Return a duration in whole nanoseconds, at most thirty years of them.

    Args:
        seconds: The duration; it may be negative.
    """
    sample = round(seconds * NANOSECONDS)
    if -MOST < sample < MOST:
        return sample
    return MOST if sample > 0 else -MOST
