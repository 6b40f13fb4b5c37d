"""
What is done about one stopped system call: a socket gets its settings.

Whatever goes wrong, the program's call goes on as if nobody had looked. So a
program never fails because of this; it may stay unprotected, and that is told.
"""

import errno
import math
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from deadpeer.errors import ConfigError, DeadPeerError, UnsupportedError
from deadpeer.kernel.call_filter import SOCKETCALLS, Call, Machine, Way
from deadpeer.kernel.descriptors import require_descriptors
from deadpeer.kernel.registers import Reading, Step, change, read, steps_for
from deadpeer.kernel.seccomp import Listener, Notification, TaskLender
from deadpeer.platforms import Platform
from deadpeer.policy import Keepalive

__all__ = ["Happening", "Protector", "require_settable", "while_idle"]

IPPROTO_MPTCP = 262  # include/uapi/linux/in.h
SO_COOKIE = 57  # include/uapi/asm-generic/socket.h
COOKIE_BYTES = 8

LOW_HALF = 0xFFFFFFFF  # of a register

# The descriptor is nothing, or no socket.
NO_SOCKET = (errno.EBADF, errno.ENOTSOCK)

MOST_HELD = 64  # processes
MOST_PROBES = 127  # include/net/tcp.h, MAX_TCP_KEEPCNT

MULTIPATH = (
    "it is a Multipath TCP socket, which takes no user timeout: a death is noticed"
    " while it is idle, and late with data in flight"
)

ELSEWHERE = (
    "it is in another network namespace than its helper, who may not borrow its"
    " sockets; that takes CAP_SYS_PTRACE"
)


class Happening(NamedTuple):
    """
    Something that a helper may tell of.

    Attributes:
        event: ``protected``, ``partly``, ``unprotected``, ``started``, ``helper``
            (there is another one) or ``ended``.
        task: The thread that called, or the helper.
        call: What it called.
        descriptor: Its descriptor of the socket.
        cookie: The kernel's number of the socket, which no two share; eight bytes.
        why: Why a socket is not protected, or not wholly.
    """

    event: str
    task: int
    call: str = ""
    descriptor: int | None = None
    cookie: bytes = b""
    why: str = ""


class Protector:
    """
    Answers notifications.

    Every microsecond here is one that a program waits for its connection, so nothing
    is done twice: processes that were held once stay held for their next call.

    Args:
        machine: Whose system calls.
        way: How sockets get their settings.
        settings: Those settings.
        platform: This system's row.

    Raises:
        ConfigError: A setting is out of range.
        UnsupportedError: This system has no such option.
    """

    def __init__(
        self, machine: Machine, way: Way, settings: Keepalive, platform: Platform
    ) -> None:
        self._calls = machine.calls
        self._platform = platform
        self._steps = steps_for(settings, platform)
        self._idle_steps = steps_for(while_idle(settings), platform)
        self._deal: Callable[[Listener, Notification], Happening | None] = (
            self._borrow if way is Way.BORROW else self._hand_out
        )
        self._namespace = _namespace("self")
        self._held: dict[int, TaskLender] = {}
        self._sockets: dict[int, socket.socket] = {}

    def answer(self, listener: Listener, call: Notification) -> Happening | None:
        """
        Protect the socket of a call, and let the call go on.

        Args:
            listener: Where it came from.
            call: The call.

        Returns:
            What there is to tell; None of sockets that are not TCP.
        """
        try:
            return self._deal(listener, call)
        except (DeadPeerError, OSError) as error:
            if isinstance(error, OSError) and error.errno in NO_SOCKET:
                return None  # the program's own mistake, and it will be told
            return self._unprotected(call, str(error))
        finally:
            # Of a call that was answered already, this is not heard.
            listener.proceed(call)

    def _borrow(self, listener: Listener, call: Notification) -> Happening | None:
        name = self._calls[call.architecture, call.number]
        if name is Call.MANY:
            name, descriptor = _from_memory(call)
        else:
            descriptor = _signed(call.arguments[0])
        copy = self._take(listener, call, descriptor)
        if copy < 0:
            return None
        try:
            sock = self._wrapped(copy)
            protocol = _protocol(sock)
            if protocol == socket.IPPROTO_TCP:
                self._put_on(sock, self._steps)
            elif protocol == IPPROTO_MPTCP:
                self._put_on(sock, self._idle_steps)
            else:
                return None
            cookie = sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, COOKIE_BYTES)
        finally:
            # Before the call goes on, so that the program's socket has no second
            # owner when it does.
            os.close(copy)
        if protocol == IPPROTO_MPTCP:
            return Happening("partly", call.task, name, descriptor, cookie, MULTIPATH)
        return Happening("protected", call.task, name, descriptor, cookie)

    def _take(self, listener: Listener, call: Notification, descriptor: int) -> int:
        """Return a copy of the program's descriptor; -1 if the program is gone."""
        held = self._held.get(call.task)
        if held is not None:
            try:
                return held.take(descriptor)
            except ConfigError:  # that one has ended; another has its number
                held.close()
                del self._held[call.task]
        lender = TaskLender(call.task)
        # Between the call and this, the number may have become another's: not as
        # long as the call waits.
        if not listener.is_waiting(call):
            lender.close()
            return -1
        if lender.pid != call.task:
            # It is the thread's process that is held. The thread may end before it,
            # and its number become another's, which would not be noticed.
            with lender:
                return lender.take(descriptor)
        if len(self._held) >= MOST_HELD:
            self._held.pop(next(iter(self._held))).close()
        self._held[call.task] = lender
        return lender.take(descriptor)

    def _wrapped(self, copy: int) -> socket.socket:
        """
        Return the object on a number; the next copy of that number gets the same.

        It is never the one to close the number.
        """
        sock = self._sockets.get(copy)
        if sock is None:
            # The type keeps Python from setting the socket non-blocking, the
            # program's too, where socket.setdefaulttimeout() was used.
            quiet = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
            sock = socket.socket(socket.AF_INET, quiet, 0, fileno=copy)
            self._sockets[copy] = sock
        return sock

    def _hand_out(self, listener: Listener, call: Notification) -> Happening | None:
        inode = _namespace(str(call.task))
        if not listener.is_waiting(call):
            return None
        if inode != self._namespace:
            return self._unprotected(call, ELSEWHERE)
        family, kind, protocol = map(_signed, call.arguments[:3])
        with socket.socket(family, kind & ~socket.SOCK_CLOEXEC, protocol) as sock:
            self._put_on(sock, self._steps)
            cookie = sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, COOKIE_BYTES)
            flags = os.O_CLOEXEC if kind & socket.SOCK_CLOEXEC else 0
            descriptor = listener.hand_out(call, sock.fileno(), flags)
        return Happening("protected", call.task, Call.SOCKET, descriptor, cookie)

    def _put_on(self, sock: socket.socket, steps: tuple[Step, ...]) -> None:
        # That the kernel takes the values was tried before the program started.
        on = bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        before = Reading(on=on, units={})
        change(sock, steps, self._platform, before=before)

    def _unprotected(self, call: Notification, why: str) -> Happening:
        name = self._calls[call.architecture, call.number]
        known = name not in (Call.SOCKET, Call.MANY)
        descriptor = _signed(call.arguments[0]) if known else None
        return Happening("unprotected", call.task, name, descriptor, why=why)


