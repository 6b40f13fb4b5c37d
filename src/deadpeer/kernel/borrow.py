"""
Borrowing a descriptor of a running process, to look at its options.

``pidfd_getfd`` gives this process a second descriptor for the same socket. The
socket knows nothing of it, but it is the *same* socket: whatever is set through
the copy is set for the owner too. What is borrowed here is for reading.

Two things follow. The copy must not become a Python socket object with a
timeout, nor be set non-blocking: that flag is shared with the owner. And while
the copy is open, the owner's ``close()`` sends nothing to the peer; so it is kept
for as long as a few calls of ``getsockopt`` take.

Source: Linux pidfd_open(2), pidfd_getfd(2), ptrace(2) on
PTRACE_MODE_ATTACH_REALCREDS.
"""

import contextlib
import ctypes
import errno
import functools
import os
from collections.abc import Iterator
from typing import Any, Self

from deadpeer.errors import (
    AccessDenied,
    ConfigError,
    KernelRefused,
    UnsupportedError,
)

__all__ = ["Lender"]

# The number is the same on every architecture of Linux but alpha.
# Source: scripts/syscall.tbl.
_PIDFD_GETFD = 438


class Lender:
    """
    A process that descriptors are borrowed from.

    It is held by a descriptor of its own, so that a process that ends and
    another that gets its number are never confused. Use it with ``with``.

    Args:
        pid: The process.

    Raises:
        ConfigError: There is no such process.
        UnsupportedError: This is not Linux 5.6 or later.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        opener = getattr(os, "pidfd_open", None)
        if opener is None:
            raise _unsupported()
        try:
            self._pidfd: int = opener(pid)
        except (OSError, OverflowError) as error:
            raise _translated(error, pid, f"pidfd_open({pid})") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the process go; harmless if called again."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    @contextlib.contextmanager
    def borrowed(self, descriptor: int) -> Iterator[int]:
        """
        Give a descriptor of this process for one of the other's.

        Args:
            descriptor: Its number in the other process.

        Yields:
            A number of this process, closed again afterwards.

        Raises:
            AccessDenied: The process may not be looked into.
            KernelRefused: It has no such descriptor (any more): errno EBADF.
            ConfigError: The process has ended.
            UnsupportedError: This is not Linux 5.6 or later.
        """
        copy = self.take(descriptor)
        try:
            yield copy
        finally:
            os.close(copy)

    def take(self, descriptor: int) -> int:
        """
        Give a descriptor of this process, which the caller has to close.

        It is for the many at once, where ``borrowed`` would cost more than what
        is asked; it gets the lowest number that is free.

        Args:
            descriptor: Its number in the other process.

        Returns:
            A number of this process.

        Raises:
            AccessDenied: The process may not be looked into.
            KernelRefused: It has no such descriptor (any more): errno EBADF.
            ConfigError: The process has ended.
            UnsupportedError: This is not Linux 5.6 or later.
        """
        copy: int = _syscall()(_PIDFD_GETFD, self._pidfd, descriptor, 0)
        if copy >= 0:
            return copy
        number = ctypes.get_errno()
        failure = OSError(number, os.strerror(number))
        raise _translated(
            failure, self.pid, f"pidfd_getfd({self.pid}, {descriptor})"
        ) from failure


@functools.cache
def _syscall() -> Any:
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.argtypes = (ctypes.c_long,) * 4
    call.restype = ctypes.c_long
    return call


def _translated(error: OSError | OverflowError, pid: int, operation: str) -> Exception:
    number = error.errno if isinstance(error, OSError) else errno.ESRCH
    if number in (errno.ESRCH, errno.EINVAL):
        return ConfigError(
            f"there is no process {pid}",
            hint="list the processes with: ps -e",
            field="pid",
            value=pid,
        )
    if number in (errno.EPERM, errno.EACCES):
        return AccessDenied(
            f"process {pid} may not be looked into",
            hint=f"it needs CAP_SYS_PTRACE; run: sudo deadpeer check {pid}",
            capability="CAP_SYS_PTRACE",
            pid=pid,
        )
    if number == errno.ENOSYS:
        return _unsupported()
    return KernelRefused(
        f"{operation} failed: {os.strerror(number or errno.EIO)}",
        operation=operation,
        errno=number,
    )


def _unsupported() -> UnsupportedError:
    return UnsupportedError(
        "this system cannot lend a descriptor of another process",
        hint="it needs Linux 5.6 or later, and a sandbox that allows pidfd_getfd",
        option="pidfd_getfd",
    )
