"""
The messages of ``inet_diag``: how the kernel is asked for its sockets, and answers.

A *dump* is one request and many datagrams of answers, each of which holds many
messages, one for a socket. Machines with many sockets have many of them, so a row
is decoded in one step: the first message of a form is read attribute by attribute,
which gives a ``struct`` that later ones of the same form are read with. Whether a
message really has that form is checked on every one.

What costs time and is not always wanted (addresses as text, ``tcp_info`` as
fields) is made when it is asked for. Encoding is here too, for requests and, so
that tests can say what a kernel might, for answers.

Source: Linux include/uapi/linux/netlink.h, sock_diag.h, inet_diag.h;
net/ipv4/inet_diag.c, inet_sk_diag_fill(); sock_diag(7), netlink(7).
"""

import struct
from collections.abc import Iterator
from operator import itemgetter
from typing import Any, NamedTuple

from deadpeer.errors import UnsupportedError
from deadpeer.kernel.tcp_info import TcpInfo

__all__ = [
    "ALL_STATES",
    "INET",
    "INET6",
    "MPTCP",
    "TCP",
    "DiagRow",
    "DumpReader",
    "acknowledged",
    "address_text",
    "encode_done",
    "encode_error",
    "encode_row",
    "request_destroy",
    "request_dump",
]

# Linux include/linux/socket.h and include/uapi/linux/in.h: the numbers of Linux,
# whichever system a recording is read on.
INET = 2
INET6 = 10
TCP = 6
MPTCP = 262

# One bit for each state of include/net/tcp_states.h, ESTABLISHED (1) to
# BOUND_INACTIVE (13).
ALL_STATES = 0x3FFE

# include/uapi/linux/netlink.h
NLMSG_NOOP = 1
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLM_F_REQUEST = 0x1
NLM_F_MULTI = 0x2
NLM_F_ACK = 0x4
NLM_F_DUMP_INTR = 0x10
NLM_F_DUMP = 0x300
NLA_TYPE_MASK = 0x3FFF
# include/uapi/linux/sock_diag.h
SOCK_DIAG_BY_FAMILY = 20
SOCK_DESTROY = 21
# include/uapi/linux/inet_diag.h
INET_DIAG_REQ_BYTECODE = 1
INET_DIAG_REQ_PROTOCOL = 3
INET_DIAG_INFO = 2
INET_DIAG_SHUTDOWN = 8
INET_DIAG_MARK = 15
INET_DIAG_ULP_INFO = 19
INET_DIAG_CGROUP_ID = 21
INET_ULP_INFO_NAME = 1

HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
ATTRIBUTE = struct.Struct("=HH")  # nlattr: length, type
REQUEST = struct.Struct("=BBBxI")  # inet_diag_req_v2, up to the socket's id
MESSAGE = "=4B48s5I"  # inet_diag_msg
MESSAGE_BYTES = struct.calcsize(MESSAGE)
MESSAGE_FIELDS = 10
# inet_diag_sockid: what is in network order, and what in the machine's.
ENDS = struct.Struct("!HH16s16s")
REST = struct.Struct("=III")
ID_BYTES = 48

MAPPED = bytes(10) + b"\xff\xff"
# What judging a connection needs of struct tcp_info; offsets as in tcp_info.py.
LEAN = struct.Struct("=BxBBB3xI12xI24xII8xII")
LEAN_BYTES = LEAN.size
SND_WND_AT = 228
WINDOW = struct.Struct("=I")
MOST_SHAPES = 64  # of messages; kernels have a handful


