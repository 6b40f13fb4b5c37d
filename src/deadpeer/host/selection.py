"""Which connections of a host are meant, in the words of whoever asks."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from deadpeer.errors import ConfigError
from deadpeer.host.filters import Filter, parse_filter
from deadpeer.host.verdicts import WITHIN
from deadpeer.kernel.namespaces import (
    Namespace,
    all_namespaces,
    find_namespace,
    own,
)
from deadpeer.kernel.processes import Process

__all__ = [
    "ALL_NAMESPACES",
    "Selection",
    "members",
    "namespaces_of",
    "service_port",
]

ALL_NAMESPACES = "all"
"""What to give for ``netns`` to look into every namespace of the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """
    Which sockets are meant: those for which everything given here holds.

    Args:
        words: A filter in the grammar of ``ss``; empty for every connection.
        pids: Of these processes; any if empty.
        processes: Of processes of these names, which may have ``*`` and ``?``.
        users: Of processes of these users, by name or number.
        unprotected: Only those on which a death goes unnoticed for too long.
        suspect: Only those whose peer is probably dead already.
        netns: In these namespaces: names, numbers, paths, or ``all``. If empty,
            those of *pids*, or else this process's own.
        within: How soon a death should be noticed, in seconds; what takes longer
            is unprotected.
    """

    words: tuple[str, ...] = ()
    pids: frozenset[int] = frozenset()
    processes: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    unprotected: bool = False
    suspect: bool = False
    netns: tuple[str, ...] = ()
    within: float = WITHIN

    @property
    def filter(self) -> Filter:
        """
        The filter that the words make.

        Raises:
            ConfigError: They make none; the message shows the place.
        """
        return parse_filter(self.words, services=service_port)

    def holds(self, *, pid: int, process: str, user: str, uid: int | None) -> bool:
        """
        Return whether what a process has is meant, whatever the filter says.

        Args:
            pid: Its number.
            process: Its name.
            user: Its user's name.
            uid: Its user's number; None if that is not known.
        """
        if self.pids and pid not in self.pids:
            return False
        if self.processes and not any(
            fnmatchcase(process, pattern) for pattern in self.processes
        ):
            return False
        return (
            not self.users
            or user in self.users
            or (uid is not None and str(uid) in self.users)
        )

    @property
    def is_by_process(self) -> bool:
        """Whether only sockets are meant that certain processes hold."""
        return bool(self.pids or self.processes or self.users)

    @property
    def is_everything(self) -> bool:
        """Whether it says nothing about which connections are meant."""
        return not (
            any(word.strip() for word in self.words)
            or self.is_by_process
            or self.unprotected
            or self.suspect
        )


def namespaces_of(
    selection: Selection,
) -> tuple[tuple[Namespace, ...], tuple[int, ...]]:
    """
    Return where to look, and the processes that may be elsewhere.

    Args:
        selection: What is meant.

    Raises:
        ConfigError: A namespace or process is not there.
        AccessDenied: It may not be looked at.
        UnsupportedError: There is no ``/proc``.
        KernelRefused: The system has no namespaces.
    """
    if ALL_NAMESPACES in selection.netns:
        return all_namespaces()
    if selection.netns:
        found = [find_namespace(name) for name in selection.netns]
    elif selection.pids:
        found = [_namespace_of(pid) for pid in sorted(selection.pids)]
    else:
        found = [own()]
    return tuple({space.inode: space for space in found}.values()), ()


def _namespace_of(pid: int) -> Namespace:
    try:
        return find_namespace(f"/proc/{pid}/ns/net")
    except ConfigError as error:
        raise ConfigError(
            f"there is no process {pid}",
            hint="list the processes with: ps -e",
            field="pid",
            value=pid,
        ) from error


def members(
    selection: Selection, processes: Mapping[int, Process]
) -> frozenset[int] | None:
    """
    Return the processes that are meant; None if any is.

    Args:
        selection: What is meant.
        processes: Those of the host, by number.
    """
    if not selection.is_by_process:
        return None
    return frozenset(
        pid
        for pid, process in processes.items()
        if selection.holds(
            pid=pid, process=process.name, user=process.user, uid=process.uid
        )
    )


def service_port(name: str) -> int | None:
    """
    Return the TCP port of a service; None if there is none of that name.

    Args:
        name: As in ``/etc/services``.
    """
    try:
        return socket.getservbyname(name, "tcp")
    except (OSError, UnicodeError):  # not found, or bytes that are no text
        return None
