"""
When a connection last carried something, as the kernel saw it.

A driver that is about to call a peer dead asks here first: bytes may have
arrived that nobody has read yet, and a full window may be the reason for a
silence. The kernel counts in ticks, which are 1 to 10 ms long. An instant is
read from the young end of its tick, so that a peer never seems to have been
silent for longer than it was; a death may be told two ticks late for that.
"""

import math
import socket
import struct
import sys
import time
from typing import NamedTuple

from deadpeer.kernel.evidence import SIOCOUTQ
from deadpeer.kernel.tcp_info import CONNECTED, LAYOUT, SUSPICIOUS

if sys.platform != "win32":
    import fcntl
    import termios

__all__ = ["Traffic", "read_traffic"]

# What is read of tcp_info, in the order of the structure.
FIELDS = (
    "state",
    "retransmits",
    "probes",
    "backoff",
    "rto_us",
    "last_data_sent_ms",
    "last_data_recv_ms",
    "last_ack_recv_ms",
    "rtt_us",
    "bytes_acked",
    "bytes_received",
    "delivered",
)

# The longest retransmission timeout, in seconds: Linux include/net/tcp.h,
# TCP_RTO_MAX.
RTO_MAX = 120.0

# How often it is asked what was acknowledged and what was not, until both answers fit.
MOST_QUESTIONS = 3


class Traffic(NamedTuple):
    """
    What the kernel knows about one connection now.

    Instants are on the clock of the ``now`` that was handed in. A field keeps
    its default where the system does not tell.

    Attributes:
        arrived_at: When bytes last arrived in order from the peer, read by us
            or not. Pure acknowledgements, a FIN, and what had no room in our
            buffer do not count; a connection that never received has -inf.
            Never earlier than it was, and less than two ticks later.
        acked: Bytes that the peer's kernel has acknowledged; a count that only
            grows, SYN and FIN included.
        acked_at: When an acknowledgement last arrived, the handshake's and
            those that come with data included; as exact as *arrived_at*.
        delivered: Segments that the peer has, those behind a lost one included:
            it grows where *acked* waits for a repetition. A closed window's
            probes are not in it.
        outstanding: Bytes handed to the kernel and not acknowledged.
        unread: Bytes that arrived and that we have not read.
        unanswered: Seconds for which the kernel's own probes or retransmissions
            have gone without an answer, at least; 0 until there are two.
        rtt: The smoothed round trip, in seconds.
        repair: Seconds after which it is known that a lost segment has arrived
            after all: the retransmission timeout, without its doublings, and
            a round trip.

    Source: Linux net/ipv4/tcp_input.c, tcp_event_data_recv() and tcp_ack();
    net/ipv4/tcp.c, tcp_get_info() and tcp_ioctl().
    """

    arrived_at: float = -math.inf
    acked: int | None = None
    acked_at: float = -math.inf
    delivered: int | None = None
    outstanding: int | None = None
    unread: int | None = None
    unanswered: float = 0.0
    rtt: float | None = None
    repair: float = 0.0


def read_traffic(sock: socket.socket, *, now: float) -> Traffic:
    """
    Return what the kernel knows about a connection now.

    Three short system calls, or a few more while bytes are on their way, and nothing
    is changed. Other sockets than TCP,
    and other systems than Linux, tell only what waits to be read. A socket that
    cannot be asked any more tells nothing.

    Args:
        sock: An open stream socket.
        now: The instant of the call on the caller's clock, in seconds.
    """
    descriptor = sock.fileno()
    if descriptor < 0:
        return Traffic()
    unread = _unread(descriptor)
    if not IS_LINUX:
        return Traffic(unread=unread)
    try:
        data, outstanding = _delivery(sock)
    except OSError:
        return Traffic(unread=unread)
    if len(data) < LENGTH:
        return Traffic(unread=unread)
    (
        state,
        retransmits,
        probes,
        backoff,
        rto_us,
        sent_ms,
        arrived_ms,
        acked_ms,
        rtt_us,
        acked,
        received,
        delivered,
    ) = STRUCT.unpack_from(data)
    if state not in CONNECTED:
        # Instants of a connection that is not there yet are not set.
        return Traffic(unread=unread)
    silence = _age(acked_ms)
    unanswered = 0.0
    if retransmits >= SUSPICIOUS:
        unanswered = _resending(retransmits, rto_us / 1e6, backoff) + _age(sent_ms)
    elif probes >= SUSPICIOUS:
        unanswered = silence - _quiet_before(
            sock, probes, rto_us / 1e6, backoff, outstanding
        )
    return Traffic(
        arrived_at=now - _age(arrived_ms) if received else -math.inf,
        acked=acked,
        acked_at=now - silence,
        delivered=delivered,
        outstanding=outstanding,
        unread=unread,
        unanswered=max(0.0, min(unanswered, silence)),
        rtt=rtt_us / 1e6 if rtt_us else None,
        repair=(rto_us / 2.0**backoff + rtt_us) / 1e6,
    )


