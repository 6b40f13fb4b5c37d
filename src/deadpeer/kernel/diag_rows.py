"""
One socket as ``inet_diag`` tells of it: a row, lean, with the rest on demand.

There are tens of thousands of them on some machines, so a row is a plain tuple of
what the kernel sent. What costs time and is not always wanted (addresses as text,
``tcp_info`` as fields) is made when it is asked for.

Source: Linux include/uapi/linux/inet_diag.h; net/ipv4/inet_diag.c.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from deadpeer.errors import UnsupportedError
from deadpeer.kernel.tcp_info import TcpInfo

__all__ = [
    "INET",
    "INET6",
    "MPTCP",
    "TCP",
    "DiagRow",
    "Ends",
    "Vitals",
    "address_text",
    "attributes",
    "odd_answer",
]

# Linux include/linux/socket.h and include/uapi/linux/in.h: the numbers of Linux,
# whichever system a recording is read on.
INET = 2
INET6 = 10
TCP = 6
MPTCP = 262

ATTRIBUTE = struct.Struct("=HH")  # nlattr: length, type
NLA_TYPE_MASK = 0x3FFF
INET_ULP_INFO_NAME = 1

# inet_diag_sockid: what is in network order, and what in the machine's.
ENDS = struct.Struct("!HH16s16s")
REST = struct.Struct("=III")
COOKIE_AT = 40

MAPPED = bytes(10) + b"\xff\xff"
# What judging a connection needs of struct tcp_info; offsets as in tcp_info.py.
LEAN = struct.Struct("=BxBBB3xI12xI24xII8xII")
LEAN_BYTES = LEAN.size
SND_WND_AT = 228
WINDOW = struct.Struct("=I")


class Ends(NamedTuple):
    """
    Both ends of a socket, as text and numbers.

    Attributes:
        local_host: This end's address.
        local_port: This end's port.
        remote_host: The other end's address; ``0.0.0.0`` or ``::`` without one.
        remote_port: The other end's port; 0 without one.
    """

    local_host: str
    local_port: int
    remote_host: str
    remote_port: int


class Vitals(NamedTuple):
    """
    The part of ``tcp_info`` that a judgement needs; names as in ``TcpInfo``.

    Attributes:
        state: The state, as a number of ``TcpState``.
        retransmits: Timeouts in a row of the data that is in flight.
        probes: Keepalive or window probes that are not answered yet.
        backoff: How often the current timer has been doubled.
        rto_us: The retransmission timeout now, in microseconds.
        unacked: Segments in flight.
        last_data_recv_ms: Since data was last received, in milliseconds.
        last_ack_recv_ms: Since an acknowledgement was last received.
        rtt_us: The smoothed round trip, in microseconds.
        rttvar_us: Its mean deviation.
        snd_wnd_bytes: The peer's window; None where the kernel does not tell.
    """

    state: int
    retransmits: int
    probes: int
    backoff: int
    rto_us: int
    unacked: int
    last_data_recv_ms: int
    last_ack_recv_ms: int
    rtt_us: int
    rttvar_us: int
    snd_wnd_bytes: int | None


class DiagRow(NamedTuple):
    """
    One socket, as the kernel tells of it.

    Attributes:
        family: ``INET`` or ``INET6``; a mapped address is of ``INET6``.
        state: The state, as a number of ``TcpState``. A socket that is bound and
            no more is asked for as BOUND_INACTIVE, and comes as CLOSE; a
            connection that is not yet accepted by its last ACK comes as SYN_RECV.
        timer: The timer that is armed, a number of ``tcp_table.Timer``.
        retransmits: Retransmissions, or probes if that is what the timer is of,
            that went unanswered.
        id: The kernel's name for it, 48 bytes: ports, addresses, interface,
            cookie. It is what ``request_destroy`` sends back.
        expires_ms: Milliseconds until the timer fires.
        unread: Bytes that the program has not read; of a listening socket,
            connections that wait to be accepted.
        unacknowledged: Bytes that the peer has not acknowledged; of a listening
            socket, how many connections may wait.
        uid: The user who owns it.
        inode: The number by which descriptors refer to it; 0 without owner.
        info: ``struct tcp_info``, or ``struct mptcp_info``; empty without one.
        ulp_info: What an upper layer (TLS, MPTCP) says, as raw attributes.
        cgroup: The number (inode) of its version 2 cgroup; 0 if not told.
        mark: The mark that routing and filters see; told to CAP_NET_ADMIN only.
        shutdown: Which directions are shut: 1 receiving, 2 sending, 3 both.
        protocol: ``TCP`` or ``MPTCP``.
    """

    family: int
    state: int
    timer: int
    retransmits: int
    id: bytes
    expires_ms: int
    unread: int
    unacknowledged: int
    uid: int
    inode: int
    info: bytes = b""
    ulp_info: bytes = b""
    cgroup: int = 0
    mark: int = 0
    shutdown: int = 0
    protocol: int = TCP

    @property
    def ends(self) -> Ends:
        """Both ends, addresses as text."""
        local_port, remote_port, local, remote = ENDS.unpack_from(self.id)
        family = self.family
        return Ends(
            ADDRESSES[family, local],
            local_port,
            ADDRESSES[family, remote],
            remote_port,
        )

    @property
    def cookie(self) -> int:
        """The number that no two sockets share between two boots."""
        _, low, high = REST.unpack_from(self.id, ENDS.size)
        return int(high << 32 | low)

    @property
    def cookie_bytes(self) -> bytes:
        """The cookie as ``getsockopt(SO_COOKIE)`` gives it, on the same machine."""
        whole = self.id[COOKIE_AT:]
        return whole if LITTLE else whole[4:] + whole[:4]

    @property
    def interface(self) -> int:
        """The number of the interface that it is bound to; 0 if to none."""
        return int(REST.unpack_from(self.id, ENDS.size)[0])

    @property
    def is_mapped(self) -> bool:
        """Whether an IPv6 socket speaks IPv4: its addresses are ``::ffff:a.b.c.d``."""
        if self.family != INET6:
            return False
        return self.id.startswith(MAPPED, 4) or self.id.startswith(MAPPED, 20)

    @property
    def ulp(self) -> str:
        """The upper layer: ``tls``, ``mptcp`` (this is a subflow), …; else empty."""
        return _ulp_name(self.ulp_info) if self.ulp_info else ""

    @property
    def is_mptcp(self) -> bool:
        """Whether this is a Multipath TCP connection, or one of its subflows."""
        return self.protocol == MPTCP or self.ulp == "mptcp"

    @property
    def vitals(self) -> Vitals | None:
        """The lean part of ``tcp_info``; None if the kernel gave none (of TCP)."""
        info = self.info
        if len(info) < LEAN_BYTES or self.protocol != TCP:
            return None
        window: tuple[int | None] = (None,)
        if len(info) >= SND_WND_AT + WINDOW.size:
            window = WINDOW.unpack_from(info, SND_WND_AT)
        return Vitals._make(LEAN.unpack_from(info) + window)

    @property
    def tcp_info(self) -> TcpInfo | None:
        """All of ``tcp_info``; None if the kernel gave none (of TCP)."""
        if len(self.info) < LEAN_BYTES or self.protocol != TCP:
            return None
        return TcpInfo.parse(self.info)


LITTLE = struct.pack("=H", 1) == b"\1\0"


class _Addresses(dict[tuple[int, bytes], str]):
    """Addresses as text, each made once; forgotten when there are too many."""

    MOST = 100_000

    def __missing__(self, key: tuple[int, bytes]) -> str:
        if len(self) >= self.MOST:
            self.clear()
        text = self[key] = address_text(*key)
        return text


ADDRESSES = _Addresses()


def address_text(family: int, address: bytes) -> str:
    """
    Return an address as text.

    Args:
        family: ``INET`` or ``INET6``.
        address: 16 bytes; of an IPv4 address, the first four count.

    Source: RFC 5952; section 5 for mapped addresses.

    >>> address_text(INET6, bytes(10) + bytes([255, 255, 10, 0, 0, 1]))
    '::ffff:10.0.0.1'
    """
    if family == INET:
        return _dotted(address)
    if address.startswith(MAPPED):
        return f"::ffff:{_dotted(address[12:])}"
    import ipaddress  # late: few machines' connections need it

    return str(ipaddress.IPv6Address(address[:16]))


def _dotted(address: bytes) -> str:
    return f"{address[0]}.{address[1]}.{address[2]}.{address[3]}"


def _ulp_name(info: bytes) -> str:
    for kind, at, length in attributes(info, 0, len(info)):
        if kind & NLA_TYPE_MASK == INET_ULP_INFO_NAME:
            name = info[at : at + length].partition(b"\0")[0]
            return name.decode("ascii", "replace")
    return ""


def attributes(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """
    Yield type, start and length of each attribute's value.

    Args:
        data: What they are in.
        at: Where the first one starts.
        end: Where the last one ends.

    Raises:
        UnsupportedError: One is longer than the room that it has.

    Source: Linux include/uapi/linux/netlink.h, struct nlattr.
    """
    while end - at >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(data, at)
        if not ATTRIBUTE.size <= length <= end - at:
            raise odd_answer(
                f"an attribute of {length} bytes, where {end - at} are left"
            )
        yield kind, at + ATTRIBUTE.size, length - ATTRIBUTE.size
        at += (length + 3) & ~3


def odd_answer(what: str) -> UnsupportedError:
    """
    Return the error for an answer that the kernel's headers do not describe.

    Args:
        what: What is odd about it.
    """
    return UnsupportedError(
        f"the kernel's answer about its sockets is not understood: {what}",
        hint="please report it, with the kernel's version",
        option="inet_diag",
    )
