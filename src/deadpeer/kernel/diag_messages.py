"""
The messages of ``inet_diag``: how the kernel is asked for its sockets, and answers.

A *dump* is one request and many datagrams of answers, each of which holds many
messages, one for a socket. Machines with many sockets have many of them, so a row
is decoded in one step: the first message of a form is read attribute by attribute,
which gives a ``struct`` that later ones of the same form are read with. Whether a
message really has that form is checked on every one.

Encoding is here too, for requests and, so that tests can say what a kernel might,
for answers.

Source: Linux include/uapi/linux/netlink.h, sock_diag.h, inet_diag.h;
net/ipv4/inet_diag.c, inet_sk_diag_fill(); sock_diag(7), netlink(7).
"""

import struct
from operator import itemgetter
from typing import Any

from deadpeer.kernel.diag_rows import (
    ATTRIBUTE,
    NLA_TYPE_MASK,
    TCP,
    DiagRow,
    attributes,
    odd_answer,
)

__all__ = [
    "ALL_STATES",
    "DumpReader",
    "acknowledged",
    "encode_done",
    "encode_error",
    "encode_row",
    "request_destroy",
    "request_dump",
]

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

HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
REQUEST = struct.Struct("=BBBxI")  # inet_diag_req_v2, up to the socket's id
HEADER_FIELDS = 5
MESSAGE = "4B48s5I"  # inet_diag_msg
MESSAGE_BYTES = struct.calcsize(f"={MESSAGE}")
MESSAGE_FIELDS = 10
FIELDS = HEADER_FIELDS + MESSAGE_FIELDS
ID_BYTES = 48

MOST_SHAPES = 64  # of messages; kernels have a handful


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
    extras = b""
    short = protocol
    if protocol > 0xFF:  # noqa: PLR2004 - the field has 8 bits
        # Kernels before 5.9 ignore the attribute; a protocol of 0 makes them
        # refuse, and not dump something else.
        short = 0
        extras += _attribute(INET_DIAG_REQ_PROTOCOL, struct.pack("=I", protocol))
    if bytecode:
        extras += _attribute(INET_DIAG_REQ_BYTECODE, bytecode)
    wanted = 1 << (INET_DIAG_INFO - 1)
    body = REQUEST.pack(family, short, wanted, states) + bytes(ID_BYTES) + extras
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
    body = struct.pack(f"={MESSAGE}", *row[:MESSAGE_FIELDS])
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
        self.absent: tuple[Any, ...] = (b"", b"", 0, 0, 0, protocol)
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
        shapes = self._shapes
        while end - at >= HEADER.size and not self.is_done:
            length, kind, flags, sequence, _ = HEADER.unpack_from(data, at)
            if not HEADER.size <= length <= end - at:
                raise odd_answer(
                    f"a message of {length} bytes, where {end - at} are left"
                )
            if sequence == self.sequence:
                if flags & NLM_F_DUMP_INTR:
                    self.is_interrupted = True
                if kind == SOCK_DIAG_BY_FAMILY:
                    shape = shapes.get(length)
                    many = shape.read(data, at, self) if shape else 0
                    if not many:
                        many = self._learn(data, at, length).read(data, at, self)
                    at += many * ((length + 3) & ~3)
                    continue
                self._control(kind, data[at + HEADER.size : at + length])
            at += (length + 3) & ~3

    def _learn(self, data: bytes, at: int, length: int) -> "_Shape":
        if len(self._shapes) >= MOST_SHAPES:
            self._shapes.clear()
        shape = self._shapes[length] = _Shape(data, at, length)
        return shape

    def _control(self, kind: int, body: bytes) -> None:
        if kind not in (NLMSG_ERROR, NLMSG_DONE):
            return
        self.is_done = True
        if len(body) >= 4:  # noqa: PLR2004 - an int; older kernels end without one
            self.errno = abs(struct.unpack_from("=i", body)[0])
        elif kind == NLMSG_ERROR:
            raise odd_answer("an error without its number")


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

    __slots__ = ("attributes", "header", "iter_unpack", "pick", "step")

    def __init__(self, data: bytes, at: int, length: int) -> None:
        start, end = at + HEADER.size, at + length
        if end - start < MESSAGE_BYTES:
            raise odd_answer(f"a socket in {end - start} bytes")
        form = [HEADER.format, MESSAGE]
        headers: list[int] = []
        kept: dict[int, int] = {}
        for kind, place, size in attributes(data, start + MESSAGE_BYTES, end):
            to, number = KEPT.get(kind & NLA_TYPE_MASK, (None, ""))
            if number and struct.calcsize(f"={number}") != size:
                raise odd_answer(f"attribute {kind} of {size} bytes")
            if to is not None:
                kept[to] = FIELDS + 2 * len(headers) + 1
            # The last attribute may lack its padding.
            padding = min(-size % 4, end - place - size)
            form.append(f"I{number or f'{size}s'}{padding}x")
            headers += struct.unpack_from("=I", data, place - ATTRIBUTE.size)
        # Up to four bytes may follow the last attribute, and the message itself
        # is padded, but for the last one of a datagram.
        parsed = struct.calcsize("".join(form))
        self.step = (length + 3) & ~3
        form.append(f"{self.step - parsed}x")
        places = [kept.get(n, FIELDS + 2 * len(headers) + n) for n in range(ABSENT)]
        self.iter_unpack = struct.Struct("".join(form)).iter_unpack
        self.header = HEADER.unpack_from(data, at)
        self.attributes = tuple(headers)
        self.pick = itemgetter(*range(HEADER_FIELDS, FIELDS), *places)

    def read(self, data: bytes, at: int, reader: DumpReader) -> int:
        """Read the messages of this form from here on; return how many."""
        many = (len(data) - at) // self.step
        piece = memoryview(data)[at : at + many * self.step]
        if not many:  # the last one, not padded
            many = 1
            piece = memoryview(data[at:] + bytes(at + self.step - len(data)))
        header, headers = self.header, self.attributes
        pick, absent, make = self.pick, reader.absent, tuple.__new__
        append, count = reader.rows.append, 0
        for values in self.iter_unpack(piece):
            if values[:HEADER_FIELDS] != header or values[FIELDS::2] != headers:
                break
            append(make(DiagRow, pick(values + absent)))
            count += 1
        return count


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
