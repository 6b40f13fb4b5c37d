"""
One direction of a wire: when a packet that comes now goes on, or that it does not.

Pure: the clock's ``now`` and the dice are arguments.
"""

from collections import deque
from collections.abc import Callable
from enum import Enum

from deadpeer.lab.wire.weather import CALM, Weather

__all__ = ["Drop", "Lane"]

BITS = 8


class Drop(Enum):
    """Why a packet goes no further."""

    LOST = "lost"
    """The weather took it."""
    OVERFLOWED = "overflowed"
    """There was no room left in the queue before the line."""
    FORGOTTEN = "forgotten"
    """The box on the way does not know its connection."""


class Lane:
    """
    One direction of a wire.

    Args:
        dice: Returns chance, evenly from 0 to below 1.

    Attributes:
        weather: What it is now; may be changed at any time.
    """

    def __init__(self, dice: Callable[[], float]) -> None:
        self.dice = dice
        self.weather: Weather = CALM
        # When the last bit of each packet is on its way, and its bytes.
        self.queue: deque[tuple[float, int]] = deque()
        self.queued = 0
        self.line_free_at = 0.0
        self.last_due_at = 0.0
        self.in_burst = False

    def admit(self, size: int, *, now: float) -> float | Drop:
        """
        Return when a packet arrives at the other end, or why it does not.

        Args:
            size: Its length in bytes.
            now: When it came, in seconds; no earlier than the one before it.
        """
        weather = self.weather
        sent_at = self._send(size, now)
        if sent_at is None:
            return Drop.OVERFLOWED
        # Only now: a packet that is lost on the line took its time there.
        if self._is_lost():
            return Drop.LOST
        if weather.reorder and self.dice() < weather.reorder:
            return sent_at
        due_at = sent_at + weather.delay
        if weather.jitter:
            due_at += weather.jitter * (2 * self.dice() - 1)
        if weather.keeps_order:
            due_at = max(due_at, self.last_due_at)
        self.last_due_at = max(self.last_due_at, due_at)
        return due_at

    def waiting(self, *, now: float) -> int:
        """Return how many bytes wait for the line, with what is half on it."""
        while self.queue and self.queue[0][0] <= now:
            self.queued -= self.queue.popleft()[1]
        return self.queued

    def _send(self, size: int, now: float) -> float | None:
        """Return when the last bit is on its way; None if there is no room."""
        if self.waiting(now=now) + size > self.weather.queue:
            return None
        self.line_free_at = max(self.line_free_at, now)
        self.line_free_at += size * BITS / self.weather.bandwidth
        self.queue.append((self.line_free_at, size))
        self.queued += size
        return self.line_free_at

    def _is_lost(self) -> bool:
        """
        Return whether this one is.

        With bursts, the line is good or bad, and bad it loses everything. It
        turns good with probability 1/burst and bad with the one that makes the
        part of bad times the loss: p/(p + 1/burst) = loss.
        """
        loss, burst = self.weather.loss, self.weather.burst
        if not 0 < loss < 1:
            return loss >= 1
        if burst is None:
            return self.dice() < loss
        turns = 1 - 1 / burst if self.in_burst else loss / (1 - loss) / burst
        self.in_burst = self.dice() < turns
        return self.in_burst
