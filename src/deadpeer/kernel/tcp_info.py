"""
The kernel's evidence: ``struct tcp_info`` as named fields with units.

The structure has only ever grown, so what a kernel hands out is read by its
length: a field that it does not reach is None. The same bytes come from
``getsockopt(TCP_INFO)`` and from inet_diag.

Source: Linux include/uapi/linux/tcp.h, struct tcp_info; net/ipv4/tcp.c,
tcp_get_info(), for the units.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from deadpeer.errors import ConfigError

__all__ = ["LARGEST", "SUSPICIOUS", "TcpInfo", "TcpState"]

# Room for every tcp_info so far (280 bytes on Linux 6.18), and to grow.
LARGEST = 512

# So many unanswered probes or retransmissions make a peer suspect. Live peers
# were never seen with more than one probe outstanding.
SUSPICIOUS = 2

# What the variance part of a retransmission timeout is at least, in
# microseconds: Linux include/net/tcp.h, TCP_RTO_MIN.
RTO_MIN_US = 200_000


class TcpState(IntEnum):
    """
    What TCP calls the state of a connection.

    Source: Linux include/net/tcp_states.h.
    """

    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECV = 3
    FIN_WAIT1 = 4
    FIN_WAIT2 = 5
    TIME_WAIT = 6
    CLOSE = 7
    CLOSE_WAIT = 8
    LAST_ACK = 9
    LISTEN = 10
    CLOSING = 11
    NEW_SYN_RECV = 12
    BOUND_INACTIVE = 13


# States in which there is, or was a moment ago, a peer that can die.
CONNECTED = frozenset(
    {
        TcpState.ESTABLISHED,
        TcpState.FIN_WAIT1,
        TcpState.FIN_WAIT2,
        TcpState.CLOSE_WAIT,
        TcpState.LAST_ACK,
        TcpState.CLOSING,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpInfo:
    """
    What the kernel knows about one connection.

    Names that end in ``_us`` count microseconds, in ``_ms`` milliseconds, in
    ``_bytes`` bytes; the others are plain counts. None is what this kernel
    does not tell.

    Args:
        state: The state, as a number of ``TcpState``.
        ca_state: The state of congestion control; 4 is loss.
        retransmits: Timeouts in a row of the data that is in flight.
        probes: Keepalive or window probes that are not answered yet.
        backoff: How often the current timer has been doubled; grows on a live
            connection with a closed window too.
        rto_us: The retransmission timeout now, doublings included.
        unacked: Segments in flight; on a listening socket, connections that
            wait to be accepted.
        sacked: Segments selectively acknowledged; on a listening socket, the
            most that may wait.
        lost: Segments taken for lost.
        retrans: Retransmitted segments in flight.
        last_data_sent_ms: Since data was last sent.
        last_data_recv_ms: Since data was last received.
        last_ack_recv_ms: Since an acknowledgement was last received.
        rtt_us: The smoothed round trip.
        rttvar_us: Its mean deviation.
        total_retrans: Retransmissions in the connection's life.
        bytes_acked: Bytes that the peer's kernel has acknowledged.
        bytes_received: Bytes that arrived.
        notsent_bytes: Bytes that wait to be sent for the first time.
        min_rtt_us: The smallest round trip of late.
        rwnd_limited_us: Time spent waiting for the peer's window.
        delivered: Segments that the peer has, out of order ones included.
        snd_wnd_bytes: The peer's window; 0 if it reads nothing.
        rcv_wnd_bytes: This end's window.
        total_rto: Retransmission timeouts in the connection's life.
    """

    state: int
    ca_state: int
    retransmits: int
    probes: int
    backoff: int
    rto_us: int | None = None
    unacked: int | None = None
    sacked: int | None = None
    lost: int | None = None
    retrans: int | None = None
    last_data_sent_ms: int | None = None
    last_data_recv_ms: int | None = None
    last_ack_recv_ms: int | None = None
    rtt_us: int | None = None
    rttvar_us: int | None = None
    total_retrans: int | None = None
    bytes_acked: int | None = None
    bytes_received: int | None = None
    notsent_bytes: int | None = None
    min_rtt_us: int | None = None
    rwnd_limited_us: int | None = None
    delivered: int | None = None
    snd_wnd_bytes: int | None = None
    rcv_wnd_bytes: int | None = None
    total_rto: int | None = None

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """
        Return what the bytes of a ``struct tcp_info`` say.

        Args:
            data: As the kernel gave them, in this machine's byte order; any
                length from the first five bytes on.

        Raises:
            ConfigError: There are too few bytes to hold a state.
        """
        if len(data) < SHORTEST:
            raise ConfigError(
                f"{len(data)} bytes are no tcp_info",
                hint=f"the shortest that says anything has {SHORTEST}",
                field="data",
                value=bytes(data),
            )
        values: dict[str, int] = {}
        for name, (offset, form) in LAYOUT.items():
            if offset + struct.calcsize(form) <= len(data):
                (values[name],) = struct.unpack_from(f"={form}", data, offset)
        return cls(**values)

    @property
    def state_name(self) -> str:
        """The state in words, such as ``ESTABLISHED``."""
        try:
            return TcpState(self.state).name
        except ValueError:
            return f"state {self.state}"

    @property
    def is_connected(self) -> bool:
        """Whether there is a peer that can die."""
        return self.state in CONNECTED

    @property
    def is_suspect(self) -> bool:
        """
        Whether the kernel is waiting for an answer that a live peer gives.

        Two or more retransmissions or probes. ``backoff``, ``ca_state`` and
        ``last_ack_recv_ms`` alone prove nothing: all three grow on a live
        connection whose window is closed.
        """
        return self.retransmits >= SUSPICIOUS or self.probes >= SUSPICIOUS

    @property
    def silence(self) -> float | None:
        """Seconds since anything was heard of the peer, or None if unknown."""
        heard = [
            ms
            for ms in (self.last_data_recv_ms, self.last_ack_recv_ms)
            if ms is not None
        ]
        return min(heard) / 1000 if heard else None

    @property
    def round_trip(self) -> float | None:
        """
        The round trip to plan with, in seconds; None if none was measured.

        More than the smoothed one where it varies so much that the kernel
        waits for longer than plans reckon with: its floor of 0.2 s on top of
        it, or three of them. Three is what a fresh connection waits for, whose
        variance is only half of the one round trip it has measured.

        Source: RFC 6298, section 2; Linux tcp_input.c, tcp_rtt_estimator().
        """
        if not self.rtt_us:
            return None
        spread_us = 4 * (self.rttvar_us or 0)
        excess_us = max(0, spread_us - max(RTO_MIN_US, 2 * self.rtt_us))
        return (self.rtt_us + excess_us) / 1_000_000


# Name: offset in bytes, and the form for struct.
LAYOUT: dict[str, tuple[int, str]] = {
    "state": (0, "B"),
    "ca_state": (1, "B"),
    "retransmits": (2, "B"),
    "probes": (3, "B"),
    "backoff": (4, "B"),
    "rto_us": (8, "I"),
    "unacked": (24, "I"),
    "sacked": (28, "I"),
    "lost": (32, "I"),
    "retrans": (36, "I"),
    "last_data_sent_ms": (44, "I"),
    "last_data_recv_ms": (52, "I"),
    "last_ack_recv_ms": (56, "I"),
    "rtt_us": (68, "I"),
    "rttvar_us": (72, "I"),
    "total_retrans": (100, "I"),
    "bytes_acked": (120, "Q"),
    "bytes_received": (128, "Q"),
    "notsent_bytes": (144, "I"),
    "min_rtt_us": (148, "I"),
    "rwnd_limited_us": (176, "Q"),
    "delivered": (192, "I"),
    "snd_wnd_bytes": (228, "I"),
    "rcv_wnd_bytes": (232, "I"),
    "total_rto": (240, "H"),
}

SHORTEST = 5
