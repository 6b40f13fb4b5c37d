"""
What is mounted where, as this process sees it.

Source: Linux proc(5), /proc/PID/mountinfo.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deadpeer.kernel.descriptors import require_descriptors

__all__ = ["Mount", "all_mounts"]

MOUNTS = Path("/proc/self/mountinfo")
ESCAPED = re.compile(r"\\([0-7]{3})")  # a blank in a path, say: \040
FIELDS = 5  # of which the last two are the root and the place


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """
    One mount.

    Args:
        kind: The type of its file system, such as ``cgroup2``.
        root: Which folder of that file system it shows, usually ``/``.
        place: Where it is.
    """

    kind: str
    root: str
    place: Path


def all_mounts(text: str | None = None) -> tuple[Mount, ...]:
    """
    Return every mount, in order.

    Args:
        text: What ``/proc/self/mountinfo`` says; it is read if None. A system
            without it has no mounts that we know of.

    Raises:
        KernelRefused: No descriptor is left to work with.
    """
    if text is None:
        try:
            text = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError as error:
            require_descriptors(error)
            text = ""
    return tuple(_parsed(text))


def _parsed(text: str) -> Iterator[Mount]:
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) >= FIELDS and kind:
            yield Mount(
                kind=kind[0], root=_plain(fields[3]), place=Path(_plain(fields[4]))
            )


def _plain(path: str) -> str:
    return ESCAPED.sub(lambda found: chr(int(found[1], 8)), path)
