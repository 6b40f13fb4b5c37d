"""
The keepalive settings of very many sockets of other processes, quickly.

Nothing that the kernel exports tells them (inet_diag shows that the keepalive
timer is armed, and not how long it will be), so each socket is borrowed for an
instant and asked. That takes seven system calls a socket and more, hence the two
tricks here: they are borrowed some at a time, and as each batch gets the same
numbers (the lowest that are free), the Python objects on those serve for all.

A descriptor may be closed, and its number be another socket's, between the dump
and the look: each socket's cookie is asked for and compared.

Source: Linux pidfd_getfd(2), socket(7), tcp(7); SO_COOKIE in
include/uapi/asm-generic/socket.h.
"""

import errno
import os
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from socket import IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET
from typing import Any, NamedTuple, Self

from deadpeer.errors import AccessDenied, ConfigError, DeadPeerError
from deadpeer.kernel.borrow import Lender

__all__ = ["SettingsOf", "SocketSettings", "Wanted", "settings_of"]

SO_COOKIE = 57
COOKIE_BYTES = 8
# Linux include/uapi/linux/tcp.h.
TCP_KEEPIDLE = 4
TCP_KEEPINTVL = 5
TCP_KEEPCNT = 6
TCP_USER_TIMEOUT = 18

LEVELS = (SOL_SOCKET, IPPROTO_TCP, IPPROTO_TCP, IPPROTO_TCP, IPPROTO_TCP)
OPTIONS = (SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT)

# How many are borrowed at a time: their owner's close() waits for so long to
# reach the peer, and a process has 1024 descriptors at least.
BATCH = 128

# The number belongs to something else by now.
NO_SOCKET = (errno.EBADF, errno.ENOTSOCK)
UNKNOWN_OPTION = (errno.ENOPROTOOPT, errno.EOPNOTSUPP)


class SocketSettings(NamedTuple):
    """
    What one socket has set, in the kernel's units.

    A value that a kind of socket does not have is None: Multipath TCP has no user
    timeout, and before Linux 6.14 no other than the switch.

    Attributes:
        keepalive: Whether SO_KEEPALIVE is on.
        idle_s: TCP_KEEPIDLE, in seconds; the system's, if it has none of its own.
        interval_s: TCP_KEEPINTVL, in seconds; likewise.
        probes: TCP_KEEPCNT; likewise.
        user_timeout_ms: TCP_USER_TIMEOUT, in milliseconds; 0 is none.
    """

    keepalive: bool
    idle_s: int | None
    interval_s: int | None
    probes: int | None
    user_timeout_ms: int | None


class Wanted(NamedTuple):
    """
    A socket to be asked.

    Attributes:
        pid: A process that holds it.
        fd: The descriptor by which it does.
        cookie: The eight bytes that SO_COOKIE must give (``DiagRow.cookie_bytes``).
    """

    pid: int
    fd: int
    cookie: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsOf:
    """
    What was found out.

    Args:
        settings: Cookie to settings; equal settings are the same object.
        gone: Cookies of sockets that were no longer where they had been.
        refused: Process to the error, for those that may not be looked into.
    """

    settings: dict[bytes, SocketSettings] = field(default_factory=dict)
    gone: tuple[bytes, ...] = ()
    refused: Mapping[int, DeadPeerError] = field(default_factory=dict)


def settings_of(wanted: Iterable[Wanted]) -> SettingsOf:
    """
    Return the settings of sockets of other processes.

    Nothing is changed, and no flag that is shared with the owners is touched.

    Args:
        wanted: The sockets, in any order.

    Raises:
        UnsupportedError: This is not Linux 5.6 or later.
    """
    groups: dict[int, list[Wanted]] = {}
    for one in wanted:
        groups.setdefault(one[0], []).append(one)
    found: dict[bytes, SocketSettings] = {}
    gone: list[bytes] = []
    refused: dict[int, DeadPeerError] = {}
    with _Numbers() as numbers:
        for pid, sockets in groups.items():
            try:
                with Lender(pid) as lender:
                    for at in range(0, len(sockets), BATCH):
                        numbers.ask(lender, sockets[at : at + BATCH], found)
            except ConfigError:
                pass  # it ended, and its sockets may live on in others
            except AccessDenied as error:
                refused[pid] = error
                continue
            gone += (cookie for _, _, cookie in sockets if cookie not in found)
    return SettingsOf(settings=found, gone=tuple(gone), refused=refused)


class _Numbers:
    """
    The numbers that borrowed descriptors get, and the Python objects on them.

    An object outlives the descriptor that it was made on, for the next one that
    gets its number; it is never the one to close it.
    """

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}
        self._askers: dict[int, Callable[..., Any]] = {}
        self._same: dict[tuple[int | None, ...], SocketSettings] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for made in self._sockets.values():
            made.detach()

    def ask(
        self, lender: Lender, sockets: list[Wanted], found: dict[bytes, SocketSettings]
    ) -> None:
        """Ask those that are still where they had been."""
        copies = lender.take_all([fd for _, fd, _ in sockets])
        same, askers = self._same, self._askers
        try:
            for (_, _, cookie), number in zip(sockets, copies, strict=True):
                if number < 0:
                    continue
                try:
                    get = askers.get(number) or self._asker(number)
                    if get(SOL_SOCKET, SO_COOKIE, COOKIE_BYTES) == cookie:
                        values = _values(get)
                        found[cookie] = same.get(values) or self._new(values)
                except OSError as error:
                    if error.errno not in NO_SOCKET:
                        raise
        finally:
            _close(copies)

    def _asker(self, number: int) -> Callable[..., Any]:
        # The type keeps Python from setting the socket non-blocking, its owner's
        # too, where socket.setdefaulttimeout() was used.
        quiet = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
        made = socket.socket(socket.AF_INET, quiet, 0, fileno=number)
        self._sockets[number] = made
        self._askers[number] = made.getsockopt
        return made.getsockopt

    def _new(self, values: tuple[int | None, ...]) -> SocketSettings:
        on, idle, interval, probes, user_timeout = values
        made = SocketSettings(bool(on), idle, interval, probes, user_timeout)
        self._same[values] = made
        return made


def _values(get: Callable[..., Any]) -> tuple[int | None, ...]:
    try:
        return tuple(map(get, LEVELS, OPTIONS))
    except OSError as error:
        if error.errno not in UNKNOWN_OPTION:
            raise
    return tuple(map(partial(_or_none, get), LEVELS, OPTIONS))


def _or_none(get: Callable[..., Any], level: int, option: int) -> int | None:
    try:
        return int(get(level, option))
    except OSError as error:
        if error.errno not in UNKNOWN_OPTION:
            raise
        return None


def _close(copies: list[int]) -> None:
    """Close what was borrowed; at one go where the numbers are in one piece."""
    ours = sorted(copy for copy in copies if copy >= 0)
    if not ours:
        return
    if ours[-1] - ours[0] + 1 == len(ours):
        os.closerange(ours[0], ours[-1] + 1)
        return
    for copy in ours:
        os.close(copy)
