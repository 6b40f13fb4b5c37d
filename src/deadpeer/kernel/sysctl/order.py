"""
Which sysctl configuration files are read, and in which order.

Three programs read the same directories, and they disagree:

* **systemd** (``systemd-sysctl``, at boot) reads the files of the ``sysctl.d``
  directories in the order of their names. It reads ``/etc/sysctl.conf`` only
  where a symlink in one of them points to it.
* **procps** (``sysctl --system``, and at boot without systemd) reads the same
  files and then ``/etc/sysctl.conf``.
* **alpine** (its OpenRC script, with busybox) goes directory by directory, then
  to ``/etc/sysctl.conf``, and to ``/run/sysctl.d`` last of all.

Source:
    systemd src/sysctl/sysctl.c and src/shared/conf-files.c, sysctl.d(5); procps
    src/sysctl.c, PreloadSystem(), sysctl(8); Alpine main/openrc/sysctl.initd.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from deadpeer.errors import ConfigError
from deadpeer.kernel.sysctl.files import Malformed, Parsed, parse

__all__ = [
    "DIRECTORIES",
    "SYSCTL_CONF",
    "ConfigFile",
    "Rule",
    "reading_order",
]

# Strongest first: for a name in several of them, the first one counts.
DIRECTORIES = (
    "/etc/sysctl.d",
    "/run/sysctl.d",
    "/usr/local/lib/sysctl.d",
    "/usr/lib/sysctl.d",
    "/lib/sysctl.d",
)
SYSCTL_CONF = "/etc/sysctl.conf"
SUFFIX = ".conf"


class Rule(StrEnum):
    """Whose reading of the files."""

    SYSTEMD = "systemd"
    """systemd-sysctl"""
    PROCPS = "procps"
    """sysctl --system"""
    ALPINE = "alpine"
    """Alpine's OpenRC script with busybox"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFile:
    """
    One file of a tree.

    Args:
        path: Its name in the tree, such as ``/etc/sysctl.d/99-sysctl.conf``.
        text: What it holds; None if it cannot be read, such as a symlink that
            leads nowhere.
        real: Where it really is, if *path* is a symlink.
        masked: It is a symlink to ``/dev/null``.
        problem: Why it cannot be read, in words.
    """

    path: str
    text: str | None
    real: str = ""
    masked: bool = False
    problem: str = ""
    parsed: Parsed = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            parsed = parse(self.text or "")
        except ConfigError as error:
            malformed = Malformed(number=1, text=error.message)
            parsed = Parsed(lines=(), malformed=(malformed,))
        object.__setattr__(self, "parsed", parsed)

    @property
    def directory(self) -> str:
        """The directory's name in the tree."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path.rpartition("/")[2]

    @property
    def sort_key(self) -> bytes:
        """What names are ordered by: bytes, whatever the language."""
        return self.name.encode("utf-8", "surrogateescape")


def reading_order(
    files: Sequence[ConfigFile], rule: Rule
) -> tuple[tuple[ConfigFile, ...], dict[str, str]]:
    """
    Return the files that are read, in order, and why the others are not.

    Args:
        files: All files of the tree, in any order.
        rule: Whose reading.

    Returns:
        The files in the order of reading; and by path a reason for each other.
    """
    passed_over: dict[str, str] = {}
    candidates: list[ConfigFile] = []
    for file in files:
        if file.path == SYSCTL_CONF:
            continue
        if not file.name.endswith(SUFFIX):
            passed_over[file.path] = "not read: its name does not end in .conf"
        elif file.directory in DIRECTORIES:
            candidates.append(file)
    if rule is Rule.ALPINE:
        read = _alpine(candidates, passed_over)
    else:
        read = _by_name(candidates, passed_over)
    last = [file for file in files if file.path == SYSCTL_CONF]
    for file in last:
        if rule is Rule.SYSTEMD:
            passed_over[file.path] = "not read: systemd does not read this file"
    if rule is Rule.PROCPS:
        read = [*read, *(file for file in last if _readable(file))]
    if rule is Rule.ALPINE:
        before = [file for file in read if file.directory != "/run/sysctl.d"]
        after = [file for file in read if file.directory == "/run/sysctl.d"]
        read = [*before, *(file for file in last if _readable(file)), *after]
    return tuple(read), passed_over


def _readable(file: ConfigFile) -> bool:
    return file.text is not None and not file.masked


def _strength(file: ConfigFile) -> int:
    return DIRECTORIES.index(file.directory)


def _by_name(
    files: Iterable[ConfigFile], passed_over: dict[str, str]
) -> list[ConfigFile]:
    """One file for each name, from the strongest directory; in the order of names."""
    chosen: dict[str, ConfigFile] = {}
    for file in sorted(files, key=_strength):
        # The name alone counts: a link that leads nowhere hides others too.
        winner = chosen.setdefault(file.name, file)
        if winner is not file:
            hides = "masked by" if winner.masked else "hidden by"
            passed_over[file.path] = f"{hides} {winner.path}, which has its name"
    return sorted(chosen.values(), key=lambda file: file.sort_key)


def _alpine(
    files: Sequence[ConfigFile], passed_over: dict[str, str]
) -> list[ConfigFile]:
    """Directory by directory; a name in /etc or /run hides those of the packages."""
    groups: dict[str, list[ConfigFile]] = {}
    for file in sorted(files, key=lambda file: file.sort_key):
        groups.setdefault(file.directory, []).append(file)
    for file in groups.get("/usr/local/lib/sysctl.d", ()):
        passed_over[file.path] = "not read: Alpine does not read this directory"
    read: list[ConfigFile] = []
    for directory, stronger in (
        ("/lib/sysctl.d", ("/etc/sysctl.d", "/run/sysctl.d")),
        ("/usr/lib/sysctl.d", ("/etc/sysctl.d", "/run/sysctl.d")),
        ("/etc/sysctl.d", ("/run/sysctl.d",)),
        ("/run/sysctl.d", ()),
    ):
        # The script asks `test -f`, which a link to /dev/null fails: on Alpine
        # such a link masks nothing.
        hiding = {
            file.name: file.path
            for place in reversed(stronger)
            for file in groups.get(place, ())
            if _readable(file)
        }
        for file in filter(_readable, groups.get(directory, ())):
            if file.name in hiding:
                path = hiding[file.name]
                passed_over[file.path] = f"hidden by {path}, which has its name"
            else:
                read.append(file)
    return read
