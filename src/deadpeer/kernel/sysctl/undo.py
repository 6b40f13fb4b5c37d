"""
What undoing a change would do: what is still ours, and what others changed since.

Running values belong to one boot and one network namespace; in another, only the
files are put back.
"""

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from deadpeer.errors import ConfigError
from deadpeer.kernel.staging import leftovers, refusal
from deadpeer.kernel.sysctl.place import boot_id, network_namespace
from deadpeer.kernel.sysctl.record import (
    OWN_FILE,
    FileChange,
    LiveChange,
    Record,
    load,
    newest_first,
    own_path,
    record_directory,
)
from deadpeer.kernel.sysctl.table import number_as_kernel_reads
from deadpeer.kernel.sysctl.values import read_text

__all__ = ["Found", "LiveUndo", "Undo", "choose_record", "plan_undo"]


class Found(StrEnum):
    """What an undo finds in the place of something that was changed."""

    OURS = "ours"
    """As the change left it: it is put back."""
    BEFORE = "before"
    """As it was before the change: nothing to do."""
    OTHER = "other"
    """Somebody has changed it since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveUndo:
    """
    One running value.

    Args:
        change: What the record says.
        now: What ``/proc/sys`` holds, as text; None if it is gone.
        found: What that means.
    """

    change: LiveChange
    now: str | None
    found: Found


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """
    What an undo would do.

    Args:
        root: The tree.
        records: Where records are kept.
        path: The record's file; None if there is none, and only leftovers of a
            killed change are to be swept away.
        record: What it says.
        live: The running values that are looked after.
        live_left: Why running values are left alone, in words; empty if they
            are not.
        keeps_record: The record stays, because its running values can still be
            put back from elsewhere.
        file: What was found in the place of our configuration file; None if the
            record has none.
        leftovers: Temporary files that a killed change left behind.
    """

    root: Path
    records: Path
    path: Path | None
    record: Record | None
    live: tuple[LiveUndo, ...] = ()
    live_left: str = ""
    keeps_record: bool = False
    file: Found | None = None
    leftovers: tuple[Path, ...] = ()

    @property
    def conflicts(self) -> tuple[str, ...]:
        """What somebody has changed since, each as a sentence without its dot."""
        found = [
            f"{item.change.key} is {(item.now or 'gone').strip()} now, not the"
            f" {item.change.new} that was set"
            for item in self.live
            if item.found is Found.OTHER
        ]
        if self.file is Found.OTHER:
            found.append(f"{OWN_FILE} is not as it was written")
        return tuple(found)

    @property
    def is_empty(self) -> bool:
        """There is nothing to undo and nothing to sweep."""
        return self.path is None and not self.leftovers


def choose_record(
    given: str | os.PathLike[str] | None,
    *,
    root: str | os.PathLike[str] = "/",
    records: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> Path | None:
    """
    Return the record to undo: the newest, or the one given.

    Args:
        given: The record's file, or None for the newest.
        root: The tree.
        records: Where records are kept; ``/var/lib/deadpeer`` if None.
        force: Take a record although there are newer ones.

    Returns:
        The file, or None if there is no record.

    Raises:
        ConfigError: There is no such record, or it is not the newest.
        AccessDenied: The records may not be read.
    """
    directory = record_directory(Path(root).resolve(), records)
    chosen = None if given is None else Path(given).absolute()
    try:
        found = newest_first(directory if chosen is None else chosen.parent)
    except OSError as error:
        raise refusal(error, doing=f"read {directory}") from error
    if chosen is None:
        return found[0] if found else None
    if not chosen.is_file():
        raise ConfigError(
            f"there is no record {chosen}",
            hint="without a name, the newest record is undone",
            field="record",
            value=str(chosen),
        )
    newer = found[: found.index(chosen)] if chosen in found else ()
    if newer and not force:
        raise ConfigError(
            f"{chosen.name} is not the newest record: {newer[0].name} came after it",
            hint="undo the newer ones first, or use --force",
            field="record",
            value=str(chosen),
        )
    return chosen


def plan_undo(
    path: Path | None,
    *,
    root: str | os.PathLike[str] = "/",
    records: str | os.PathLike[str] | None = None,
) -> Undo:
    """
    Return what undoing a record would do; nothing is changed yet.

    Args:
        path: The record's file, from `choose_record`.
        root: The tree.
        records: Where records are kept, to find what a killed change left there.

    Raises:
        ConfigError: It is no record.
        AccessDenied: It may not be read.
        KernelRefused: No descriptor is left to work with.
    """
    base = Path(root).resolve()
    directory = record_directory(base, records)
    beside = directory / "set-0000.json"
    swept = leftovers({own_path(base), beside, path or beside}, root=base)
    if path is None:
        return Undo(
            root=base, records=directory, path=None, record=None, leftovers=swept
        )
    try:
        record = load(path)
    except OSError as error:
        raise refusal(error, doing=f"read {path}") from error
    left, keeps = _live_left(record, base)
    return Undo(
        root=base,
        records=directory,
        path=path,
        record=record,
        live=() if left else tuple(_live(item, base) for item in record.live),
        live_left=left,
        keeps_record=keeps,
        file=None if record.file is None else _file(record.file, base),
        leftovers=swept,
    )


def _live_left(record: Record, root: Path) -> tuple[str, bool]:
    """Say why running values are left alone, and if the record must be kept."""
    if not record.live:
        return "", False
    if record.boot_id != boot_id(root):
        gone = "the system was started anew since, so its running values are gone"
        return gone, False
    here = network_namespace(root)
    if record.namespace != here:
        elsewhere = (
            f"the running values belong to network namespace {record.namespace},"
            f" and this is {here}; undo the record there (ip netns exec, nsenter)"
        )
        return elsewhere, True
    return "", False


def _live(item: LiveChange, root: Path) -> LiveUndo:
    now = read_text(item.key, root=root)
    number = None if now is None else number_as_kernel_reads(now)
    if now == item.old:
        found = Found.BEFORE
    elif number is not None and number in (item.new, number_as_kernel_reads(item.old)):
        found = Found.OURS
    else:
        found = Found.OTHER
    return LiveUndo(change=item, now=now, found=found)


def _file(change: FileChange, root: Path) -> Found:
    path = own_path(root)
    if path.is_symlink() or path.is_dir():
        return Found.OTHER
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return Found.BEFORE if change.old is None else Found.OTHER
    except OSError as error:
        raise refusal(error, doing=f"read {path}") from error
    if text == change.new:
        return Found.OURS
    if change.old is not None and text == change.old.text:
        return Found.BEFORE
    return Found.OTHER
