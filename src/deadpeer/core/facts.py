"""What a driver knows of a connection at the moment of a judgement."""

from typing import Final, NamedTuple

__all__ = ["LONG_AGO", "NO_FACTS", "Facts"]

LONG_AGO: Final = float("-inf")


class Facts(NamedTuple):
    """
    What the driver knows at the moment of a judgement.

    Attributes:
        drained: Whether all that had arrived was read, or looked for, first.
        paused: Whether this end has stopped reading.
        arrived_at: When the kernel last received bytes from the peer, read or
            not, in seconds.
        acked: Bytes that the peer's kernel has acknowledged so far, a counter;
            None if that is not known.
        acked_at: When it last acknowledged anything, in seconds; if that is not
            known, progress counts from when it is seen.
        delivered: Segments that the peer has, a counter; it grows behind a lost
            one, too, where *acked* waits for the repetition. None if that is
            not known.
        repair: Seconds that the peer's kernel takes to tell that a lost segment
            was repeated: this kernel's timeout for it and a round trip.
        outstanding: Bytes given to the transport that it has not acknowledged.
        unanswered: Seconds for which the kernel's own probes or
            retransmissions have gone unanswered; 0 if none are.
        lateness: Seconds by which the watcher is late with this look, if it
            knows more about that than the wake-up of this row tells.
        slept: Seconds that this machine was suspended since the last look.
    """

    drained: bool = False
    paused: bool = False
    arrived_at: float = LONG_AGO
    acked: int | None = None
    acked_at: float = LONG_AGO
    delivered: int | None = None
    repair: float = 0.0
    outstanding: int | None = None
    unanswered: float = 0.0
    lateness: float = 0.0
    slept: float = 0.0


NO_FACTS: Final = Facts()
