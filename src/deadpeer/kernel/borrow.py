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
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any, Self

from deadpeer.errors import (
    AccessDenied,
    ConfigError,
    DeadPeerError,
    KernelRefused,
    UnsupportedError,
)
from deadpeer.kernel.descriptors import NONE_LEFT, no_descriptor_left

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

        Args:
            descriptor: Its number in the other process.

        Returns:
            A number of this process, the lowest that is free.

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

    def take_all(self, descriptors: Sequence[int]) -> list[int]:
        """
        Give descriptors of this process, which the caller has to close.

        Args:
            descriptors: Their numbers in the other process.

        Returns:
            A number of this process for each; -1 for one that is not there (any
            more).

        Raises:
            AccessDenied: The process may not be looked into.
            KernelRefused: This process may have no more descriptors.
            ConfigError: The process has ended.
            UnsupportedError: This is not Linux 5.6 or later.
        """
        many = len(descriptors)
        copies: list[int] = list(
            map(
                _syscall(),
                repeat(_PIDFD_GETFD, many),
                repeat(self._pidfd, many),
                descriptors,
                repeat(0, many),
            )
        )
        try:
            for at, copy in enumerate(copies):
                if copy < 0:
                    copies[at] = self._take_if_there(descriptors[at])
        except DeadPeerError:
            for copy in copies:
                if copy >= 0:
                    os.close(copy)
            raise
        return copies

    def _take_if_there(self, descriptor: int) -> int:
        try:
            return self.take(descriptor)
        except KernelRefused as error:
            if error.errno != errno.EBADF:
                raise
            return -1


@functools.cache
def _syscall() -> Any:
    # Without argtypes, which would double what a call costs: the kernel takes
    # these arguments as int, and that is what ctypes makes of numbers.
    return ctypes.CDLL(None, use_errno=True).syscall


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
    if number in NONE_LEFT:
        return no_descriptor_left(number, operation)
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
