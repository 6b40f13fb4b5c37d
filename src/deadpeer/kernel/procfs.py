"""
What ``/proc`` says of TCP: every connection of a namespace, and who holds it.

``/proc/PID/net/tcp`` is the table of the process's network namespace and readable
by everybody; it holds the one thing that no socket option tells, the timer that
is really armed. Which rows belong to a process is found by the numbers (inodes)
of the sockets among its descriptors.

Source: Linux proc(5); net/ipv4/tcp_ipv4.c, get_tcp4_sock(); namespaces(7).
"""

import ipaddress
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from deadpeer.errors import AccessDenied, ConfigError, UnsupportedError

__all__ = [
    "Endpoint",
    "TcpRow",
    "TcpState",
    "Timer",
    "namespace_of",
    "parse_table",
    "socket_inodes",
    "tcp_rows",
]

_PROC = Path("/proc")
_TABLES = ("tcp", "tcp6")
_COLUMNS = 10  # up to and including the inode
_WORD = 8  # hexadecimal digits of 32 bits


class TcpState(Enum):
    """
    The states of a TCP socket, by the kernel's numbers.

    Source: include/net/tcp_states.h.
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


class Timer(Enum):
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
    order = "little" if byteorder == "little" else "big"
    packed = b"".join(
        _hex(word).to_bytes(4, "big")[:: -1 if order == "little" else 1]
        for word in words
    )
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


def tcp_rows(pid: int) -> tuple[TcpRow, ...]:
    """
    Return every TCP socket in the network namespace of a process.

    Args:
        pid: The process; its namespace is asked, whoever owns the sockets.

    Raises:
        ConfigError: There is no such process.
        UnsupportedError: This system has no such table.
        AccessDenied: The table may not be read.
    """
    ticks = os.sysconf("SC_CLK_TCK")
    rows: list[TcpRow] = []
    for name in _TABLES:
        path = _PROC / str(pid) / "net" / name
        try:
            with path.open(encoding="ascii", errors="replace") as table:
                rows += parse_table(table, ticks=ticks)
        except FileNotFoundError:
            # Without IPv6 there is no second table; without the first one
            # there is no such process.
            if name == _TABLES[0]:
                raise _absent(pid) from None
        except OSError as error:
            raise _translated(error, pid, str(path)) from error
    return tuple(rows)


def socket_inodes(pid: int) -> dict[int, int]:
    """
    Return the sockets that a process holds: inode to its lowest descriptor.

    Sockets of every kind are among them; ``tcp_rows`` tells which are TCP.

    Args:
        pid: The process.

    Raises:
        ConfigError: There is no such process.
        AccessDenied: It belongs to somebody else.
    """
    folder = _PROC / str(pid) / "fd"
    try:
        descriptors = sorted(int(entry.name) for entry in folder.iterdir())
    except OSError as error:
        raise _translated(error, pid, str(folder)) from error
    inodes: dict[int, int] = {}
    for descriptor in descriptors:
        try:
            target = str((folder / str(descriptor)).readlink())
        except OSError:
            continue  # closed in the meantime
        if target.startswith("socket:["):
            inodes.setdefault(int(target[len("socket:[") : -1]), descriptor)
    return inodes


def namespace_of(pid: int) -> int:
    """
    Return the number (inode) of the network namespace of a process.

    Args:
        pid: The process.

    Raises:
        ConfigError: There is no such process.
        AccessDenied: It belongs to somebody else.
    """
    path = _PROC / str(pid) / "ns" / "net"
    try:
        return path.stat().st_ino
    except OSError as error:
        raise _translated(error, pid, str(path)) from error


def _absent(pid: int) -> Exception:
    if not (_PROC / "self/net").exists():
        return UnsupportedError(
            "this system has no /proc/net/tcp",
            hint="looking into other processes works on Linux only",
            option="/proc/net/tcp",
        )
    return ConfigError(
        f"there is no process {pid}",
        hint="list the processes with: ps -e",
        field="pid",
        value=pid,
    )


def _translated(error: OSError, pid: int, path: str) -> Exception:
    if isinstance(error, PermissionError):
        return AccessDenied(
            f"process {pid} belongs to somebody else: {path} may not be read",
            hint="it needs CAP_SYS_PTRACE; run the command with sudo",
            capability="CAP_SYS_PTRACE",
            pid=pid,
        )
    return _absent(pid)
