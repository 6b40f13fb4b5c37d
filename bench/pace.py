"""How fast hearts beat in a run, and the promise that each subject makes of it."""

from dataclasses import dataclass

__all__ = ["Pace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """
    The heartbeat that every subject is asked for.

    Args:
        interval: Seconds between a sign of life and the next ping.
        timeout: Seconds from a ping to the verdict.
    """

    interval: float
    timeout: float

    def __post_init__(self) -> None:
        if not all(0 < one < float("inf") for one in (self.interval, self.timeout)):
            raise ValueError("an interval and a timeout are seconds, more than zero")
