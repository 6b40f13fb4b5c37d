"""
The record of a fix: what every socket held before, written before it is changed.

A record is one JSON file, ``fix-`` with the time and some chance in its name. Its
layout::

    schema      "deadpeer-fix-record/1"
    made_at     when, in UTC
    boot_id     which boot of the kernel the sockets belong to
    within      the promise that the new values were planned for, in seconds
    sockets     [{netns, inode, cookie, local, peer, pid, process, before, after}]

``netns``, ``inode`` and ``cookie`` say which socket;
the ends and the process are for people. ``before`` and ``after`` are values in the
kernel's own units, by our names for them, and the switch as ``on``; ``after`` has
those only that are set.
"""

import json
import os
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from deadpeer.errors import ConfigError
from deadpeer.kernel.json_values import (
    Malformed,
    a_list,
    a_number,
    a_text,
    an_object,
    parsed,
)
from deadpeer.kernel.staging import NewFile, perform, refusal, sweep
from deadpeer.platforms import LINUX, Name

__all__ = [
    "FixRecord",
    "RecordedSocket",
    "load_record",
    "new_record_path",
    "record_home",
    "values_of",
    "write_record",
]

SCHEMA = "deadpeer-fix-record/1"
ROOTS = Path("/var/lib/deadpeer")
KEYS = frozenset({"on", *LINUX.options})
MOST = 2**31  # the kernel's own values are int
# Permissions by which others than its owner could write a file.
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSocket:
    """
    One socket that is changed.

    Args:
        netns: The number (inode) of its network namespace.
        inode: The number by which descriptors refer to it.
        cookie: The number that no other socket has until the next boot.
        local: This end, as text.
        peer: The other end; empty of a listening socket.
        pid: A process that holds it.
        process: That process's name.
        before: What was in force, in the kernel's units by our names.
        after: What is set.
    """

    netns: int
    inode: int
    cookie: int
    local: str
    peer: str
    pid: int
    process: str
    before: Mapping[str, int]
    after: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class FixRecord:
    """
    One run of ``deadpeer fix``.

    Args:
        made_at: When, in UTC, as ISO 8601 has it.
        boot_id: Which boot of the kernel the sockets belong to.
        within: The promise, in seconds.
        sockets: What is changed.
    """

    made_at: str
    boot_id: str
    within: float
    sockets: tuple[RecordedSocket, ...]

    def as_text(self) -> str:
        """Return the record as JSON, one line for each socket."""
        names = [field.name for field in fields(RecordedSocket)]
        lines = ",\n".join(
            json.dumps({name: getattr(item, name) for name in names})
            for item in self.sockets
        )
        # Not all in one: with indents Python's encoder takes ten times as long.
        head = {
            "schema": SCHEMA,
            "made_at": self.made_at,
            "boot_id": self.boot_id,
            "within": self.within,
        }
        return f'{json.dumps(head)[:-1]}, "sockets": [\n{lines}\n]}}\n'


def values_of(units: Mapping[Name, int], *, on: bool) -> dict[str, int]:
    """
    Return settings as a record has them.

    Args:
        units: In the kernel's units, by our names.
        on: Whether ``SO_KEEPALIVE`` is on.

    >>> values_of({"idle": 7200}, on=False)
    {'on': 0, 'idle': 7200}
    """
    return {"on": int(on), **{str(name): value for name, value in units.items()}}


def record_home(environ: Mapping[str, str], *, uid: int) -> Path:
    """
    Return the directory in which a user's records are kept.

    Args:
        environ: The environment.
        uid: The user's number; root's are kept with the system's.

    Source:
        XDG Base Directory Specification, XDG_STATE_HOME; relative paths in it are
        invalid and ignored.

    >>> str(record_home({"XDG_STATE_HOME": "/home/me/state"}, uid=1000))
    '/home/me/state/deadpeer'
    """
    if uid == 0:
        return ROOTS
    given = Path(environ.get("XDG_STATE_HOME", ""))
    if given.is_absolute():
        return given / "deadpeer"
    return Path(environ.get("HOME", "/")) / ".local/state/deadpeer"


def new_record_path() -> Path:
    """Return where the next record of this user goes, a name that nothing has."""
    time = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    home = record_home(os.environ, uid=os.geteuid())
    return home / f"fix-{time}-{secrets.token_hex(4)}.json"


