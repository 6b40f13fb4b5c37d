"""The evidence of one connection over time: what its last few minutes of looks showed."""

from collections import deque

from deadpeer.host.changes import unanswered
from deadpeer.kernel.diag_rows import DiagRow

__all__ = ["Trail"]

MOST = 300
"""How many looks are kept: five minutes of one a second."""


class Trail:
    """
    What was seen of one connection, look after look.

    Attributes:
        silence: Seconds since the peer was last heard.
        unanswered: Probes and retransmissions in a row without an answer.
        unacknowledged: Bytes that the peer has not acknowledged.
        rtt_ms: The smoothed round trip, in milliseconds.
    """

    def __init__(self) -> None:
        self.silence: deque[float] = deque(maxlen=MOST)
        self.unanswered: deque[float] = deque(maxlen=MOST)
        self.unacknowledged: deque[float] = deque(maxlen=MOST)
        self.rtt_ms: deque[float] = deque(maxlen=MOST)

    def add(self, row: DiagRow) -> None:
        """
        Note what a look showed.

        Args:
            row: The connection.
        """
        vitals = row.vitals
        if vitals:
            heard_ms = min(vitals.last_data_recv_ms, vitals.last_ack_recv_ms)
            self.silence.append(heard_ms / 1000)
            self.rtt_ms.append(vitals.rtt_us / 1e3)
        self.unanswered.append(float(sum(unanswered(row))))
        self.unacknowledged.append(float(row.unacknowledged))
