"""
A network namespace as an object that holds a descriptor, and no name.

A namespace lives as long as a process is in it or a descriptor of it is open.
Named ones (``ip netns``) are kept open by a mount, which outlives whoever made
it; these are not, so when the process that made one dies, however it dies,
nothing is left behind.

A thread steps into a namespace and back. Whatever it makes there belongs to it
for ever: sockets, netlink sockets, child processes.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from deadpeer.errors import LabError, MissingExtra
from deadpeer.lab.closing import Closing

__all__ = [
    "CLONE_NEWNET",
    "CLONE_NEWUSER",
    "Namespace",
    "enter_namespace",
    "netlink",
    "unshare",
]

# Source: linux/sched.h. Python has os.setns and os.unshare from 3.12 on.
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

OWN = "/proc/thread-self/ns/net"

libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """
    Put the calling thread into new namespaces.

    Args:
        flags: ``CLONE_NEWNET``, ``CLONE_NEWUSER`` or both.

    Raises:
        OSError: The kernel refused.

    Source:
        unshare(2); a user namespace needs a process with a single thread.
    """
    if libc.unshare(ctypes.c_int(flags)):
        raise _os_error("unshare")


def enter_namespace(fd: int) -> None:
    """
    Put the calling thread into the network namespace behind a descriptor.

    Raises:
        OSError: The kernel refused.

    Source:
        setns(2).
    """
    if libc.setns(ctypes.c_int(fd), ctypes.c_int(CLONE_NEWNET)):
        raise _os_error("setns")


class Namespace(Closing):
    """
    A network namespace of our own, alive until it is closed.

    Args:
        name: What it is, for messages.

    Attributes:
        links: Netlink into it, for links, addresses and routes.

    Raises:
        LabError: The kernel makes none for this process.
        MissingExtra: The library for netlink is not installed.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        home = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            unshare(CLONE_NEWNET)
        except OSError as error:
            os.close(home)
            raise LabError(
                f"the kernel makes no network namespace: {error.strerror}",
                hint="run as root, or where user namespaces are allowed",
            ) from error
        try:
            self.fd = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
            self.links = netlink()
        finally:
            enter_namespace(home)
            os.close(home)
        self.is_open = True

    def __repr__(self) -> str:
        return f"<Namespace {self.name} {self.inode}>"

    @property
    def inode(self) -> int:
        """The number by which ``/proc/PID/ns/net`` knows it."""
        return os.fstat(self.fd).st_ino

    @contextmanager
    def entered(self) -> Iterator[None]:
        """
        Step into it with this thread, and back at the end.

        Raises:
            LabError: There is no way back; the thread has to end.
        """
        home = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            enter_namespace(self.fd)
            try:
                yield
            finally:
                try:
                    enter_namespace(home)
                except OSError as error:
                    raise LabError("there is no way out of a namespace") from error
        finally:
            os.close(home)

    def set_sysctl(self, key: str, value: object) -> None:
        """
        Set one of the namespace's own settings.

        Args:
            key: The kernel's name below ``net``, with slashes.
            value: What to write.

        Raises:
            LabError: It cannot be written.
        """
        path = Path("/proc/sys/net", key)
        try:
            with self.entered():
                path.write_text(f"{value}\n", encoding="ascii")
        except OSError as error:
            raise LabError(
                f"{path} of the lab's own namespace cannot be set: {error.strerror}",
                hint="in a container, /proc/sys has to be writable: --privileged, or"
                " --security-opt systempaths=unconfined",
            ) from error

    def set_sysctl_if_present(self, key: str, value: object) -> None:
        """
        Set a setting that not every kernel has, if this one has it.

        Args:
            key: The kernel's name below ``net``, with slashes.
            value: What to write.

        Raises:
            LabError: It is there and cannot be written.
        """
        with self.entered():
            present = Path("/proc/sys/net", key).exists()
        if present:
            self.set_sysctl(key, value)

    def index(self, link: str) -> int:
        """
        Return the number of a link.

        Raises:
            LabError: There is none of that name.
        """
        found = self.links.link_lookup(ifname=link)
        if not found:
            raise LabError(f"the lab's {self.name} has no link {link}")
        number: int = found[0]
        return number

    def close(self) -> None:
        """Let it go; it ends when the last process and socket in it are gone."""
        if self.is_open:
            self.is_open = False
            with suppress(OSError):
                self.links.close()
            os.close(self.fd)


def netlink() -> Any:
    """
    Return a connection to the kernel's links and routes, of this namespace.

    Raises:
        MissingExtra: The library for it is not installed.
    """
    try:
        # Late, because it takes a third of a second, and the lab's children
        # have no use for it.
        from pyroute2 import IPRoute
    except ImportError as error:
        raise MissingExtra(
            "the lab needs pyroute2",
            hint="pip install 'deadpeer[lab]'",
            extra="lab",
        ) from error
    return IPRoute()


def _os_error(call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}")
