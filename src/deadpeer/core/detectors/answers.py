"""A detector that is told of answers: questions come when they like, its beats do not."""

from deadpeer.core.detectors.base import Detector

__all__ = ["Answers"]


class Answers:
    """
    One peer's answers, as a detector sees them.

    It sees a stream of beats on a schedule, delayed by what was measured, so silence
    that data has filled does not disturb it. Sequence numbers of questions begin anew;
    its beats do not.

    Args:
        prototype: The detector; an empty one with its settings is made.

    Attributes:
        detector: What is told.
    """

    __slots__ = ("_count", "detector")

    def __init__(self, prototype: Detector) -> None:
        self.detector = prototype.fresh()
        self._count = 0

    def margin(self, sample: float, *, interval: float) -> float:
        """
        Return how late the next answer may be, in seconds, after one more.

        Args:
            sample: The round trip of this one, in seconds.
            interval: Seconds between beats, for a detector that has no such setting.
        """
        self._count = number = self._count + 1
        # Its own period where it has one: only delays matter, see detectors.base.
        period: float = getattr(self.detector, "interval", interval)
        self.detector.beat(number, now=number * period + sample)
        return self.detector.deadline() - (number + 1) * period
