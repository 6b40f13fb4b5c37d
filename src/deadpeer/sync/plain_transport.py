"""
A plain socket in the place of an asyncio transport, for those who judge.

A thread of the user's reads and writes the socket. So bytes that nobody has read
are nothing unusual: the thread may be busy with something else. Where the kernel
tells when bytes last arrived, and has room for more, they are no excuse for the
peer; anywhere else its answer may lie behind them, and they count as life.
"""

import select
import socket
import struct
import sys
import time
from typing import Any

from deadpeer.kernel.traffic import Traffic, read_traffic

__all__ = ["PlainTransport", "was_connected"]

# Linux include/uapi/asm-generic/socket.h; include/uapi/linux/sock_diag.h: what the
# receive buffer holds, overhead included, and how much it may hold.
SO_MEMINFO = 55
MEMINFO = struct.Struct("=II")

NEVER_ARRIVED = Traffic().arrived_at


class PlainTransport:
    """
    As much of a transport as judging takes.

    Args:
        sock: A connected stream socket, plain or SSL.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._is_shut = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """
        Return what is known of the socket.

        Args:
            name: ``"peername"``, ``"traffic"`` or ``"socket"``.
            default: What to return for another name.
        """
        if name == "traffic":
            return self._traffic
        if name == "socket":
            return self._sock
        if name == "peername":
            try:
                return self._sock.getpeername()
            except OSError:
                return default
        return default

    def is_reading(self) -> bool:
        """A thread reads when it reads: see the traffic."""
        return True

    def is_closing(self) -> bool:
        """Whether the socket is closed."""
        return self._is_shut or self._sock.fileno() < 0

    def get_write_buffer_size(self) -> int:
        """Return 0 bytes: there is no buffer but the kernel's."""
        return 0

    def abort(self) -> None:
        """
        Shut both directions down, which wakes a thread that waits in them.

        The descriptor stays open: it is the user's to close, and a thread that
        waits in a closed one would not wake.
        """
        self._is_shut = True
        try:
            # Not that of an SSL socket, which would forget that it is one.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
        except OSError:
            return  # it is closed already

    def is_gone(self) -> bool:
        """Tell whether the kernel has ended the connection."""
        try:
            self._sock.getpeername()
        except OSError:
            return True
        return False

    def _traffic(self) -> Traffic:
        now = time.monotonic()  # the clock of the background's loop
        traffic = read_traffic(self._sock, now=now)
        if sys.platform == "linux" and self._has_room():
            # What is unread came at an instant that is known.
            return traffic._replace(unread=0)
        pending = getattr(self._sock, "pending", None)
        if pending is None or self.is_closing():
            return traffic
        try:
            return traffic._replace(unread=(traffic.unread or 0) + pending())
        except (OSError, ValueError):
            return traffic  # it is being closed

    def _has_room(self) -> bool:
        """Tell whether the peer can still make itself heard, if nobody reads."""
        if self._sock.family not in (socket.AF_INET, socket.AF_INET6):
            return False  # no instant of arrival
        try:
            data = self._sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, MEMINFO.size)
        except OSError:
            return False
        if len(data) < MEMINFO.size:
            return False
        held, most = MEMINFO.unpack(data)
        # The window that the peer sees closes before the buffer is full.
        return bool(held < most // 2)


def was_connected(sock: socket.socket) -> bool:
    """
    Tell whether a socket has, or had, another end.

    A connection that a reset has ended is nameless like a socket that was never
    connected, and yet a peer's end to be told. What tells the two apart is that
    an end can be read.

    Args:
        sock: A stream socket, open or closed.

    Source:
        Linux net/ipv4/tcp.c, tcp_poll(); net/ipv4/af_inet.c, inet_getname().
    """
    try:
        sock.getpeername()
    except OSError:
        return sock.fileno() >= 0 and not _listens(sock) and _can_be_read(sock)
    return True


def _listens(sock: socket.socket) -> bool:
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _can_be_read(sock: socket.socket) -> bool:
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return any(found & (select.POLLIN | select.POLLERR) for _, found in poll.poll(0))
