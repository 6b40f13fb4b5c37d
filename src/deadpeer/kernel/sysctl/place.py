"""
Where this process stands: whose settings ``/proc/sys/net`` shows to it.

Everything under ``/proc/sys/net`` belongs to one network namespace. A new
namespace starts with the kernel's defaults and not with the host's values, and a
sandbox such as gVisor has a network stack of its own.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from deadpeer.kernel.descriptors import require_descriptors
from deadpeer.kernel.sysctl.values import read_all, shows_stubs

__all__ = ["Place", "boot_id", "is_running_system", "network_namespace", "place"]

# net/core/sysctl_net_core.c registers its global table in the first network
# namespace only, so others lack this file. Seen on Linux 6.18.
FIRST_ONLY = "proc/sys/net/core/netdev_max_backlog"
BOOT_ID = "proc/sys/kernel/random/boot_id"

MARKS = (("docker", ".dockerenv"), ("podman", "run/.containerenv"))
SYSTEMD_MARK = "run/systemd/container"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """
    Whose settings are shown.

    Args:
        running: They are those of a running kernel; False for a tree of files.
        initial: This is the system's first network namespace; None if unknown.
        namespace: The network namespace's inode number; None for a tree.
        container: What kind of container this is, if a mark of one was found.
        sandbox: ``gvisor`` if the settings are the stubs that it shows.
    """

    running: bool
    initial: bool | None
    namespace: int | None
    container: str
    sandbox: str


def boot_id(root: str | os.PathLike[str] = "/") -> str | None:
    """
    Return what names this boot of the kernel, or None if a tree has nothing such.

    Args:
        root: The tree.

    Raises:
        KernelRefused: No descriptor is left to work with.
    """
    try:
        return Path(root, BOOT_ID).read_text(encoding="ascii").strip()
    except OSError as error:
        require_descriptors(error)
        return None


def is_running_system(root: str | os.PathLike[str] = "/") -> bool:
    """
    Tell if the tree's ``/proc`` is that of the running kernel.

    Args:
        root: The tree; another one than ``/`` may have the real proc mounted.

    Raises:
        KernelRefused: No descriptor is left to work with.
    """
    own = boot_id("/")
    return own is not None and boot_id(root) == own


def network_namespace(root: str | os.PathLike[str] = "/") -> int | None:
    """
    Return the inode number of the network namespace that a tree's proc shows.

    It is this thread's own: ``/proc/sys/net`` follows whoever opens it.

    Args:
        root: The tree.

    Returns:
        The number, or None for a tree without the running kernel's proc.

    Raises:
        KernelRefused: No descriptor is left to work with.
    """
    if not is_running_system(root):
        return None
    try:
        return Path("/proc/thread-self/ns/net").stat().st_ino
    except OSError:
        return None


def place(root: str | os.PathLike[str] = "/") -> Place:
    """
    Return whose settings a tree shows.

    Args:
        root: The tree.

    Raises:
        UnsupportedError: It shows none.
        AccessDenied: They may not be read.
        KernelRefused: Reading failed in another way.
        ConfigError: A file of the tree holds no number.
    """
    running = is_running_system(root)
    stubs = shows_stubs(read_all(root=root), root=root)
    return Place(
        running=running,
        initial=Path(root, FIRST_ONLY).exists() if running else None,
        namespace=network_namespace(root),
        container=_container(root),
        sandbox="gvisor" if stubs else "",
    )


def _container(root: str | os.PathLike[str]) -> str:
    for name, mark in MARKS:
        if Path(root, mark).exists():
            return name
    try:
        return Path(root, SYSTEMD_MARK).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
