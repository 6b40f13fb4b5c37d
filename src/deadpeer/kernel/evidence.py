"""What the kernel is asked about one connection, and may decline to answer."""

import socket
import struct
import sys
from dataclasses import dataclass

from deadpeer.kernel.tcp_info import LARGEST, TcpInfo

__all__ = ["Queue", "read_queue", "read_tcp_info"]

# Linux include/uapi/linux/sockios.h. Both count bytes.
SIOCOUTQ = 0x5411
SIOCOUTQNSD = 0x894B


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """
    What waits in the send queue.

    Args:
        unacknowledged: Bytes that the peer's kernel has not acknowledged, those
            included that were never sent.
        unsent: Bytes that were never sent.
    """

    unacknowledged: int
    unsent: int


def read_tcp_info(sock: socket.socket) -> TcpInfo | None:
    """
    Return the kernel's evidence, or None where the system has none that we read.

    Args:
        sock: An open TCP socket.
    """
    # Other systems have a TCP_INFO too, of another shape.
    if not sys.platform.startswith(("linux", "android")):
        return None
    try:
        return TcpInfo.parse(
            sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, LARGEST)
        )
    except OSError:
        return None


def read_queue(sock: socket.socket) -> Queue | None:
    """
    Return what waits in the send queue, or None if that cannot be asked.

    Args:
        sock: An open TCP socket; a listening one has no queue.
    """
    if not sys.platform.startswith(("linux", "android")):
        return None
    try:
        return Queue(
            unacknowledged=_number(sock, SIOCOUTQ), unsent=_number(sock, SIOCOUTQNSD)
        )
    except OSError:
        return None


def _number(sock: socket.socket, request: int) -> int:
    import fcntl  # not on Windows

    answer = fcntl.ioctl(sock.fileno(), request, struct.pack("=i", 0))
    return int(struct.unpack("=i", answer)[0])
