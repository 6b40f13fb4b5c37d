"""
The network namespaces of a host, and a way into each.

A namespace is known by its number (inode). It lives through processes that are in
it, through mounts (``ip netns add``, Docker) and through open descriptors; the
first two are found here. What is done in one is done by a thread that goes there
and ends there, so this process never leaves its own.

Source: Linux namespaces(7), network_namespaces(7), setns(2), ip-netns(8),
proc(5) on /proc/PID/mountinfo.
"""

import ctypes
import errno
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from deadpeer.errors import AccessDenied, ConfigError, KernelRefused
from deadpeer.kernel.descriptors import (
    NONE_LEFT,
    no_descriptor_left,
    require_descriptors,
)
from deadpeer.kernel.owners import all_pids
from deadpeer.kernel.procfs import namespace_of
from deadpeer.kernel.threads import start

__all__ = [
    "Namespace",
    "all_namespaces",
    "find_namespace",
    "in_namespace",
    "in_namespace_of",
    "own",
]

CLONE_NEWNET = 0x40000000  # include/uapi/linux/sched.h
OWN = "/proc/self/ns/net"
THREADS = "/proc/thread-self/ns/net"
MOST_DIGITS = 20  # an inode has 64 bits
LINK = re.compile(r"net:\[(\d+)\]")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """
    A network namespace.

    Args:
        inode: The number that it has on this host.
        path: A file to enter it by.
        name: What people call it: that of ``ip netns``, or empty.
        pids: The processes in it that could be seen, lowest first.
    """

    inode: int
    path: str
    name: str = ""
    pids: tuple[int, ...] = ()

    def __str__(self) -> str:
        return self.name or f"net:[{self.inode}]"


def own() -> Namespace:
    """
    Return the namespace of the calling thread.

    Raises:
        KernelRefused: The system has none.
    """
    try:
        inode = Path(THREADS).stat().st_ino
        # Another thread of ours can find the first, and not the second.
        path = OWN if Path(OWN).stat().st_ino == inode else _of_thread()
        return Namespace(inode=inode, path=path)
    except OSError as error:
        raise KernelRefused(
            "this system has no network namespaces",
            hint="it works on Linux only, with /proc mounted",
            operation=f"stat({THREADS})",
            errno=error.errno,
        ) from error


def all_namespaces() -> tuple[tuple[Namespace, ...], tuple[int, ...]]:
    """
    Return the namespaces of the host, and the processes whose is unknown.

    Returns:
        The namespaces that are visible, this thread's first, then by number;
        and the processes that may not be looked into.

    Raises:
        UnsupportedError: There is no ``/proc``.
        KernelRefused: The system has no namespaces; or no descriptor is left.
    """
    here = own()
    members: dict[int, list[int]] = {here.inode: []}
    unreadable: list[int] = []
    for pid in sorted(all_pids()):
        try:
            found = LINK.fullmatch(str(Path(f"/proc/{pid}/ns/net").readlink()))
        except PermissionError:
            unreadable.append(pid)
            continue
        except OSError:
            continue  # it ended
        if found:
            members.setdefault(int(found[1]), []).append(pid)
    mounted = mounts()
    spaces = [
        Namespace(
            inode=inode,
            path=_path(inode, here, mounted, members.get(inode, [])),
            name=_name(mounted.get(inode, "")),
            pids=tuple(members.get(inode, ())),
        )
        for inode in {**members, **mounted}
    ]
    spaces.sort(key=lambda space: (space.inode != here.inode, space.inode))
    return tuple(spaces), tuple(unreadable)


def find_namespace(wanted: str) -> Namespace:
    """
    Return the namespace that a word of the command line means.

    Args:
        wanted: A name of ``ip netns``, a process number, a path, or the
            namespace's own number (also as ``net:[4026531840]``).

    Raises:
        ConfigError: There is none such.
        AccessDenied: It may not be looked at.
        UnsupportedError: There is no ``/proc``.
        KernelRefused: The system has no namespaces.
    """
    number = LINK.fullmatch(wanted)
    digits = number[1] if number else wanted if wanted.isdecimal() else ""
    if len(digits) > MOST_DIGITS:
        raise _unknown(wanted)
    inode = int(digits) if digits else None
    if digits and not number and Path("/proc", wanted).exists():
        return _at(f"/proc/{wanted}/ns/net", wanted)
    if "/" in wanted:
        return _at(wanted, wanted)
    spaces, _ = all_namespaces()
    for space in spaces:
        if space.inode == inode or (space.name and space.name == wanted):
            return space
    raise _unknown(wanted)


