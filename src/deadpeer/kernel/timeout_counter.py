"""
How many connections the kernel of a network namespace has given up so far.

The file is opened once, in the namespace, and read again from any thread: what is
opened stays with its namespace.

Source: Linux net/ipv4/proc.c, netstat_seq_show(); net/ipv4/tcp_timer.c,
tcp_write_err(), LINUX_MIB_TCPABORTONTIMEOUT.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import TypeVar

__all__ = ["TimeoutCounter", "given_up", "unmoved"]

PATH = "/proc/thread-self/net/netstat"
NAME = b"TCPAbortOnTimeout"
MOST = 1 << 16  # bytes; there are some thousand
ATTEMPTS = 3

T = TypeVar("T")


class TimeoutCounter:
    """
    Reads the counter of the namespace of the thread that makes this object.

    Where it cannot be read there is no number.
    """

    def __init__(self) -> None:
        self._fd = -1
        with suppress(OSError):
            self._fd = os.open(PATH, os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> int | None:
        """Return how many were given up so far; None if that is not known."""
        if self._fd < 0:
            return None
        try:
            return given_up(os.pread(self._fd, MOST, 0))
        except OSError:
            return None

    def close(self) -> None:
        """Read it no longer; harmless if called again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def unmoved(
    read: Callable[[], int | None], look: Callable[[], T]
) -> tuple[T, int | None]:
    """
    Look at connections, and return what was seen with the count that belongs to it.

    A look takes its time: one that the kernel gives up meanwhile is counted, and may
    have been seen before, or be missing. A count that is the same before and after
    has counted those that are missing, and none that was seen. If it moved, the look
    is taken again; if it moves each time, none belongs to the last look.

    Args:
        read: Reads the counter.
        look: Takes a look.

    Returns:
        What was seen, and how many were given up by then; None if that is not known.

    Source: Linux net/ipv4/tcp_timer.c, tcp_write_err(): a connection is taken out of
    the tables first, and counted by the next statement.
    """
    before = read()
    for _ in range(ATTEMPTS):
        seen, after = look(), read()
        if after == before:
            break
        before = after
    else:
        after = None
    return seen, after


def given_up(netstat: bytes) -> int | None:
    r"""
    Return what the text of ``/proc/net/netstat`` says; None if it does not.

    Args:
        netstat: Pairs of lines, names and numbers.

    >>> given_up(b"TcpExt: X TCPAbortOnTimeout\nTcpExt: 1 7\n")
    7
    """
    lines = netstat.splitlines()
    for names, numbers in pairwise(lines):
        if names.startswith(b"TcpExt: ") and numbers.startswith(b"TcpExt: "):
            found = dict(zip(names.split(), numbers.split(), strict=False)).get(NAME)
            return int(found) if found and found.isdigit() else None
    return None
