"""
The keepalive settings of very many sockets of other processes, quickly.

Nothing that the kernel exports tells them (inet_diag shows that the keepalive
timer is armed, and not how long it will be), so each socket is borrowed for an
instant and asked. That takes eight system calls a socket, hence the one trick here:
the copies all get the same number (the lowest that is free), so one Python object
serves for all of them.

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
from itertools import groupby
from operator import attrgetter
from socket import IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET
from typing import Any, NamedTuple, Self

from deadpeer.errors import AccessDenied, ConfigError, DeadPeerError, KernelRefused
from deadpeer.kernel.borrow import Lender

__all__ = ["SettingsOf", "SocketSettings", "Wanted", "settings_of"]

SO_COOKIE = 57
COOKIE_BYTES = 8
# Linux include/uapi/linux/tcp.h.
TCP_KEEPIDLE = 4
TCP_KEEPINTVL = 5
TCP_KEEPCNT = 6
TCP_USER_TIMEOUT = 18

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
        wanted: The sockets. Those of one process are best handed in together.

    Raises:
        UnsupportedError: This is not Linux 5.6 or later.
    """
    found: dict[bytes, SocketSettings] = {}
    gone: list[bytes] = []
    refused: dict[int, DeadPeerError] = {}
    same: dict[SocketSettings, SocketSettings] = {}
    with _Slot() as slot:
        for pid, group in groupby(wanted, key=attrgetter("pid")):
            if pid in refused:
                continue
            sockets = list(group)
            try:
                with Lender(pid) as lender:
                    for _, fd, cookie in sockets:
                        settings = slot.ask(lender, fd, cookie)
                        if settings is None:
                            gone.append(cookie)
                        else:
                            found[cookie] = same.setdefault(settings, settings)
            except ConfigError:
                # It ended, and its sockets may live on in others.
                gone += (cookie for _, _, cookie in sockets)
            except AccessDenied as error:
                refused[pid] = error
    return SettingsOf(settings=found, gone=tuple(gone), refused=refused)


class _Slot:
    """A number that borrowed descriptors get, and the Python object on it."""

    def __init__(self) -> None:
        self._number = -1
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._forget()

    def ask(self, lender: Lender, fd: int, cookie: bytes) -> SocketSettings | None:
        """Return the settings of the socket with the cookie; None if it is gone."""
        try:
            number = lender.take(fd)
        except KernelRefused as error:
            if error.errno != errno.EBADF:
                raise
            return None
        try:
            if number != self._number or self._socket is None:
                self._socket = self._put(number)
            return _settings(self._socket.getsockopt, cookie)
        except OSError as error:
            if error.errno not in NO_SOCKET:
                raise
            return None
        finally:
            os.close(number)

    def _put(self, number: int) -> socket.socket:
        self._forget()
        # The type keeps Python from setting the socket non-blocking, its owner's
        # too, where socket.setdefaulttimeout() was used.
        quiet = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
        made = socket.socket(socket.AF_INET, quiet, 0, fileno=number)
        self._number = number
        return made

    def _forget(self) -> None:
        # Whatever has the number now, it is not for this object to close.
        if self._socket is not None:
            self._socket.detach()
        self._socket, self._number = None, -1


def _settings(get: Callable[..., Any], cookie: bytes) -> SocketSettings | None:
    if get(SOL_SOCKET, SO_COOKIE, COOKIE_BYTES) != cookie:
        return None
    try:
        return SocketSettings(
            get(SOL_SOCKET, SO_KEEPALIVE) != 0,
            get(IPPROTO_TCP, TCP_KEEPIDLE),
            get(IPPROTO_TCP, TCP_KEEPINTVL),
            get(IPPROTO_TCP, TCP_KEEPCNT),
            get(IPPROTO_TCP, TCP_USER_TIMEOUT),
        )
    except OSError as error:
        if error.errno not in UNKNOWN_OPTION:
            raise
    return SocketSettings(
        get(SOL_SOCKET, SO_KEEPALIVE) != 0,
        _or_none(get, TCP_KEEPIDLE),
        _or_none(get, TCP_KEEPINTVL),
        _or_none(get, TCP_KEEPCNT),
        _or_none(get, TCP_USER_TIMEOUT),
    )


def _or_none(get: Callable[..., Any], option: int) -> int | None:
    try:
        return int(get(IPPROTO_TCP, option))
    except OSError as error:
        if error.errno not in UNKNOWN_OPTION:
            raise
        return None
