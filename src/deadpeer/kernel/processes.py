"""
What a process is: its name, its user, the container that it runs in.

Source: Linux proc(5), /proc/PID/status, cmdline and cgroup; cgroups(7). The names
that runtimes give their cgroups: systemd drivers of Docker, containerd, CRI-O and
Podman (``docker-ID.scope``, ``cri-containerd-ID.scope``, ``crio-ID.scope``,
``libpod-ID.scope``), their cgroupfs drivers (``/docker/ID``, ``/kubepods/…/ID``),
LXC (``lxc.payload.NAME``) and systemd-nspawn (``machine-NAME.scope``).
"""

import functools
import os
import re
from dataclasses import dataclass

from deadpeer.kernel.descriptors import require_descriptors

__all__ = ["Process", "container_of", "process_facts", "user_name"]

ID = r"[0-9a-f]{64}"
CONTAINERS = (
    re.compile(rf"/(?:[a-z]+(?:-[a-z]+)*-)?({ID})(?:\.scope)?(?:/|$)"),
    re.compile(r"/lxc(?:\.payload\.|/)([^/]+)"),
    re.compile(r"/machine-([^/]+)\.scope(?:/|$)"),
)
UID = re.compile(r"^Uid:\s+\d+\s+(\d+)", re.MULTILINE)  # the effective one
PIECE = 4096
MOST = 1 << 16  # bytes of a command line
SHORT = 12  # digits of an identifier that people use


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """
    What is known about a process; what could not be read is empty or None.

    Args:
        pid: Its number.
        name: Its short name, as in ``ps -o comm``.
        command: The words that it was started with.
        uid: The user whose rights it has.
        user: That user's name on this host; the number if it has none.
        cgroup: The path of its cgroup.
        container: The name or the short identifier of its container.
        netns: The number (inode) of its network namespace; 0 if unknown.
    """

    pid: int
    name: str = ""
    command: tuple[str, ...] = ()
    uid: int | None = None
    user: str = ""
    cgroup: str = ""
    container: str = ""
    netns: int = 0


def process_facts(pid: int) -> Process:
    """
    Return what a process is; one that has ended has a number only.

    Args:
        pid: The process.

    Raises:
        KernelRefused: No descriptor is left to work with.
    """
    folder = f"/proc/{pid}"
    uid = _uid(folder)
    cgroup = _cgroup(_text(f"{folder}/cgroup"))
    words = _text(f"{folder}/cmdline").rstrip("\0")
    return Process(
        pid=pid,
        name=_text(f"{folder}/comm").rstrip("\n"),
        command=tuple(words.split("\0")) if words else (),
        uid=uid,
        user="" if uid is None else user_name(uid),
        cgroup=cgroup,
        container=container_of(cgroup),
        netns=_netns(folder),
    )


def container_of(cgroup: str) -> str:
    """
    Return the container that a cgroup belongs to; empty if none.

    Args:
        cgroup: Its path.

    >>> container_of("/system.slice/docker-" + "ab12" * 16 + ".scope")
    'ab12ab12ab12'
    >>> container_of("/system.slice/ssh.service")
    ''
    """
    found = [match for form in CONTAINERS for match in form.finditer(cgroup)]
    if not found:
        return ""
    # Containers within containers: the innermost is the one that it runs in.
    name: str = max(found, key=lambda match: match.start())[1]
    return name[:SHORT] if re.fullmatch(ID, name) else name


@functools.cache
def user_name(uid: int) -> str:
    """
    Return the name of a user of this host; the number as text without one.

    Args:
        uid: The user's number.
    """
    try:
        import pwd  # not on Windows

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError, OverflowError):
        return str(uid)


def _text(path: str) -> str:
    # There may be thousands of processes: this is the quickest way.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        require_descriptors(error)
        return ""
    try:
        data = b""
        while piece := os.read(descriptor, PIECE):
            data += piece
            # Most fit; a command line may be as long as memory allows.
            if len(piece) < PIECE or len(data) >= MOST:
                break
    except OSError:
        return ""  # it ended
    finally:
        os.close(descriptor)
    return data.decode(errors="replace")


def _uid(folder: str) -> int | None:
    # The owner of the folder is root's where a process is not dumpable.
    found = UID.search(_text(f"{folder}/status"))
    return int(found[1]) if found else None


def _cgroup(text: str) -> str:
    """Choose the version 2 path; where there is none of use, the most specific."""
    paths = [line.partition(":")[2].partition(":") for line in text.splitlines()]
    for controllers, _, path in paths:
        if not controllers and path != "/":
            return path
    return max((path for _, _, path in paths), key=len, default="")


def _netns(folder: str) -> int:
    try:
        return os.stat(f"{folder}/ns/net").st_ino  # noqa: PTH116 - one of very many
    except OSError:
        return 0
