"""
Asking the kernel for its sockets, and having it end one, over ``sock_diag``.

The answer to a dump may be unusable: the tables changed under it
(``NLM_F_DUMP_INTR``), a datagram did not fit (``MSG_TRUNC``), or the kernel had no
room to queue it (``ENOBUFS``). It is then asked again, a bounded number of times,
and the result says how often, and whether it is whole.

The socket belongs to the network namespace of the thread that makes it, and asks
about that one for ever.

Source: Linux sock_diag(7), netlink(7); net/ipv4/inet_diag.c, net/core/sock_diag.c.
"""

import errno
import os
import socket
import struct
from enum import StrEnum
from typing import Self

from deadpeer.errors import (
    AccessDenied,
    DeadPeerError,
    KernelRefused,
    UnsupportedError,
)
from deadpeer.kernel.descriptors import NONE_LEFT, no_descriptor_left
from deadpeer.kernel.diag_dumps import Dump, RawDump, add_rows
from deadpeer.kernel.diag_messages import (
    ALL_STATES,
    DumpReader,
    acknowledged,
    request_destroy,
    request_dump,
)
from deadpeer.kernel.diag_rows import INET, INET6, MPTCP, TCP, DiagRow

__all__ = ["Diag", "Ending"]

# include/uapi/linux/netlink.h. Python has no name for it.
NETLINK_SOCK_DIAG = 4

# The kernel fills datagrams of a dump up to 32 KiB, whatever room there is.
# Source: Linux net/netlink/af_netlink.c, netlink_dump().
ROOM = 1 << 16
MOST_ROOM = 1 << 24
# What the kernel takes at most for one answer, in seconds; it is at work meanwhile.
PATIENCE = 10

# What a kernel says that has no such protocol or family, or not that module.
ABSENT = (errno.ENOENT, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EINVAL)
FORBIDDEN = (errno.EPERM, errno.EACCES)


class Ending(StrEnum):
    """What came of the wish to end a connection."""

    DONE = "done"
    GONE = "gone"
    """There is no socket with this cookie (any more)."""


