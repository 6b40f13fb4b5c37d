"""
The kernel's table of TCP sockets, ``/proc/net/tcp`` and ``tcp6``: its format.

It is readable by everybody and holds the one thing that no socket option tells:
the timer that is really armed.

Source: Linux proc(5); net/ipv4/tcp_ipv4.c, get_tcp4_sock(); net/ipv6/tcp_ipv6.c,
get_tcp6_sock().
"""

import ipaddress
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from deadpeer.errors import UnsupportedError
from deadpeer.kernel.tcp_info import TcpState

__all__ = ["Endpoint", "TcpRow", "Timer", "parse_table"]

_COLUMNS = 10  # up to and including the inode
_WORD = 8  # hexadecimal digits of 32 bits


class Timer(IntEnum):
    """
    Which timer of a socket is armed; a socket shows one, the most urgent.

    Source: Linux proc(5), /proc/net/tcp; include/uapi/linux/inet_diag.h.
    """

    NONE = 0
    RETRANSMIT = 1
    KEEPALIVE = 2
    TIME_WAIT = 3
    ZERO_WINDOW = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """
    One end of a connection.

    >>> str(Endpoint(host="::1", port=80))
    '[::1]:80'
    """

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpRow:
    """
    One line of the kernel's table of TCP sockets.

    Args:
        local: This end.
        remote: The other end; ``0.0.0.0:0`` or ``[::]:0`` where there is none.
        state: The state of the socket.
        unacknowledged: Bytes sent or queued that the peer has not acknowledged.
        unread: Bytes received that the program has not read.
        timer: The timer that is armed.
        expires: Seconds until that timer fires, if one is armed.
        retransmits: Retransmissions in a row that went unanswered.
        probes: Probes, of keepalive or of a closed window, without an answer.
        uid: The user who owns the socket.
        inode: The number by which a descriptor refers to it; 0 without owner.
    """

    local: Endpoint
    remote: Endpoint
    state: TcpState
    unacknowledged: int
    unread: int
    timer: Timer
    expires: float
    retransmits: int
    probes: int
    uid: int
    inode: int


def parse_table(
    lines: Iterable[str], *, ticks: int = 100, byteorder: str = sys.byteorder
) -> Iterator[TcpRow]:
    """
    Read the lines of ``/proc/net/tcp`` or ``tcp6``, its heading included.

    Args:
        lines: The text, line by line.
        ticks: What the file counts time in, units in a second (``USER_HZ``).
        byteorder: The byte order of the machine that wrote it: addresses are
            written as its words.

    Yields:
        One row for each line, in order.

    Raises:
        UnsupportedError: A line has another form.
    """
    for line in lines:
        columns = line.split()
        if not columns or columns[0] == "sl":
            continue
        try:
            yield _row(columns, ticks, byteorder)
        except (ValueError, IndexError, OverflowError) as error:
            raise UnsupportedError(
                f"this line of the kernel's TCP table is not understood: {line!r}",
                hint="please report it, with the kernel's version",
                option="/proc/net/tcp",
            ) from error


def _row(columns: list[str], ticks: int, byteorder: str) -> TcpRow:
    # sl local remote st tx:rx tr:when retrnsmt uid timeout inode …
    if len(columns) < _COLUMNS:
        raise ValueError("too few columns")
    queued, unread = columns[4].split(":")
    timer, when = columns[5].split(":")
    return TcpRow(
        local=_endpoint(columns[1], byteorder),
        remote=_endpoint(columns[2], byteorder),
        state=TcpState(_hex(columns[3])),
        unacknowledged=_hex(queued),
        unread=_hex(unread),
        timer=Timer(_hex(timer)),
        expires=_hex(when) / ticks,
        retransmits=_hex(columns[6]),
        uid=_decimal(columns[7]),
        probes=_decimal(columns[8]),
        inode=_decimal(columns[9]),
    )


def _endpoint(text: str, byteorder: str) -> Endpoint:
    address, port = text.split(":")
    number = _hex(port)
    if number > 0xFFFF:  # noqa: PLR2004 - a port has 16 bits
        raise ValueError("no port")
    words = [address[at : at + _WORD] for at in range(0, len(address), _WORD)]
    step = -1 if byteorder == "little" else 1
    packed = b"".join(_hex(word).to_bytes(4, "big")[::step] for word in words)
    if len(address) != 2 * len(packed):
        raise ValueError("no address")
    return Endpoint(host=str(ipaddress.ip_address(packed)), port=number)


def _hex(text: str) -> int:
    # int() would also take signs, spaces, underscores and "0x".
    if not text or not set(text) <= set("0123456789abcdefABCDEF"):
        raise ValueError("no hexadecimal number")
    return int(text, 16)


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("no number")
    return int(text)
