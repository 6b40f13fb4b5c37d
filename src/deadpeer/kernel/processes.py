"""
What a process is: its name, its user, the container that it runs in.

Source: Linux proc(5), /proc/PID/status, cmdline and cgroup; cgroups(7). The names
that runtimes give their cgroups: systemd drivers of Docker, containerd, CRI-O and
Podman (``docker-ID.scope``, ``cri-containerd-ID.scope``, ``crio-ID.scope``,
``libpod-ID.scope``), their cgroupfs drivers (``/docker/ID``, ``/kubepods/…/ID``),
LXC (``lxc.payload.NAME``) and systemd-nspawn (``machine-NAME.scope``).
"""

import functools
import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Process", "container_of", "process_facts", "user_name"]

ID = r"[0-9a-f]{64}"
CONTAINERS = (
    re.compile(rf"/(?:[a-z]+(?:-[a-z]+)*-)?({ID})(?:\.scope)?(?:/|$)"),
    re.compile(r"/lxc(?:\.payload\.|/)([^/]+)"),
    re.compile(r"/machine-([^/]+)\.scope(?:/|$)"),
)
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
    """
    folder = Path("/proc", str(pid))
    uid = _uid(folder)
    cgroup = _cgroup(_text(folder / "cgroup"))
    words = _text(folder / "cmdline").rstrip("\0")
    return Process(
        pid=pid,
        name=_text(folder / "comm").rstrip("\n"),
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


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _uid(folder: Path) -> int | None:
    # The owner of the folder is root's where a process is not dumpable.
    for line in _text(folder / "status").splitlines():
        if line.startswith("Uid:"):
            return int(line.split()[2])  # the effective one
    return None


def _cgroup(text: str) -> str:
    """Choose the version 2 path; where there is none of use, the most specific."""
    paths = [line.partition(":")[2].partition(":") for line in text.splitlines()]
    for controllers, _, path in paths:
        if not controllers and path != "/":
            return path
    return max((path for _, _, path in paths), key=len, default="")


def _netns(folder: Path) -> int:
    try:
        return (folder / "ns/net").stat().st_ino
    except OSError:
        return 0