def write_record(record: FixRecord, path: Path) -> None:
    """
    Have a record on the disk, whole, before anything is changed.

    Args:
        record: What to write.
        path: The file; there must be none yet.

    Raises:
        ConfigError: There is a file already.
        AccessDenied: It may not be written there.
        KernelRefused: It cannot be written there.
    """
    target = path.absolute()
    if target.exists() or target.is_symlink():
        raise ConfigError(
            f"{target} is there already",
            hint="a record never replaces a file; give another name",
            field="record",
            value=str(path),
        )
    data = record.as_text().encode()
    try:
        new = NewFile(target=target, data=data, mode=0o600)
        try:
            perform([*new.stage(), *new.publish()])
        finally:
            with suppress(OSError):  # what led here is what has to be told
                sweep(new.temporary)
    except OSError as error:
        raise refusal(
            error,
            doing=f"write the record {target}",
            remedy="nothing was changed; give another place with --record",
        ) from error


def load_record(path: Path) -> FixRecord:
    """
    Return a record from its file.

    Args:
        path: The file.

    Raises:
        ConfigError: There is none, or it is no record of a fix, or somebody else
            could have written it. Nothing is done with such a file, since a
            record says what to set where.
        AccessDenied: It may not be read.
        KernelRefused: It cannot be read.
    """
    try:
        with path.open(encoding="utf-8") as file:
            _require_own(path, os.fstat(file.fileno()))
            text = file.read()
    except FileNotFoundError as error:
        raise ConfigError(
            f"there is no record {path}",
            hint=f"deadpeer fix keeps them in"
            f" {record_home(os.environ, uid=os.geteuid())}",
            field="record",
            value=str(path),
        ) from error
    except UnicodeDecodeError as error:
        raise _no_record(path, "it is not text") from error
    except OSError as error:
        remedy = "run it as root" if isinstance(error, PermissionError) else ""
        raise refusal(error, doing=f"read {path}", remedy=remedy) from error
    try:
        return _record(parsed(text))
    except Malformed as error:
        raise _no_record(path, str(error)) from error
    except RecursionError as error:  # of one that is nested nearly too deeply
        raise _no_record(path, "none holds such values") from error


def _require_own(path: Path, status: os.stat_result) -> None:
    """Refuse a file with which another user could have this one change sockets."""
    if not stat.S_ISREG(status.st_mode):
        return  # a pipe, which this user has given
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            f"the record {path} belongs to another user",
            hint="undo it as that user; or look at it, and make it yours with chown",
            field="record",
            value=str(path),
        )
    if status.st_mode & OTHERS_WRITE:
        raise ConfigError(
            f"others may write to the record {path}",
            hint="look at it; if it is as it should be: chmod go-w",
            field="record",
            value=str(path),
        )


def _no_record(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{path} is no record of a fix: {why}",
        hint="records are the fix-*.json files that deadpeer fix writes",
        field="record",
        value=str(path),
    )


def _record(value: object) -> FixRecord:
    data = an_object(value, "schema")
    if data["schema"] != SCHEMA:
        raise Malformed(f"schema {data['schema']!r:.60} is not {SCHEMA}")
    data = an_object(data, "made_at", "boot_id", "within", "sockets")
    within = data["within"]
    if isinstance(within, bool) or not isinstance(within, int | float):
        raise Malformed(f"{within!r:.60} is no duration")
    return FixRecord(
        made_at=a_text(data["made_at"]),
        boot_id=a_text(data["boot_id"]),
        within=within,
        sockets=tuple(_socket(item) for item in a_list(data["sockets"])),
    )


def _socket(value: object) -> RecordedSocket:
    item = an_object(value, *(field.name for field in fields(RecordedSocket)))
    before, after = _values(item["before"]), _values(item["after"])
    if "on" not in after or not after.keys() <= before.keys():
        raise Malformed("a value was set whose old one is not told")
    return RecordedSocket(
        netns=a_number(item["netns"]),
        inode=a_number(item["inode"]),
        cookie=a_number(item["cookie"]),
        local=a_text(item["local"]),
        peer=a_text(item["peer"]),
        pid=a_number(item["pid"]),
        process=a_text(item["process"]),
        before=before,
        after=after,
    )


def _values(value: object) -> dict[str, int]:
    values = an_object(value)
    for key, number in values.items():
        if key not in KEYS:
            raise Malformed(f"{key!r:.60} is no setting of ours")
        # A truth is no number, although Python has it as one.
        if isinstance(number, bool) or not isinstance(number, int):
            raise Malformed(f"{key}={number!r:.60} is no number")
        if not -MOST <= number < MOST:
            raise Malformed(f"{key}={number!r:.60} is no value that a socket can have")
    return values
