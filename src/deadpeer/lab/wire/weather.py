"""The weather on one direction of a link, as a value: nothing here happens yet."""

import math
from dataclasses import dataclass

from deadpeer.errors import ConfigError

__all__ = ["CALM", "CUT", "Weather"]

# Bytes that wait for a narrow line: some hundred packets of 1500, as a small
# router has.
QUEUE = 150_000

# The longest that a packet can be, so that every queue has room for one.
LONGEST = 65_600


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """
    What becomes of packets in one direction of a link.

    A packet waits for its turn on the line (*bandwidth*, *queue*), may be lost
    there (*loss*, *burst*), and travels (*delay*, *jitter*).

    Args:
        delay: Seconds that each travels.
        jitter: Up to so many seconds more or less.
        keeps_order: Whether a packet that would overtake the one before it
            waits for it. Without, jitter reorders.
        loss: The part that is lost in the long run, 0 to 1.
        burst: How many packets are lost in a row on average; None loses each by
            itself, whatever became of the one before it.
        reorder: The part that travels in no time and overtakes, 0 to 1.
        bandwidth: Bits a second.
        queue: Bytes that may wait for their turn; what comes then is dropped.

    Raises:
        ConfigError: A value cannot be, alone or beside another.

    Source:
        Gilbert, Capacity of a Burst-Noise Channel, Bell System Technical
        Journal 39, 1960: the two states behind *burst*.
    """

    delay: float = 0.0
    jitter: float = 0.0
    keeps_order: bool = True
    loss: float = 0.0
    burst: float | None = None
    reorder: float = 0.0
    bandwidth: float = math.inf
    queue: int = QUEUE

    def __post_init__(self) -> None:
        for name in ("delay", "jitter"):
            value = getattr(self, name)
            self._require(
                name,
                "give seconds as a finite number, zero or more",
                good=math.isfinite(value) and value >= 0,
            )
        for name in ("loss", "reorder"):
            value = getattr(self, name)
            self._require(name, "give a part, from 0 to 1", good=0 <= value <= 1)
        self._require(
            "jitter",
            f"a packet cannot arrive before it was sent: at most {self.delay}",
            good=self.jitter <= self.delay,
        )
        self._require(
            "bandwidth", "give bits a second, above zero", good=self.bandwidth > 0
        )
        self._require(
            "queue",
            f"give bytes, {LONGEST} or more, or the longest packet never passes",
            good=self.queue >= LONGEST,
        )
        if self.burst is not None and self.loss < 1:
            # So many in a row, and yet a packet between two bursts.
            least = max(1.0, self.loss / (1 - self.loss))
            self._require(
                "burst",
                f"at this loss, give {least:.3g} packets or more",
                good=math.isfinite(self.burst) and self.burst >= least * (1 - 1e-9),
            )

    def _require(self, name: str, hint: str, *, good: bool) -> None:
        if not good:
            value = getattr(self, name)
            raise ConfigError(
                f"{name}={value!r} is no weather",
                hint=hint,
                field=name,
                value=value,
            )

    @property
    def longest(self) -> float:
        """Seconds that a packet which is not lost takes at the most."""
        return self.queue * 8 / self.bandwidth + self.delay + self.jitter


CALM = Weather()
"""Nothing happens: packets pass at once."""

CUT = Weather(loss=1.0)
"""Nothing passes."""
