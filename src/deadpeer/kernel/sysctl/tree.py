"""
Finding the sysctl configuration files of a tree, and who reads them there.

A tree is the running system or, with another root, an image. Symlinks are
followed as a program inside the tree would follow them, so a link to ``/etc``
never leads out of an image into the etc of the machine that looks at it.
"""

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from deadpeer.kernel.sysctl.order import DIRECTORIES, SYSCTL_CONF, ConfigFile, Rule

__all__ = ["Readers", "inside", "read_files", "readers"]

# path_resolution(7): more symlinks than this are taken for a loop.
MOST_LINKS = 40

# No configuration file is longer; what is, is something else.
MOST_BYTES = 1 << 20

SYSTEMD = ("/usr/lib/systemd/systemd-sysctl", "/lib/systemd/systemd-sysctl")
SYSCTL = ("/usr/sbin/sysctl", "/sbin/sysctl", "/usr/bin/sysctl", "/bin/sysctl")
OPENRC_SCRIPT = "/etc/init.d/sysctl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """
    Who reads the files of a tree.

    Args:
        at_boot: Whose rule holds when the system starts; None if nothing there
            reads them, as in most containers.
        by_hand: Whose rule holds for ``sysctl --system``; None if that is not
            installed.
    """

    at_boot: Rule | None
    by_hand: Rule | None

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules to show: those that hold here, or the usual two."""
        here = dict.fromkeys(rule for rule in (self.at_boot, self.by_hand) if rule)
        return tuple(here) or (Rule.SYSTEMD, Rule.PROCPS)


def inside(root: str | os.PathLike[str], path: str) -> Path:
    """
    Return where a path of a tree really is, following links as the tree means them.

    Args:
        root: The tree.
        path: An absolute path in it; what does not exist is kept as it stands.

    Raises:
        OSError: The links go round in a circle (``ELOOP``).
    """
    base = Path(root)
    waiting = list(reversed(PurePosixPath(path).parts[1:]))
    done: list[str] = []
    links = 0
    while waiting:
        name = waiting.pop()
        if name == "..":
            done = done[:-1]
            continue
        here = base.joinpath(*done, name)
        if not here.is_symlink():
            done.append(name)
            continue
        links += 1
        if links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(base / path[1:]))
        target = PurePosixPath(here.readlink())
        if target.is_absolute():
            done = []
        waiting += reversed([part for part in target.parts if part != "/"])
    return base.joinpath(*done)


def read_files(root: str | os.PathLike[str] = "/") -> tuple[ConfigFile, ...]:
    """
    Return every file that some sysctl program might read, whatever its name.

    Args:
        root: The tree.
    """
    found: list[ConfigFile] = []
    seen: set[Path] = set()
    for directory in DIRECTORIES:
        try:
            real = inside(root, directory)
            names = sorted(os.listdir(real))  # noqa: PTH208 -- names are enough
        except OSError:
            continue
        if real in seen:  # /lib is /usr/lib on most systems of today
            continue
        seen.add(real)
        found += [_file(root, f"{directory}/{name}") for name in names]
    if os.path.lexists(Path(root, SYSCTL_CONF[1:])):
        found.append(_file(root, SYSCTL_CONF))
    return tuple(found)


def _file(root: str | os.PathLike[str], path: str) -> ConfigFile:
    try:
        real = inside(root, path)
    except OSError as error:
        return ConfigFile(path=path, text=None, problem=error.strerror or str(error))
    logical = "/" + real.relative_to(root).as_posix()
    link = logical if logical != path else ""
    if logical == "/dev/null":
        return ConfigFile(path=path, text="", real=link, masked=True)
    try:
        text, problem = _text(real), ""
    except OSError as error:
        text, problem = None, error.strerror or str(error)
    return ConfigFile(path=path, text=text, real=link, problem=problem)


def _text(path: Path) -> str:
    """Return a file's text; only a regular file is opened, a pipe would block."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    with path.open("rb") as file:
        return file.read(MOST_BYTES).decode("utf-8", "surrogateescape")


def readers(root: str | os.PathLike[str] = "/") -> Readers:
    """
    Return who reads the files of a tree.

    Args:
        root: The tree.
    """
    tools = [real for path in SYSCTL if (real := _existing(root, path))]
    busybox = bool(tools) and all("busybox" in tool.name for tool in tools)
    by_hand = Rule.PROCPS if tools and not busybox else None
    if any(_existing(root, path) for path in SYSTEMD):
        return Readers(at_boot=Rule.SYSTEMD, by_hand=by_hand)
    if busybox and _existing(root, OPENRC_SCRIPT):
        return Readers(at_boot=Rule.ALPINE, by_hand=None)
    # Without systemd an init script of the distribution runs sysctl --system.
    scripted = any(_existing(root, f"/etc/init.d/{name}") for name in SCRIPTS)
    return Readers(at_boot=by_hand if scripted else None, by_hand=by_hand)


# Debian's and Gentoo's.
SCRIPTS = ("procps", "sysctl")


def _existing(root: str | os.PathLike[str], path: str) -> Path | None:
    try:
        real = inside(root, path)
    except OSError:
        return None
    return real if real.exists() else None
