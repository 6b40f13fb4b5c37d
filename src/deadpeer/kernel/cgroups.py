"""
Control groups, version 2: where they are, and which one somebody means.

A connection belongs to the cgroup in which the process was that made its socket;
an accepted one to that of its listener. On a hybrid host (versions 1 and 2 side by
side) version 2 has a mount of its own, usually ``/sys/fs/cgroup/unified``.

Source: Linux cgroups(7), Documentation/admin-guide/cgroup-v2.rst; proc(5) on
/proc/PID/cgroup.
"""

import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from deadpeer.errors import AccessDenied, ConfigError, UnsupportedError
from deadpeer.kernel.descriptors import require_descriptors
from deadpeer.kernel.mounts import all_mounts
from deadpeer.kernel.staging import refusal

__all__ = [
    "UNITS",
    "Cgroup",
    "all_cgroups",
    "cgroup_of",
    "find_cgroup",
    "hierarchy",
    "is_there",
    "is_unified",
    "processes_in",
]

# The innermost folder of a container, by the names that runtimes give it:
# docker-ID.scope, cri-containerd-ID.scope, libpod-ID.scope, or ID alone.
CONTAINER = re.compile(r"(?:.*-)?([0-9a-f]{12,64})(?:\.scope)?")
SHORTEST_ID = 6  # fewer digits of an identifier say too little
UNITS = (".service", ".socket", ".scope", ".slice")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cgroup:
    """
    One control group.

    Args:
        name: Its path as ``/proc/PID/cgroup`` has it, ``/`` for the root.
        folder: Where it is mounted.
    """

    name: str
    folder: Path

    @property
    def is_root(self) -> bool:
        """Whether it holds every process of the host, or of this container."""
        return self.name == "/"

    @property
    def unit(self) -> str:
        """The systemd unit of this name; empty if the name is none."""
        last = PurePosixPath(self.name).name
        return last if last.endswith(UNITS) else ""

    def __str__(self) -> str:
        return self.name


def hierarchy(mounts: str | None = None) -> Path:
    """
    Return where control groups of version 2 are mounted.

    Args:
        mounts: What ``/proc/self/mountinfo`` says; it is read if None.

    Raises:
        UnsupportedError: They are mounted nowhere.
        KernelRefused: No descriptor is left to work with.
    """
    found = [mount for mount in all_mounts(mounts) if mount.kind == "cgroup2"]
    # A container may have a piece of the tree mounted as well.
    found.sort(key=lambda mount: mount.root != "/")
    if not found:
        raise UnsupportedError(
            "no control groups of version 2 are mounted here",
            hint="mount -t cgroup2 none /sys/fs/cgroup/unified, or boot with"
            " systemd.unified_cgroup_hierarchy=1",
            option="cgroup2",
        )
    return found[0].place


def is_unified(mounts: str | None = None) -> bool:
    """
    Tell whether there are control groups of version 2 only.

    Args:
        mounts: What ``/proc/self/mountinfo`` says; it is read if None.

    Raises:
        KernelRefused: No descriptor is left to work with.
    """
    kinds = {mount.kind for mount in all_mounts(mounts)}
    return "cgroup2" in kinds and "cgroup" not in kinds


def cgroup_of(pid: int) -> Cgroup:
    """
    Return the cgroup that a process is in.

    Args:
        pid: The process.

    Raises:
        ConfigError: There is no such process, or it is outside of what this
            process can see.
        UnsupportedError: There are no control groups of version 2.
        AccessDenied: The process may not be looked at.
        KernelRefused: No descriptor is left to work with.
    """
    top = hierarchy()
    # A name may hold whatever str.splitlines() takes for the end of a line.
    for line in filter(None, _read(Path(f"/proc/{pid}/cgroup")).split("\n")):
        number, controllers, name = line.split(":", 2)
        if number == "0" and not controllers:
            return _named(name, top)
    raise ConfigError(
        f"there is no process {pid}",
        hint="list the processes with: ps -e",
        field="pid",
        value=pid,
    )


