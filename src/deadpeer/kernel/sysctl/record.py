"""
The record of a change: everything that is needed to undo it, written before it.

A record is one JSON file, ``set-0001.json`` and so on, under
``/var/lib/deadpeer``. Its layout::

    schema      1
    made_at     when, in UTC
    boot_id     which boot of the kernel the old values belong to; null for a tree
    namespace   the network namespace's inode number; null for a tree
    made        how many directories were made to hold this record
    live        [{key, old, new}]: the text in /proc/sys before, the number after
    file        null, or {path, new, made, old}: our configuration file's text, how
                many directories were made for it, and what was there before: null,
                or {text, mode, owner, group}
"""

import json
import os
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from deadpeer.errors import ConfigError
from deadpeer.kernel.json_values import (
    Malformed,
    a_list,
    a_number,
    a_text,
    an_object,
    or_none,
    parsed,
)
from deadpeer.kernel.sysctl.files import values_of
from deadpeer.kernel.sysctl.table import SETTINGS
from deadpeer.kernel.sysctl.tree import inside

__all__ = [
    "OWN_FILE",
    "RECORDS",
    "FileChange",
    "LiveChange",
    "OldFile",
    "Record",
    "load",
    "newest_first",
    "next_name",
    "own_path",
    "record_directory",
]

# Names sort as bytes: after 99-anything and after k8s.conf, which people use.
OWN_FILE = "/etc/sysctl.d/zzz-deadpeer.conf"
RECORDS = "/var/lib/deadpeer"
SCHEMA = 1

_NAME = re.compile(r"set-([0-9]{4,})\.json")
_KEYS = frozenset(row.key for row in SETTINGS if row.settable)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveChange:
    """
    A running value that is changed.

    Args:
        key: The kernel's name, with dots.
        old: What ``/proc/sys`` held before, as text.
        new: The number to write.
    """

    key: str
    old: str
    new: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OldFile:
    """
    Our configuration file as it was before.

    Args:
        text: What it held.
        mode: Its permissions.
        owner: Its user's number.
        group: Its group's number.
    """

    text: str
    mode: int
    owner: int
    group: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """
    Our configuration file, which is written.

    Args:
        path: Its name in the tree.
        new: What it will hold.
        made: How many directories above it are made for it.
        old: What was there before; None if nothing.
    """

    path: str
    new: str
    made: int
    old: OldFile | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """
    One change and what was there before.

    Args:
        made_at: When it was made, in UTC, as ISO 8601 has it.
        boot_id: Which boot of the kernel the old values belong to, or None.
        namespace: The network namespace's inode number, or None.
        made: How many directories were made to hold the record.
        live: The running values that are changed.
        file: Our configuration file, or None if it is not changed.
    """

    made_at: str
    boot_id: str | None
    namespace: int | None
    made: int
    live: tuple[LiveChange, ...]
    file: FileChange | None

    def as_text(self) -> str:
        """Return the record as JSON."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=2) + "\n"


def load(path: Path) -> Record:
    """
    Return a record from its file.

    Args:
        path: The file.

    Raises:
        ConfigError: It is no record of ours. Nothing is done with such a file,
            since a record says what to write where.
        OSError: It cannot be read.
    """
    try:
        return _record(parsed(path.read_text(encoding="utf-8")))
    except UnicodeDecodeError as error:
        raise _no_record(path, "it is not text") from error
    except Malformed as error:
        raise _no_record(path, str(error)) from error
    except (ValueError, RecursionError) as error:
        raise _no_record(path, "none holds such values") from error


def _no_record(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{path} is no record of a change: {why}",
        hint="records are the set-*.json files that deadpeer system set writes",
        field="record",
        value=str(path),
    )


def _record(value: object) -> Record:
    data = an_object(value, "schema")
    if data["schema"] != SCHEMA:
        raise Malformed(f"schema {data['schema']!r:.60} is not {SCHEMA}")
    data = an_object(data, *(field.name for field in fields(Record)))
    return Record(
        made_at=a_text(data["made_at"]),
        boot_id=or_none(a_text, data["boot_id"]),
        namespace=or_none(a_number, data["namespace"]),
        made=a_number(data["made"]),
        live=tuple(_live(item) for item in a_list(data["live"])),
        file=None if data["file"] is None else _file(data["file"]),
    )


def _live(value: object) -> LiveChange:
    item = an_object(value, *(field.name for field in fields(LiveChange)))
    key, new = a_text(item["key"]), item["new"]
    if key not in _KEYS:
        raise Malformed(f"{key!r:.60} is not a setting that we change")
    if isinstance(new, bool) or not isinstance(new, int):
        raise Malformed(f"{new!r:.60} is no number")
    return LiveChange(key=key, old=a_text(item["old"]), new=new)


def _file(value: object) -> FileChange:
    item = an_object(value, *(field.name for field in fields(FileChange)))
    old = item["old"]
    change = FileChange(
        path=a_text(item["path"]),
        new=a_text(item["new"]),
        made=a_number(item["made"]),
        old=None if old is None else _old(old),
    )
    if change.path != OWN_FILE:
        raise Malformed(f"{change.path!r:.60} is not a file that we write")
    if values_of(change.new) is None or (
        change.old is not None and values_of(change.old.text) is None
    ):
        raise Malformed(f"{change.path} never held this text")
    return change


def _old(value: object) -> OldFile:
    item = an_object(value, *(field.name for field in fields(OldFile)))
    return OldFile(
        text=a_text(item["text"]),
        mode=a_number(item["mode"]) & 0o7777,
        owner=a_number(item["owner"]),
        group=a_number(item["group"]),
    )


def newest_first(directory: Path) -> tuple[Path, ...]:
    """
    Return the records in a directory, the newest first.

    Args:
        directory: Where records are kept; it need not exist.

    Raises:
        OSError: The directory cannot be read.
    """
    if not directory.is_dir():
        return ()
    numbered = [
        (int(match[1]), path)
        for path in directory.iterdir()
        if (match := _NAME.fullmatch(path.name))
    ]
    return tuple(path for _, path in sorted(numbered, reverse=True))


def next_name(directory: Path) -> str:
    """
    Return the name for the next record.

    Args:
        directory: Where records are kept; it need not exist.
    """
    records = newest_first(directory)
    newest = _NAME.fullmatch(records[0].name) if records else None
    return f"set-{int(newest[1]) + 1 if newest else 1:04}.json"


def own_path(root: Path) -> Path:
    """
    Return where our configuration file is; itself never followed as a link.

    Args:
        root: The tree.
    """
    directory, _, name = OWN_FILE.rpartition("/")
    return inside(root, directory) / name


def record_directory(root: Path, given: str | os.PathLike[str] | None = None) -> Path:
    """
    Return where records are kept.

    Args:
        root: The tree.
        given: What the user said, which is taken as it is.
    """
    return inside(root, RECORDS) if given is None else Path(given).absolute()
