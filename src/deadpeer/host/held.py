"""
One socket of another process, held for an instant, and surely that one.

Between the moment in which sockets are listed and the moment in which one is
changed, its program may close it, and the number of its descriptor be another
socket's. So the descriptor that is borrowed has to be of the same inode and to give
the same cookie, which no two sockets share between two boots. While it is held, it
cannot become another.

Source: Linux pidfd_getfd(2); SO_COOKIE in include/uapi/asm-generic/socket.h.
"""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from deadpeer.errors import AccessDenied, ConfigError, KernelRefused
from deadpeer.host.targets import NEEDS_PTRACE, Target
from deadpeer.kernel.borrow import Lender
from deadpeer.kernel.owners import Holder
from deadpeer.kernel.sockets import borrowed, identity

__all__ = ["held"]


@contextmanager
def held(target: Target) -> Iterator[socket.socket | None]:
    """
    Hold a socket of another process; None if it is not where it was.

    Its flags, which are shared with its program, are left as they are. For as long
    as it is held, its program's ``close()`` sends nothing to the peer: so hold it
    for the few system calls that a change takes.

    Args:
        target: Which one.

    Yields:
        A socket to read and set options of, closed again afterwards.

    Raises:
        NotTcp: It is no TCP socket, or was closed by this process meanwhile.
        AccessDenied: None of its programs may be looked into.
        UnsupportedError: It is a Multipath TCP socket, or this is not Linux 5.6.
        KernelRefused: No descriptor is left to work with.
    """
    denied: AccessDenied | None = None
    for holder in target.holders:
        try:
            copy = _lent(holder)
        except AccessDenied as error:
            denied = error
            continue
        if copy is None:
            continue
        try:
            if os.fstat(copy).st_ino != target.row.inode:
                continue
            with borrowed(copy) as sock:
                if identity(sock) != target.row.cookie_bytes:
                    continue
                yield sock
                return
        finally:
            os.close(copy)
    if denied is not None:
        raise AccessDenied(
            denied.message,
            hint=NEEDS_PTRACE,
            capability="CAP_SYS_PTRACE",
            pid=denied.pid,
        ) from denied
    yield None


def _lent(holder: Holder) -> int | None:
    """Return a copy of the descriptor, or None if it is there no more."""
    try:
        with Lender(holder.pid) as lender:
            return lender.take(holder.fd)
    except ConfigError:
        return None  # the process has ended
    except KernelRefused as error:
        if error.errno != errno.EBADF:
            raise
        return None
