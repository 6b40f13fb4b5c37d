"""
How good was a detector? A trace is played to it, and its mistakes are counted.

The sender of a trace never died, so each suspicion is a mistake; and after each
beat the detector says when it would have noticed a death, so each beat is a
measurement of the detection time too.

Source:
    W. Chen, S. Toueg, M. K. Aguilera: On the quality of service of failure
    detectors. IEEE Transactions on Computers 51(5), 2002.
"""

import math
from dataclasses import dataclass
from operator import itemgetter

from deadpeer.core.detectors import Detector
from deadpeer.testing.traces import Trace

__all__ = ["QualityOfService", "replay"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityOfService:
    """
    What a detector did on one trace.

    Args:
        duration: Seconds from the first arrival to the last.
        mistakes: How often it suspected the sender, who was alive.
        detection: Seconds from a beat's sending to the suspicion, had it been
            the last: the mean of T_D, for the worst moment to die.
        worst_detection: The longest of them.
        recurrence: Mean seconds from one mistake to the next: T_MR;
            ``math.inf`` if there were none.
        length: Mean seconds that a mistake lasted: T_M; 0 if there were none.
        accuracy: The share of the time in which it was right: P_A.
    """

    duration: float
    mistakes: int
    detection: float
    worst_detection: float
    recurrence: float
    length: float
    accuracy: float


def replay(detector: Detector, trace: Trace) -> QualityOfService:
    """
    Play a trace to a detector, in the time of the trace, and measure it.

    Args:
        detector: An empty one.
        trace: What it is told.

    >>> from deadpeer.core.detectors import Fixed
    >>> from deadpeer.testing.traces import Passage
    >>> times = [(0, 0.0, 0.1), (1, 1.0, 1.1), (2, 2.0, 3.1)]
    >>> trace = Trace(interval=1.0, passages=tuple(Passage(*t) for t in times))
    >>> told = replay(Fixed(interval=1, margin=0.5, floor=0.5), trace)
    >>> told.mistakes, round(told.length, 3), round(told.accuracy, 3)
    (1, 0.5, 0.833)
    """
    arrived = [
        (at, sequence, sent_at)
        for sequence, sent_at, at in trace.passages
        if at is not None
    ]
    arrived.sort(key=itemgetter(0))
    mistakes, wrong = 0, 0.0
    detections, worst, heard = 0.0, 0.0, 0
    deadline = math.inf
    for now, sequence, sent_at in arrived:
        detector.beat(sequence, now=now)
        before, deadline = deadline, detector.deadline()
        if deadline == before:
            continue  # an old beat: it neither helps nor harms
        if now > before:
            mistakes += 1
            wrong += now - before
        detection = deadline - sent_at
        detections += detection
        worst = max(worst, detection)
        heard += 1
    duration = arrived[-1][0] - arrived[0][0] if arrived else 0.0
    return QualityOfService(
        duration=duration,
        mistakes=mistakes,
        detection=detections / heard if heard else math.inf,
        worst_detection=worst if heard else math.inf,
        recurrence=duration / mistakes if mistakes else math.inf,
        length=wrong / mistakes if mistakes else 0.0,
        accuracy=1 - wrong / duration if duration else 1.0,
    )