def require_settable(settings: Keepalive, platform: Platform) -> None:
    """
    Put settings on a socket made for it, so that a refusal comes before the program.

    Args:
        settings: The settings.
        platform: This system's row.

    Raises:
        ConfigError: A value is out of range.
        UnsupportedError: This kernel does not know an option.
        AccessDenied: A sandbox forbids it.
        KernelRefused: The kernel refused.
    """
    steps = steps_for(settings, platform)
    try:
        probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        require_descriptors(error)
        raise UnsupportedError(
            f"no TCP socket can be made here: {error.strerror}",
            option="socket",
        ) from error
    with probe:
        change(probe, steps, platform, before=read(probe, platform))


def _namespace(task: str) -> int:
    return os.stat(f"/proc/{task}/ns/net").st_ino  # noqa: PTH116 - it is quicker


def _protocol(sock: socket.socket) -> int:
    """Return the protocol of a stream; 0 if it is no stream."""
    kind = sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
    if kind != socket.SOCK_STREAM:  # a raw socket may have TCP's number, too
        return 0
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL)


def while_idle(settings: Keepalive) -> Keepalive:
    """
    Return what finds a death on an idle connection at the same time, by probes alone.

    With a user timeout the kernel ends a connection at the first probe's tick that is
    no earlier than that; without, after so many probes.

    Args:
        settings: What a connection gets that takes a user timeout.

    Raises:
        ConfigError: A value cannot work.

    Source:
        Linux net/ipv4/tcp_timer.c, tcp_keepalive_timer().
    """
    idle, interval, limit = settings.idle, settings.interval, settings.user_timeout
    probes = settings.probes
    if idle is not None and interval is not None and limit:
        probes = min(max(1, math.ceil((limit - idle) / interval)), MOST_PROBES)
    return Keepalive(on=True, idle=idle, interval=interval, probes=probes)


def _from_memory(call: Notification) -> tuple[Call, int]:
    """Return what a 32-bit program asks in the old way, with arguments in memory."""
    # 64-bit programs can make such a call too, with anything in the upper halves.
    number, at = (register & LOW_HALF for register in call.arguments[:2])
    with Path(f"/proc/{call.task}/mem").open("rb", buffering=0) as memory:
        memory.seek(at)
        word = memory.read(4)
    if len(word) < 4:  # noqa: PLR2004 - bytes of an int
        raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
    return SOCKETCALLS[number], int.from_bytes(word, sys.byteorder, signed=True)


def _signed(register: int) -> int:
    """Return the int that a 64-bit register holds."""
    low = register & LOW_HALF
    return low - 2**32 if low >= 2**31 else low