def in_namespace(space: Namespace, action: Callable[[], T]) -> T:
    """
    Call *action* in a network namespace.

    Args:
        space: Where.
        action: What to call. Sockets that it makes, and what it reads under
            ``/proc/sys/net``, belong to that namespace.

    Returns:
        What *action* returned; what it raised is raised here.

    Raises:
        ConfigError: The namespace is gone, or another one stands in its place.
        AccessDenied: It takes CAP_SYS_ADMIN to go there.
        KernelRefused: The kernel refused in another way, or starts no more threads.
    """
    if space.inode == own().inode:
        return action()
    outcome: list[T] = []
    failure: list[BaseException] = []

    def go() -> None:
        try:
            _enter(space)
            outcome.append(action())
        except BaseException as error:  # noqa: BLE001 - raised by the caller
            failure.append(error)

    # Only the calling thread moves, and it might not be let back: so it is a
    # thread of its own.
    thread = threading.Thread(target=go, name=f"in {space}")
    start(thread)
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def in_namespace_of(pid: int, action: Callable[[], T]) -> T:
    """
    Call *action* in the network namespace of a process.

    Args:
        pid: The process.
        action: As for ``in_namespace``.

    Returns:
        What *action* returned; what it raised is raised here.

    Raises:
        ConfigError: There is no such process.
        AccessDenied: It takes CAP_SYS_ADMIN to go there.
        KernelRefused: The kernel refused in another way.
    """
    inode, path = namespace_of(pid), f"/proc/{pid}/ns/net"
    return in_namespace(Namespace(inode=inode, path=path, pids=(pid,)), action)


def mounts(path: str = "/proc/self/mountinfo") -> dict[int, str]:
    """
    Return where network namespaces are mounted: inode to path.

    Args:
        path: The table of mounts to read.

    Raises:
        KernelRefused: No descriptor is left to read it with.
    """
    found: dict[int, str] = {}
    try:
        text = Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        require_descriptors(error)
        return found
    for line in text.splitlines():
        fields, _, tail = line.partition(" - ")
        words = fields.split(" ")
        # id parent device root mount-point options … - type source options
        if not tail.startswith("nsfs ") or len(words) < 5:  # noqa: PLR2004
            continue
        link = LINK.fullmatch(words[3])
        if link:
            found.setdefault(int(link[1]), _unescaped(words[4]))
    return found


def _of_thread() -> str:
    return f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net"


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _path(inode: int, here: Namespace, mounted: dict[int, str], pids: list[int]) -> str:
    if inode == here.inode:
        return here.path
    return mounted.get(inode) or f"/proc/{pids[0]}/ns/net"


def _name(path: str) -> str:
    return Path(path).name


def _at(path: str, wanted: str) -> Namespace:
    try:
        link = Path(path).stat()
    except PermissionError as error:
        raise AccessDenied(
            f"the network namespace {wanted} may not be looked at",
            hint="it needs CAP_SYS_PTRACE; run the command with sudo",
            capability="CAP_SYS_PTRACE",
        ) from error
    except OSError as error:
        raise _unknown(wanted) from error
    # Opening what is something else, a pipe for instance, may take for ever.
    if link.st_dev != Path(THREADS).stat().st_dev:
        raise _no_namespace(wanted)
    named = mounts().get(link.st_ino, "")
    return Namespace(inode=link.st_ino, path=path, name=_name(named))


def _unknown(wanted: str) -> ConfigError:
    return ConfigError(
        f"there is no network namespace {wanted}",
        hint="give a name of `ip netns list`, a process number or a path",
        field="netns",
        value=wanted,
    )


def _no_namespace(path: str) -> ConfigError:
    return ConfigError(
        f"{path} is no network namespace",
        hint="give a path such as /run/netns/NAME or /proc/PID/ns/net",
        field="netns",
        value=path,
    )


def _enter(space: Namespace) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    try:
        descriptor = os.open(space.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _refused(space, error.errno or errno.EIO) from error
    try:
        # The process may have ended, and its number be another's.
        if os.fstat(descriptor).st_ino != space.inode:
            raise _gone(space)
        if library.setns(descriptor, CLONE_NEWNET) != 0:
            raise _refused(space, ctypes.get_errno())
    finally:
        os.close(descriptor)


def _gone(space: Namespace) -> ConfigError:
    return ConfigError(
        f"the network namespace {space} is gone",
        hint="list what is there with: ip netns list, lsns -t net",
        field="netns",
        value=str(space),
    )


def _refused(space: Namespace, number: int) -> Exception:
    if number in (errno.EPERM, errno.EACCES):
        return AccessDenied(
            f"the network namespace {space} may not be entered",
            hint="it needs CAP_SYS_ADMIN; run the command with sudo",
            capability="CAP_SYS_ADMIN",
        )
    if number in NONE_LEFT:
        return no_descriptor_left(number, f"open({space.path})")
    if number == errno.ENOENT:
        return _gone(space)
    if number == errno.EINVAL:  # it is a namespace, of mounts for instance
        return _no_namespace(space.path)
    return KernelRefused(
        f"the network namespace {space} cannot be entered: {os.strerror(number)}",
        operation=f"setns({space.path})",
        errno=number,
    )