def _delivery(sock: socket.socket) -> tuple[bytes, int | None]:
    """
    Return tcp_info, and the bytes that were not acknowledged at the same moment.

    An acknowledgement may come between two questions. Its bytes must not be missed
    in both answers, or what stands behind them would seem to have been delivered.
    """
    descriptor = sock.fileno()
    outstanding = _number(descriptor, SIOCOUTQ)
    for _ in range(MOST_QUESTIONS):
        data = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, LENGTH)
        if not outstanding:
            break
        before, outstanding = outstanding, _number(descriptor, SIOCOUTQ)
        if outstanding == before:
            break
    else:
        outstanding = before
    return data, outstanding


def _age(elapsed_ms: int) -> float:
    """Return the seconds that have passed at least."""
    return max(0.0, elapsed_ms / 1000 - TICK)


def _resending(times: int, rto: float, backoff: int) -> float:
    """
    Return the seconds from the first sending to the latest repetition.

    The timeout doubles with each, so it was 1, 2, 4, … times what it was at
    first. Measured from the last acknowledgement instead, a connection that had
    been idle for an hour would seem dead at its second repetition.

    Source: RFC 6298, section 5.5.
    """
    first = rto / 2.0**backoff
    return sum(min(first * 2.0**nth, RTO_MAX) for nth in range(times))


def _quiet_before(
    sock: socket.socket, probes: int, rto: float, backoff: int, outstanding: int | None
) -> float:
    """
    Return the seconds from the last answer to the first unanswered probe.

    Source: Linux net/ipv4/tcp_timer.c, tcp_keepalive_timer(); include/net/tcp.h,
    tcp_probe0_when().
    """
    if outstanding:  # probes of a closed window; their gaps double
        return min(rto * 2.0 ** max(0, backoff - probes), RTO_MAX)
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
    except OSError:
        return math.inf


def _unread(descriptor: int) -> int | None:
    if sys.platform == "win32":
        return None
    return _number(descriptor, termios.FIONREAD)


def _number(descriptor: int, request: int) -> int | None:
    if sys.platform == "win32":
        return None
    try:
        (number,) = INT.unpack(fcntl.ioctl(descriptor, request, ZERO))
    except OSError:
        return None
    return int(number)


def _form(names: tuple[str, ...]) -> str:
    """Return a form for struct that takes these fields of tcp_info, and skips the rest."""
    form, reached = "=", 0
    for offset, code in (LAYOUT[name] for name in names):
        form += f"{offset - reached}x{code}"
        reached = offset + struct.calcsize(f"={code}")
    return form


def _tick() -> float:
    """
    Return the length of the kernel's tick in seconds; the longest if unknown.

    Source: clock_getres(2), CLOCK_MONOTONIC_COARSE.
    """
    try:
        return time.clock_getres(6)
    except OSError:
        return 0.01  # CONFIG_HZ_100


IS_LINUX = sys.platform.startswith(("linux", "android"))
INT = struct.Struct("=i")
ZERO = INT.pack(0)
STRUCT = struct.Struct(_form(FIELDS))
LENGTH = STRUCT.size
TICK = _tick() if IS_LINUX else 0.0
