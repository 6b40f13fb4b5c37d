"""
The value: how much of its time and memory one peer may take.

Each limit has its word in ``breaches``; a peer that goes beyond ends alone.
"""

from dataclasses import dataclass

from deadpeer.core.frames import HEADER_SIZE, LARGEST_FRAGMENT
from deadpeer.core.hello import LARGEST_HELLO, MOST, SMALLEST_HELLO
from deadpeer.policy.keepalive import require_seconds
from deadpeer.policy.numbers import LONGEST, require_whole

__all__ = ["Limits"]

DURATIONS = ("handshake_timeout", "frame_timeout", "heartbeat_gap", "longest_patience")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    What one peer may ask for.

    Args:
        largest_message: Bytes of the largest message that is taken; announced.
        largest_hello: Bytes of the largest HELLO that is taken, 24 or more.
        handshake_timeout: Seconds that the peer has for its HELLO.
        frame_timeout: Seconds from the first byte of a frame to its last, and
            from one fragment of a message to the next. Heartbeats between
            fragments are life, and do not prolong it.
        heartbeat_gap: The shortest time between two heartbeats of the peer, in
            seconds; announced, so that nobody breaks it unknowingly.
        strikes: How many heartbeats may come before their time; one is
            forgiven with each gap in which none comes.
        longest_patience: Seconds of silence that a peer may ask to be waited
            for, at most. Heartbeats that were held up for as long as this,
            and then come at once, are forgiven.

    Raises:
        ConfigError: A value cannot work.

    Source:
        gRPC proposal A8, "keepalive enforcement", for the strikes (2). There the
        other end is not told of the limit.

    >>> Limits().most_bytes
    1064963
    """

    largest_message: int = 2**20
    largest_hello: int = 1024
    handshake_timeout: float = 10.0
    frame_timeout: float = 30.0
    heartbeat_gap: float = 0.1
    strikes: int = 2
    longest_patience: float = 600.0

    def __post_init__(self) -> None:
        for name in DURATIONS:
            require_seconds(name, getattr(self, name), most=LONGEST)
        require_whole("largest_message", self.largest_message, 0, MOST)
        require_whole(
            "largest_hello", self.largest_hello, SMALLEST_HELLO, LARGEST_HELLO
        )
        # With none, a clock that runs 10⁻⁶ fast makes an honest peer a culprit.
        require_whole("strikes", self.strikes, 1, 2**31 - 1)

    @property
    def most_bytes(self) -> int:
        """
        The most bytes that a conversation holds back for its peer.

        That is one message and one frame, or the HELLO. What was received and is
        not read yet is the driver's to bound.
        """
        frame = HEADER_SIZE + LARGEST_FRAGMENT
        return max(self.largest_message + frame, self.largest_hello)
