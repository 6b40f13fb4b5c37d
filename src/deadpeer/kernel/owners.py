"""
Which processes hold which sockets: the descriptors of all processes, by inode.

A socket may be held by many descriptors, of one process or of several (a server
and its workers); all are told. Those that nobody holds (a connection in TIME_WAIT,
one that was closed with data still to be sent) are simply absent.

What may not be looked into is told as well, so that nobody takes "no owner seen"
for "no owner".

Source: Linux proc(5), /proc/PID/fd; ptrace(2), PTRACE_MODE_READ_FSCREDS.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from deadpeer.errors import UnsupportedError
from deadpeer.kernel.descriptors import require_descriptors

__all__ = ["Holder", "Owners", "find_owners"]

PREFIX = "socket:["  # eight characters; then the inode, and a bracket


class Holder(NamedTuple):
    """
    A descriptor of a process.

    Attributes:
        pid: The process.
        fd: The number of the descriptor in it.
    """

    pid: int
    fd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    """
    Who holds which sockets.

    Args:
        first: Inode to one holder (process and descriptor), of the lowest
            process and there the first descriptor that was found.
        others: Inode to the further holders, for the few sockets that have any.
        unreadable: The processes that may not be looked into.
    """

    first: dict[int, tuple[int, int]] = field(default_factory=dict)
    others: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    unreadable: tuple[int, ...] = ()

    def of(self, inode: int) -> tuple[Holder, ...]:
        """
        Return every descriptor that holds a socket.

        Args:
            inode: The socket's; 0 is no socket's.
        """
        first = self.first.get(inode)
        if first is None:
            return ()
        return tuple(map(Holder._make, (first, *self.others.get(inode, ()))))


def find_owners(pids: Iterable[int] | None = None) -> Owners:
    """
    Look through the descriptors of processes.

    A process or descriptor that ends meanwhile is passed over.

    Args:
        pids: The processes to look into; all that are visible if None.

    Raises:
        UnsupportedError: There is no ``/proc``.
        KernelRefused: No descriptor is left to work with.
    """
    first: dict[int, tuple[int, int]] = {}
    others: dict[int, list[tuple[int, int]]] = {}
    unreadable: list[int] = []
    for pid in sorted(all_pids() if pids is None else pids):
        try:
            _look_into(pid, first, others)
        except PermissionError:
            unreadable.append(pid)
        except OSError as error:
            require_descriptors(error)  # or else it ended
    return Owners(first=first, others=others, unreadable=tuple(unreadable))


def all_pids() -> list[int]:
    """
    Return the numbers of all processes that are visible.

    Raises:
        UnsupportedError: There is no ``/proc``.
        KernelRefused: No descriptor is left to work with.
    """
    try:
        names = os.listdir("/proc")  # noqa: PTH208 - one of very many
    except OSError as error:
        require_descriptors(error)
        raise UnsupportedError(
            "there is no /proc to find the owners of sockets in",
            hint="it works on Linux only, with /proc mounted",
            option="/proc",
        ) from error
    return [int(name) for name in names if name.isdecimal()]


def _look_into(
    pid: int,
    first: dict[int, tuple[int, int]],
    others: dict[int, list[tuple[int, int]]],
) -> None:
    readlink, keep = os.readlink, first.setdefault
    folder = os.open(f"/proc/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in os.listdir(folder):  # noqa: PTH208 - it is a descriptor
            try:
                target = readlink(name, dir_fd=folder)
            except PermissionError:
                raise
            except OSError:
                continue  # closed in the meantime
            if target[:8] != PREFIX:
                continue
            inode, holder = int(target[8:-1]), (pid, int(name))
            if keep(inode, holder) is not holder:
                others.setdefault(inode, []).append(holder)
    finally:
        os.close(folder)