class Ends(NamedTuple):
    """
    Both ends of a socket, as text and numbers.

    Args:
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

    Args:
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

    Args:
        family: ``INET`` or ``INET6``; a mapped address is of ``INET6``.
        state: The state, as a number of ``TcpState``.
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
        low, high = self.id[40:44], self.id[44:48]
        return low + high if LITTLE else high + low

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


def request_dump(
    *,
    family: int,
    sequence: int,
    states: int = ALL_STATES,
    protocol: int = TCP,
    bytecode: bytes = b"",
) -> bytes:
    """
    Return the request for all sockets of a family.

    Args:
        family: ``INET`` or ``INET6``.
        sequence: The number that answers will bear.
        states: Which states, a bit for each.
        protocol: ``TCP`` or ``MPTCP``.
        bytecode: A filter for the kernel to run, if any.

    Source: Linux net/ipv4/inet_diag.c, inet_diag_get_protocol().
    """
    attributes = b""
    short = protocol
    if protocol > 0xFF:  # noqa: PLR2004 - the field has 8 bits
        # Kernels before 5.9 ignore the attribute; a protocol of 0 makes them
        # refuse, and not dump something else.
        short = 0
        attributes += _attribute(INET_DIAG_REQ_PROTOCOL, struct.pack("=I", protocol))
    if bytecode:
        attributes += _attribute(INET_DIAG_REQ_BYTECODE, bytecode)
    wanted = 1 << (INET_DIAG_INFO - 1)
    body = REQUEST.pack(family, short, wanted, states) + bytes(ID_BYTES) + attributes
    flags = NLM_F_REQUEST | NLM_F_DUMP
    return _message(SOCK_DIAG_BY_FAMILY, flags, sequence, body)


def request_destroy(row: DiagRow, *, sequence: int) -> bytes:
    """
    Return the request to end a connection.

    Args:
        row: The socket; its cookie goes with it, so that no other is hit.
        sequence: The number that the answer will bear.
    """
    short = row.protocol & 0xFF if row.protocol == TCP else 0
    body = REQUEST.pack(row.family, short, 0, 0xFFFFFFFF) + row.id
    if row.protocol != TCP:
        body += _attribute(INET_DIAG_REQ_PROTOCOL, struct.pack("=I", row.protocol))
    return _message(SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK, sequence, body)


def encode_row(row: DiagRow, *, sequence: int, flags: int = NLM_F_MULTI) -> bytes:
    """
    Return the message by which a kernel tells of a socket.

    Args:
        row: The socket; its protocol is not part of the message.
        sequence: The number of the request.
        flags: Of the message, such as ``NLM_F_DUMP_INTR``.
    """
    body = struct.pack(MESSAGE, *row[:MESSAGE_FIELDS])
    if row.shutdown:
        body += _attribute(INET_DIAG_SHUTDOWN, struct.pack("=B", row.shutdown))
    if row.mark:
        body += _attribute(INET_DIAG_MARK, struct.pack("=I", row.mark))
    if row.cgroup:
        body += _attribute(INET_DIAG_CGROUP_ID, struct.pack("=Q", row.cgroup))
    if row.info:
        body += _attribute(INET_DIAG_INFO, row.info)
    if row.ulp_info:
        body += _attribute(INET_DIAG_ULP_INFO, row.ulp_info)
    return _message(SOCK_DIAG_BY_FAMILY, flags, sequence, body)


def encode_done(*, sequence: int, errno: int = 0, flags: int = NLM_F_MULTI) -> bytes:
    """
    Return the message that ends a dump.

    Args:
        sequence: The number of the request.
        errno: Why it ended early; 0 if it did not.
        flags: Of the message.
    """
    return _message(NLMSG_DONE, flags, sequence, struct.pack("=i", -errno))


def encode_error(*, sequence: int, errno: int = 0) -> bytes:
    """
    Return the message that refuses a request, or acknowledges it.

    Args:
        sequence: The number of the request.
        errno: Why; 0 acknowledges.
    """
    request = HEADER.pack(HEADER.size, SOCK_DIAG_BY_FAMILY, 0, sequence, 0)
    return _message(NLMSG_ERROR, 0, sequence, struct.pack("=i", -errno) + request)


class DumpReader:
    """
    Reads the datagrams that answer one request for a dump.

    Args:
        sequence: The number of the request; answers to others are ignored.
        protocol: ``TCP`` or ``MPTCP``, what was asked for.

    Attributes:
        rows: The sockets so far, in the kernel's order.
        is_done: Whether the last datagram was here.
        is_interrupted: Whether the kernel says that its tables changed so much
            meanwhile that the dump has to be repeated.
        errno: Why the kernel refused or gave up; 0 if it did not.
    """

    def __init__(self, *, sequence: int, protocol: int = TCP) -> None:
        self.sequence = sequence
        self.rows: list[DiagRow] = []
        self.is_done = False
        self.is_interrupted = False
        self.errno = 0
        # What stands in a row for an attribute that a message does not have.
        self._absent: tuple[Any, ...] = (b"", b"", 0, 0, 0, protocol)
        self._shapes: dict[int, _Shape] = {}

    def feed(self, data: bytes) -> None:
        """
        Read one datagram.

        Args:
            data: All of it.

        Raises:
            UnsupportedError: It is not of the form that is known.
        """
        at, end = 0, len(data)
        header, shapes, absent = HEADER.unpack_from, self._shapes, self._absent
        append, make = self.rows.append, tuple.__new__
        while end - at >= HEADER.size and not self.is_done:
            length, kind, flags, sequence, _ = header(data, at)
            if not HEADER.size <= length <= end - at:
                raise _odd(f"a message of {length} bytes, where {end - at} are left")
            body = at + HEADER.size
            if sequence == self.sequence:
                if flags & NLM_F_DUMP_INTR:
                    self.is_interrupted = True
                if kind != SOCK_DIAG_BY_FAMILY:
                    self._control(kind, data[body : at + length])
                else:
                    shape = shapes.get(length)
                    values = shape.unpack_from(data, body) if shape else ()
                    if shape is None or values[MESSAGE_FIELDS::2] != shape.headers:
                        shape = self._learn(data, body, at + length)
                        values = shape.unpack_from(data, body)
                    append(make(DiagRow, shape.pick(values + absent)))
            at += (length + 3) & ~3

    def _learn(self, data: bytes, start: int, end: int) -> "_Shape":
        if len(self._shapes) >= MOST_SHAPES:
            self._shapes.clear()
        shape = _Shape(data, start, end)
        self._shapes[end - start + HEADER.size] = shape
        return shape

    def _control(self, kind: int, body: bytes) -> None:
        if kind not in (NLMSG_ERROR, NLMSG_DONE):
            return
        self.is_done = True
        if len(body) >= 4:  # noqa: PLR2004 - an int; older kernels end without one
            self.errno = abs(struct.unpack_from("=i", body)[0])
        elif kind == NLMSG_ERROR:
            raise _odd("an error without its number")


# Where each attribute that a row keeps stands in it, and its form.
KEPT = {
    INET_DIAG_INFO: (0, ""),
    INET_DIAG_ULP_INFO: (1, ""),
    INET_DIAG_CGROUP_ID: (2, "Q"),
    INET_DIAG_MARK: (3, "I"),
    INET_DIAG_SHUTDOWN: (4, "B"),
}
ABSENT = 6  # how many values follow those of the message


class _Shape:
    """How messages with the same attributes, in the same order, are read."""

    __slots__ = ("headers", "pick", "unpack_from")

    def __init__(self, data: bytes, start: int, end: int) -> None:
        if end - start < MESSAGE_BYTES:
            raise _odd(f"a socket in {end - start} bytes")
        form = [MESSAGE]
        headers: list[int] = []
        kept: dict[int, int] = {}
        for kind, at, length in _attributes(data, start + MESSAGE_BYTES, end):
            place, number = KEPT.get(kind & NLA_TYPE_MASK, (None, ""))
            if number and struct.calcsize(f"={number}") != length:
                raise _odd(f"attribute {kind} of {length} bytes")
            if place is not None:
                kept[place] = MESSAGE_FIELDS + 2 * len(headers) + 1
            # The last attribute may lack its padding.
            padding = min(-length % 4, end - at - length)
            form.append(f"I{number or f'{length}s'}{padding}x")
            headers += struct.unpack_from("=I", data, at - ATTRIBUTE.size)
        parsed = struct.Struct("".join(form))
        many = MESSAGE_FIELDS + 2 * len(headers)
        places = [kept.get(n, many + n) for n in range(ABSENT)]
        self.unpack_from = parsed.unpack_from
        self.headers = tuple(headers)
        self.pick = itemgetter(*range(MESSAGE_FIELDS), *places)


def _attributes(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield type, start and length of each attribute's value."""
    while end - at >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(data, at)
        if not ATTRIBUTE.size <= length <= end - at:
            raise _odd(f"an attribute of {length} bytes, where {end - at} are left")
        yield kind, at + ATTRIBUTE.size, length - ATTRIBUTE.size
        at += (length + 3) & ~3


def _ulp_name(info: bytes) -> str:
    for kind, at, length in _attributes(info, 0, len(info)):
        if kind & NLA_TYPE_MASK == INET_ULP_INFO_NAME:
            name = info[at : at + length].partition(b"\0")[0]
            return name.decode("ascii", "replace")
    return ""


def acknowledged(data: bytes, *, sequence: int) -> int | None:
    """
    Return the error number that answers a request, 0 if it was done.

    Args:
        data: One datagram.
        sequence: The number of the request.

    Returns:
        None if the datagram holds no answer to it.

    Raises:
        UnsupportedError: It is not of the form that is known.
    """
    reader = DumpReader(sequence=sequence)
    reader.feed(data)
    return reader.errno if reader.is_done else None


def _message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    whole = HEADER.pack(HEADER.size + len(body), kind, flags, sequence, 0) + body
    return whole + bytes(-len(whole) % 4)


def _attribute(kind: int, value: bytes) -> bytes:
    whole = ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value
    return whole + bytes(-len(whole) % 4)


def _odd(what: str) -> UnsupportedError:
    return UnsupportedError(
        f"the kernel's answer about its sockets is not understood: {what}",
        hint="please report it, with the kernel's version",
        option="inet_diag",
    )