class Diag:
    """
    A conversation with the kernel about the sockets of one network namespace.

    It is the namespace of the thread that makes this object. Use it with
    ``with``, from one thread at a time.

    Args:
        attempts: How often a dump is asked for at most until it is whole.

    Raises:
        UnsupportedError: This system has no ``sock_diag``.
        AccessDenied: A sandbox forbids it.
        KernelRefused: It failed in another way.
    """

    def __init__(self, *, attempts: int = 4) -> None:
        self.attempts = attempts
        self._sequence = 0
        self._room = ROOM
        self._socket = _opened()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the conversation; harmless if called again."""
        self._socket.close()

    def dump(
        self,
        *,
        states: int = ALL_STATES,
        families: tuple[int, ...] = (INET, INET6),
        protocols: tuple[int, ...] = (TCP, MPTCP),
        bytecode: bytes = b"",
    ) -> Dump:
        """
        Return the sockets, each once; those without a program too.

        Args:
            states: Which states, one bit for each number of ``TcpState``.
            families: ``INET``, ``INET6`` or both.
            protocols: ``TCP``, ``MPTCP`` or both. Where the kernel has no MPTCP
                the result says so.
            bytecode: A filter for the kernel to run, if any.

        Raises:
            UnsupportedError: The kernel cannot list TCP sockets, or answers in a
                form that is not known.
            AccessDenied: It is not permitted.
            KernelRefused: It failed in another way.
        """
        rows: dict[bytes, DiagRow] = {}
        raw: list[RawDump] = []
        missing: list[str] = []
        repeats, is_whole = 0, True
        for protocol in protocols:
            for family in families:
                try:
                    reader, answer, again = self._repeated(
                        family, protocol, states, bytecode
                    )
                except UnsupportedError:
                    if protocol != MPTCP or TCP not in protocols:
                        raise
                    missing.append("mptcp")
                    break
                raw.append(answer)
                repeats += again
                is_whole = is_whole and not reader.is_interrupted
                add_rows(rows, reader.rows)
        return Dump(
            rows=tuple(rows.values()),
            raw=tuple(raw),
            repeats=repeats,
            is_whole=is_whole,
            missing=tuple(missing),
        )

    def destroy(self, row: DiagRow) -> Ending:
        """
        End the connection of a row, and no other: its cookie decides.

        Its program gets ECONNABORTED; its peer, if it lives, a reset.

        Args:
            row: From a dump of the same namespace.

        Returns:
            Whether it was ended, or was gone already.

        Raises:
            AccessDenied: It takes CAP_NET_ADMIN.
            UnsupportedError: The kernel cannot end sockets (of this kind).
            KernelRefused: It failed in another way.

        Source: Linux net/ipv4/tcp_diag.c, tcp_diag_destroy().
        """
        sequence = self._send(request_destroy(row, sequence=self._next()))
        while True:
            data, _ = self._receive("SOCK_DESTROY")
            number = acknowledged(data, sequence=sequence)
            if number is not None:
                break
        if number == 0:
            return Ending.DONE
        if number == errno.ENOENT:
            return Ending.GONE
        raise _not_destroyed(number)

    def _repeated(
        self, family: int, protocol: int, states: int, bytecode: bytes
    ) -> tuple[DumpReader, RawDump, int]:
        """Ask until the answer is whole, or often enough."""
        again = 0
        while True:
            sequence = self._next()
            request = request_dump(
                family=family,
                sequence=sequence,
                states=states,
                protocol=protocol,
                bytecode=bytecode,
            )
            reader = DumpReader(sequence=sequence, protocol=protocol)
            datagrams: list[bytes] = []
            self._send(request)
            fits = self._read_all(reader, datagrams)
            last = again + 1 >= self.attempts
            if fits and (last or not reader.is_interrupted):
                break
            if last:
                raise KernelRefused(
                    f"the list of sockets did not arrive whole in {self.attempts}"
                    " attempts",
                    hint="try again when the machine is less busy",
                    operation="inet_diag dump",
                    errno=errno.ENOBUFS,
                )
            again += 1
        if reader.errno:
            raise _no_dump(reader.errno, protocol)
        answer = RawDump(
            family=family,
            protocol=protocol,
            sequence=sequence,
            datagrams=tuple(datagrams),
        )
        return reader, answer, again

    def _read_all(self, reader: DumpReader, datagrams: list[bytes]) -> bool:
        """Read until the end; False if a part was lost on the way."""
        while not reader.is_done:
            try:
                data, fits = self._receive("inet_diag dump")
            except KernelRefused as error:
                if error.errno != errno.ENOBUFS:
                    raise
                fits = False
            if not fits:
                # What is still on its way belongs to a dump that nobody wants
                # any more: a new socket has no queue.
                self._socket.close()
                self._socket = _opened()
                self._room = min(2 * self._room, MOST_ROOM)
                return False
            reader.feed(data)
            datagrams.append(data)
        return True

    def _next(self) -> int:
        self._sequence = self._sequence % 0x7FFFFFFF + 1
        return self._sequence

    def _send(self, request: bytes) -> int:
        try:
            self._socket.send(request)
        except OSError as error:
            raise _failed(error, "sock_diag request") from error
        return self._sequence

    def _receive(self, operation: str) -> tuple[bytes, bool]:
        """Return a datagram, and whether it is all of it."""
        try:
            data, _, flags, _ = self._socket.recvmsg(self._room)
        except OSError as error:
            raise _failed(error, operation) from error
        return data, not flags & socket.MSG_TRUNC


def _opened() -> socket.socket:
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        raise UnsupportedError(
            "this system cannot list its sockets over netlink",
            hint="it works on Linux only",
            option="NETLINK_SOCK_DIAG",
        )
    try:
        made = socket.socket(family, socket.SOCK_RAW, NETLINK_SOCK_DIAG)
    except OSError as error:
        if error.errno in (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT):
            raise UnsupportedError(
                "this kernel cannot list its sockets over netlink",
                hint="it needs CONFIG_INET_DIAG (modprobe inet_diag); sandboxes such as"
                " gVisor have none",
                option="NETLINK_SOCK_DIAG",
            ) from error
        raise _failed(error, "socket(NETLINK_SOCK_DIAG)") from error
    # Python's own timeout would be one more system call for each datagram.
    made.settimeout(None)
    made.setsockopt(
        socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", PATIENCE, 0)
    )
    return made


def _no_dump(number: int, protocol: int) -> DeadPeerError:
    what = "mptcp" if protocol == MPTCP else "tcp"
    if number in ABSENT:
        return UnsupportedError(
            f"this kernel cannot list its {what.upper()} sockets"
            f" ({errno.errorcode.get(number, number)})",
            hint=f"load its module: modprobe {what}_diag",
            option=f"{what}_diag",
        )
    return _failed(OSError(number, os.strerror(number)), "inet_diag dump")


def _not_destroyed(number: int) -> DeadPeerError:
    if number in FORBIDDEN:
        return AccessDenied(
            "ending other programs' connections is not permitted",
            hint="it needs CAP_NET_ADMIN; run the command with sudo",
            capability="CAP_NET_ADMIN",
        )
    if number in (errno.EOPNOTSUPP, errno.EINVAL):
        return UnsupportedError(
            "this kernel cannot end such a connection",
            hint="it needs CONFIG_INET_DIAG_DESTROY; of Multipath TCP, end the subflows",
            option="SOCK_DESTROY",
        )
    return _failed(OSError(number, os.strerror(number)), "SOCK_DESTROY")


def _failed(error: OSError, operation: str) -> DeadPeerError:
    number = error.errno or errno.EIO
    if number in FORBIDDEN:
        return AccessDenied(
            f"{operation} is not permitted",
            hint="a sandbox forbids it: allow netlink (NETLINK_SOCK_DIAG) there",
        )
    if number in NONE_LEFT:
        return no_descriptor_left(number, operation)
    if number == errno.EAGAIN:
        return KernelRefused(
            f"{operation}: the kernel gave no answer in {PATIENCE} s",
            hint="try again when the machine is less busy",
            operation=operation,
            errno=errno.ETIMEDOUT,
        )
    return KernelRefused(
        f"{operation} failed: {os.strerror(number)}", operation=operation, errno=number
    )
