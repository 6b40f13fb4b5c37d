"""
Looking into processes through ``/proc``: their sockets, their namespace.

``/proc/PID/net/tcp`` is the table of the process's network namespace. Which of
its rows belong to the process is found by the numbers (inodes) of the sockets
among its descriptors.

Source: Linux proc(5), namespaces(7).
"""

import os
from pathlib import Path

from deadpeer.errors import AccessDenied, ConfigError, UnsupportedError
from deadpeer.kernel.descriptors import require_descriptors
from deadpeer.kernel.tcp_table import TcpRow, parse_table

__all__ = ["namespace_of", "socket_inodes", "tcp_rows"]

_PROC = Path("/proc")
_TABLES = ("tcp", "tcp6")


def tcp_rows(pid: int) -> tuple[TcpRow, ...]:
    """
    Return every TCP socket in the network namespace of a process.

    Args:
        pid: The process; its namespace is asked, whoever owns the sockets.

    Raises:
        ConfigError: There is no such process.
        UnsupportedError: This system has no such table.
        AccessDenied: The table may not be read.
        KernelRefused: No descriptor is left to work with.
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
        KernelRefused: No descriptor is left to work with.
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
        KernelRefused: No descriptor is left to work with.
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
    require_descriptors(error)
    return _absent(pid)