def find_cgroup(target: str) -> Cgroup:
    """
    Return the cgroup that a word of the command line means.

    Args:
        target: A process's number; a path, below the mount or as
            ``/proc/PID/cgroup`` has it; the name of a service, with or without
            ``.service``, or of any other folder; a container's identifier, or
            the first six digits or more of it.

    Raises:
        ConfigError: There is none, or more than one.
        UnsupportedError: There are no control groups of version 2.
        AccessDenied: The process may not be looked at.
        KernelRefused: No descriptor is left to work with.
    """
    if target.isascii() and target.isdigit() and is_there(Path(f"/proc/{target}")):
        return cgroup_of(int(target))
    top = hierarchy()
    if "/" in target:
        inside = target.removeprefix(str(top)) if _is_below(target, top) else target
        return _named(inside, top)
    found = [cgroup for cgroup in all_cgroups(top) if _is_meant(cgroup, target)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise _absent(target)
    shown = ", ".join(map(str, found[:5])) + (", …" if found[5:] else "")
    raise ConfigError(
        f"{target!r} is the name of {len(found)} control groups: {shown}",
        hint="give the path of one",
        field="target",
        value=target,
    )


def all_cgroups(top: Path) -> Iterator[Cgroup]:
    """
    Yield every cgroup below a folder, the folder itself first.

    Args:
        top: Where the hierarchy is mounted.

    Raises:
        KernelRefused: No descriptor is left to work with.
    """
    for folder, below, _ in os.walk(top, onerror=require_descriptors):
        below.sort()
        inside = os.path.relpath(folder, top)
        name = "/" if inside == "." else f"/{inside}"
        yield Cgroup(name=name, folder=Path(folder))


def processes_in(cgroup: Cgroup) -> tuple[int, ...]:
    """
    Return the processes of a cgroup and of all below it.

    Those of other process namespaces, which have no number here, are 0.

    Args:
        cgroup: The cgroup.

    Raises:
        AccessDenied: A list of processes may not be read.
        KernelRefused: No descriptor is left to work with.
    """
    found: list[int] = []
    for one in all_cgroups(cgroup.folder):
        found += map(int, _read(one.folder / "cgroup.procs").split())
    return tuple(found)


def is_there(path: Path) -> bool:
    """
    Tell whether there is a file of a name that somebody gave; of one too long, no.

    Args:
        path: Made of that name.

    Raises:
        AccessDenied: Its folder may not be looked into.
        KernelRefused: It could not be looked for.
    """
    try:
        return path.exists()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        doing = f"look for {path}"
        raise refusal(error, doing=doing, remedy="run it with sudo") from error


def _is_meant(cgroup: Cgroup, target: str) -> bool:
    last = PurePosixPath(cgroup.name).name
    if not cgroup.is_root and last in (target, f"{target}.service"):
        return True
    container = CONTAINER.fullmatch(last)
    return bool(
        container
        and len(target) >= SHORTEST_ID
        and container[1].startswith(target.lower())
    )


def _is_below(target: str, top: Path) -> bool:
    return PurePosixPath(target).is_relative_to(top)


def _named(name: str, top: Path) -> Cgroup:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ConfigError(
            f"{name} is outside of the control groups that are visible here",
            hint="run it where they are: on the host, in place of the container",
            field="target",
            value=name,
        )
    folder = top.joinpath(*parts)
    if not is_there(folder / "cgroup.procs"):
        raise _absent(name)
    return Cgroup(name="/" + "/".join(parts), folder=folder)


def _absent(target: str) -> ConfigError:
    return ConfigError(
        f"there is no control group {target!r}",
        hint="give a process's number, a running service, a container's identifier,"
        " or a path; systemd-cgls shows them",
        field="target",
        value=target,
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except PermissionError as error:
        raise AccessDenied(
            f"{path} may not be read",
            hint="run the command with sudo",
            capability="CAP_DAC_READ_SEARCH",
        ) from error
    except OSError as error:
        require_descriptors(error)
        return ""  # it ended, or was removed, meanwhile
