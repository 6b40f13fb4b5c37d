"""
What is done about one stopped system call: a socket gets its settings.

Whatever goes wrong, the program's call goes on as if nobody had looked. So a
program never fails because of this; it may stay unprotected, and that is told.
"""

import errno
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deadpeer.errors import DeadPeerError, KernelRefused, NotTcp, UnsupportedError
from deadpeer.kernel.call_filter import SOCKETCALLS, Call, Machine, Way
from deadpeer.kernel.registers import change, read, steps_for
from deadpeer.kernel.seccomp import Listener, Notification, TaskLender
from deadpeer.kernel.sockets import borrowed, identity
from deadpeer.platforms import Platform
from deadpeer.policy import Keepalive

__all__ = ["Happening", "Protector"]

IPPROTO_TCP = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """
    Something that a helper may tell of.

    Args:
        event: ``protected``, ``unprotected``, ``started``, ``helper`` (a new one
            stands by) or ``ended``.
        task: The thread that called, or the helper.
        call: What it called.
        descriptor: Its descriptor of the socket.
        cookie: The kernel's number of the socket, which no two share.
        why: Why a socket stays unprotected.
    """

    event: str
    task: int = 0
    call: str = ""
    descriptor: int | None = None
    cookie: int | None = None
    why: str = ""


class Protector:
    """
    Answers notifications.

    Args:
        machine: Whose system calls.
        way: How sockets get their settings.
        settings: Those settings.
        platform: This system's row.
    """

    def __init__(
        self, machine: Machine, way: Way, settings: Keepalive, platform: Platform
    ) -> None:
        self._machine = machine
        self._platform = platform
        self._steps = steps_for(settings, platform)
        self._deal: Callable[[Listener, Notification], Happening | None] = (
            self._borrow if way is Way.BORROW else self._hand_out
        )
        self._namespace = _namespace("self")

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
        except NotTcp:
            return None
        except (DeadPeerError, OSError) as error:
            if isinstance(error, OSError) and error.errno == errno.EBADF:
                return None  # the program's own mistake, and it will be told
            return self._unprotected(call, str(error))
        finally:
            # Of a call that was answered already, this is not heard.
            listener.proceed(call)

    def _borrow(self, listener: Listener, call: Notification) -> Happening | None:
        with TaskLender(call.task) as lender:
            # The number may have been given to another since: this one waits.
            if not listener.is_waiting(call):
                return None
            name, descriptor = self._asked(call)
            # Closed before the call goes on, so that the program's socket has no
            # second owner when it does.
            with (
                lender.borrowed(descriptor) as copy,
                borrowed(copy) as sock,
            ):
                self._put_on(sock)
                cookie = _cookie(sock)
        return Happening(
            event="protected",
            task=call.task,
            call=name,
            descriptor=descriptor,
            cookie=cookie,
        )

    def _hand_out(self, listener: Listener, call: Notification) -> Happening | None:
        inode = _namespace(str(call.task))
        if not listener.is_waiting(call):
            return None
        if inode != self._namespace:
            why = "it is in a network namespace of its own, where no socket can be made"
            return self._unprotected(call, f"{why} for it; run it as root, there")
        family, kind, protocol = map(_signed, call.arguments[:3])
        with socket.socket(family, kind & ~socket.SOCK_CLOEXEC, protocol) as sock:
            self._put_on(sock)
            cookie = _cookie(sock)
            flags = os.O_CLOEXEC if kind & socket.SOCK_CLOEXEC else 0
            descriptor = listener.hand_out(call, sock.fileno(), flags)
        return Happening(
            event="protected",
            task=call.task,
            call=Call.SOCKET.value,
            descriptor=descriptor,
            cookie=cookie,
        )

    def _put_on(self, sock: socket.socket) -> None:
        before = read(sock, self._platform)
        change(sock, self._steps, self._platform, before=before)

    def _asked(self, call: Notification) -> tuple[str, int]:
        """Return which call it is, and of which descriptor."""
        name = self._machine.call(call.architecture, call.number)
        if name is not Call.MANY:
            return (name or "").__str__(), _signed(call.arguments[0])
        # The old way of 32-bit programs: the arguments lie in their memory.
        with Path(f"/proc/{call.task}/mem").open("rb", buffering=0) as memory:
            memory.seek(call.arguments[1])
            word = memory.read(4)
        if len(word) != 4:  # noqa: PLR2004 - the bytes of an int
            raise KernelRefused("its memory cannot be read", operation="read")
        return SOCKETCALLS[call.arguments[0]].value, struct.unpack("=i", word)[0]

    def _unprotected(self, call: Notification, why: str) -> Happening:
        name = self._machine.call(call.architecture, call.number)
        return Happening(
            event="unprotected",
            task=call.task,
            call=(name or "").__str__(),
            descriptor=None if name is Call.SOCKET else _signed(call.arguments[0]),
            why=why,
        )


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
        raise UnsupportedError(
            f"no TCP socket can be made here: {error.strerror}",
            option="socket",
        ) from error
    with probe:
        change(probe, steps, platform, before=read(probe, platform))


def _namespace(task: str) -> int:
    return os.stat(f"/proc/{task}/ns/net").st_ino  # noqa: PTH116 - it is quicker


def _cookie(sock: socket.socket) -> int:
    return int.from_bytes(identity(sock), "little")


def _signed(register: int) -> int:
    """Return the int that a 64-bit register holds."""
    low = register & 0xFFFFFFFF
    return low - 2**32 if low >= 2**31 else low
