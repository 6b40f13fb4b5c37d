"""
The memory of a box in the middle: which connections it knows, and for how long.

A stateful firewall, NAT or load balancer lets a connection's packets pass after
it has seen it begin (a SYN). One that was silent for too long is forgotten, and
what either side sends then is dropped, or answered with a reset. Nothing but a
new SYN makes the box learn it again.
"""

from dataclasses import dataclass
from enum import Enum

__all__ = ["FIN", "RST", "SYN", "Flow", "FlowTable", "Verdict"]

# Source: RFC 9293, section 3.1, the control bits.
FIN, SYN, RST = 0x01, 0x02, 0x04

# Connections that are remembered at once; the one silent for longest goes first.
ROOM = 1 << 16


class Verdict(Enum):
    """What the box does with a packet."""

    PASS = "pass"  # noqa: S105 - no password
    """It goes on."""
    DROP = "drop"
    """It is gone, and nobody is told."""
    RESET = "reset"
    """It is gone, and its sender is told with a reset."""


@dataclass(frozen=True, slots=True)
class Flow:
    """
    A connection, the same for both directions.

    Args:
        one: The lesser of both ends: address and port, as on the wire.
        other: The greater.
    """

    one: bytes
    other: bytes

    @classmethod
    def between(cls, source: bytes, target: bytes) -> "Flow":
        """Return the flow of a packet, whichever way it goes."""
        return cls(min(source, target), max(source, target))


class FlowTable:
    """
    The box.

    Args:
        idle: Seconds of silence in both directions after which it forgets.
        resets: What it says to packets of flows unknown to it: a reset, or
            nothing.

    Source:
        Linux netfilter, ``nf_conntrack_tcp_loose=0`` and
        ``nf_conntrack_tcp_timeout_established`` (nf_conntrack-sysctl.rst): such
        a box, its packets without a known connection dropped as invalid.
    """

    def __init__(self, *, idle: float, resets: bool = False) -> None:
        self.idle = idle
        self.unknown = Verdict.RESET if resets else Verdict.DROP
        # In the order in which they were last heard.
        self.heard_at: dict[Flow, float] = {}

    def admit(self, flow: Flow, flags: int, *, now: float) -> Verdict:
        """
        Return what becomes of a packet.

        Args:
            flow: Its connection.
            flags: Its control bits.
            now: When it came, in seconds.
        """
        self.expire(now=now)
        known = self.heard_at.pop(flow, None) is not None
        if not known and not flags & SYN:
            return Verdict.DROP if flags & RST else self.unknown
        if not flags & RST:
            self.heard_at[flow] = now
        return Verdict.PASS

    def expire(self, *, now: float) -> None:
        """Forget what has been silent for too long, and what there is no room for."""
        while self.heard_at:
            oldest = next(iter(self.heard_at))
            is_fresh = now - self.heard_at[oldest] <= self.idle
            if is_fresh and len(self.heard_at) <= ROOM:
                return
            del self.heard_at[oldest]

    def forget(self, *hosts: bytes) -> None:
        """
        Forget connections, as a box does that restarts.

        Args:
            hosts: The addresses of whose; without any, everybody's.
        """
        for flow in list(self.heard_at):
            # The port comes after the address.
            if not hosts or {flow.one[:-2], flow.other[:-2]} & set(hosts):
                del self.heard_at[flow]
