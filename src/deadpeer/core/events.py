"""
What the core tells its driver: two requests, and what changed.

A request is to be carried out now. A change is for the program. It is made by a
transition, or by this watcher's own mishap (it was late, the machine slept), so a
peer that lives makes none, however often it is asked.
"""

from dataclasses import dataclass
from enum import StrEnum

from deadpeer.core.rtt import Rtt

__all__ = [
    "Change",
    "Closed",
    "Died",
    "DrainDue",
    "Event",
    "Evidence",
    "Online",
    "PingDue",
    "Reason",
    "Recovered",
    "Slept",
    "Suspected",
    "WatcherLate",
]


class Reason(StrEnum):
    """Why a peer is dead."""

    SILENT = "silent"  # it was asked, and nothing came
    BACKPRESSURED = "backpressured"  # its kernel lives, but it reads nothing
    RESET = "reset"  # it came back without its state
    TIMED_OUT = "timed out"  # the kernel's own patience ended first
    UNREACHABLE = "unreachable"  # the network says that the way is gone
    PROTOCOL_VIOLATED = "protocol violated"
    SUSPENDED = "suspended"  # this machine slept, and the peer did not wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """
    What a verdict rests on; instants are on the driver's monotonic clock.

    Args:
        heard_at: When the last byte was heard, in seconds.
        silence: Seconds since then.
        asked_at: When the open question became due, in seconds; None if nothing was asked.
        waited: Seconds since then.
        counted: Seconds of the wait that count against the timeout.
        timeout: Seconds that the peer had.
        sequence: The number of the question; None of a peer that promised to beat
            unasked.
        rtt: Round trips so far, or None without an answered ping.
        lateness: Seconds by which this watcher itself was late since it asked,
            and what it added to the timeout for that.
        covered: Whether the peer's kernel has acknowledged the question; None
            if that is not known.
        outstanding: Bytes that it has not acknowledged, or None.
        unanswered: Seconds for which the kernel's own probes or
            retransmissions have gone unanswered.
        slept: Seconds that this machine was suspended since the peer was heard.
    """

    heard_at: float
    silence: float
    asked_at: float | None = None
    waited: float = 0.0
    counted: float = 0.0
    timeout: float = 0.0
    sequence: int | None = None
    rtt: Rtt | None = None
    lateness: float = 0.0
    covered: bool | None = None
    outstanding: int | None = None
    unanswered: float = 0.0
    slept: float = 0.0

    def __str__(self) -> str:
        parts = [f"silent for {self.silence:.3f} s"]
        if self.asked_at is not None:
            what = "its beat missing"
            if self.sequence is not None:
                what = f"question {self.sequence} unanswered"
            parts.append(f"{what} for {self.waited:.3f} s of {self.timeout:g} s")
        if self.covered is False:
            parts.append(f"{self.outstanding} bytes not acknowledged")
        if self.unanswered:
            parts.append(f"the kernel's probes unanswered for {self.unanswered:.3f} s")
        if self.lateness:
            parts.append(f"this watcher was late by {self.lateness:.3f} s")
        if self.slept:
            parts.append(f"this machine slept for {self.slept:.0f} s")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class PingDue:
    """
    Send a ping now, then call ``pinged``.

    Args:
        sequence: Its number, 0 to 65535.
    """

    sequence: int


@dataclass(frozen=True, slots=True)
class DrainDue:
    """Read what already lies in the receive buffer, then call ``drained``."""


@dataclass(frozen=True, slots=True)
class Online:
    """
    The peer is there.

    Args:
        at: When, in seconds.
    """

    at: float


@dataclass(frozen=True, slots=True)
class Suspected:
    """
    An answer is later than usual. This is a warning, and can be taken back.

    Args:
        at: When, in seconds.
        evidence: What it rests on.
    """

    at: float
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Recovered:
    """
    The suspicion was a mistake.

    Args:
        at: When that was seen, in seconds.
        lasted: Seconds that the suspicion lasted.
    """

    at: float
    lasted: float


@dataclass(frozen=True, slots=True)
class Died:
    """
    The verdict.

    Args:
        at: When, in seconds.
        reason: Why.
        evidence: What it rests on.
    """

    at: float
    reason: Reason
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Closed:
    """
    Somebody said goodbye.

    Args:
        at: When, in seconds.
        reason: What was said.
    """

    at: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WatcherLate:
    """
    It was me: this watcher slept, was blocked or swapped out.

    Args:
        at: When that was seen, in seconds.
        lateness: By how many seconds it was late.
    """

    at: float
    lateness: float


@dataclass(frozen=True, slots=True)
class Slept:
    """
    This machine was suspended; the peer is asked anew.

    Args:
        at: When that was seen, in seconds.
        duration: For how many seconds.
    """

    at: float
    duration: float


Change = Online | Suspected | Recovered | Died | Closed | WatcherLate | Slept
Event = PingDue | DrainDue | Change
