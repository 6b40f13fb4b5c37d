"""
A snapshot as a file: a bug report that shows on any machine what was seen on one.

The file is JSON, compressed by gzip. The sockets are in it as the kernel told of
them, byte for byte, so that a mistake in reading them can be found too; whatever
else a listing needs stands beside them in plain words. It holds addresses, process
names with their arguments, and user names: whoever passes it on should know.

A file of another version, of another byte order, too large or damaged is refused
with an error that says so.

Source: RFC 1952 (gzip), RFC 8259 (JSON), RFC 4648 (base64).
"""

import binascii
import json
import sys
import zlib
from dataclasses import asdict
from typing import Any, NoReturn

from deadpeer.errors import AccessDenied, ConfigError, DeadPeerError
from deadpeer.kernel.diag_dumps import Dump, RawDump, decode_dump
from deadpeer.kernel.json_values import (
    Malformed,
    a_list,
    a_number,
    a_text,
    a_truth,
    or_none,
)
from deadpeer.kernel.namespaces import Namespace
from deadpeer.kernel.owners import Holder, Owners
from deadpeer.kernel.processes import Process
from deadpeer.kernel.settings_of import SettingsOf, SocketSettings
from deadpeer.kernel.snapshot import Snapshot, Space
from deadpeer.platforms import Defaults

__all__ = ["MOST_BYTES", "SCHEMA", "decode_snapshot", "encode_snapshot"]

SCHEMA = "deadpeer-recording/1"

# A million sockets take about 600 MB unpacked, and pack to a tenth.
MOST_BYTES = 1 << 30
LEAST_OPTION, MOST_OPTION = -(1 << 31), (1 << 32) - 1
NEVER_ZERO = ("hz", "rto_max")
LONGEST = 1e10  # no setting is longer, in seconds
GZIP = 31  # zlib: 15 bits of window, and gzip's header and checksum
LEVEL = 3  # netlink's answers repeat themselves: more takes longer, and gains little


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """
    Return a snapshot as the bytes of a recording.

    Args:
        snapshot: What was seen.
    """
    settings = snapshot.settings
    content = {
        "schema": SCHEMA,
        "byteorder": sys.byteorder,
        "kernel": snapshot.kernel,
        "boot_id": snapshot.boot_id,
        "spaces": [_space(space) for space in snapshot.spaces],
        "closed_spaces": [
            [asdict(namespace), _error(error)]
            for namespace, error in snapshot.closed_spaces
        ],
        "holders": [[inode, *holder] for inode, holder in _holders(snapshot.owners)],
        "unreadable": list(snapshot.owners.unreadable),
        "settings": [
            [cookie.hex(), *values] for cookie, values in settings.settings.items()
        ],
        "gone": [cookie.hex() for cookie in settings.gone],
        "refused": [[pid, _error(error)] for pid, error in settings.refused.items()],
        "processes": [asdict(process) for process in snapshot.processes.values()],
    }
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=True)
    return packer.compress(text.encode()) + packer.flush()


def decode_snapshot(data: bytes) -> Snapshot:
    """
    Return the snapshot that a recording holds.

    Args:
        data: The bytes of the file.

    Raises:
        ConfigError: It is no recording, damaged, too large, or of a version or
            byte order that is not known.
    """
    content = _unpacked(data)
    if not isinstance(content, dict) or "schema" not in content:
        _refuse("this is no recording of deadpeer", "make one with --record FILE")
    if content["schema"] != SCHEMA:
        _refuse(
            f"this recording is of the form {str(content['schema'])[:60]!r}",
            f"this version of deadpeer reads {SCHEMA}",
        )
    if content.get("byteorder") != sys.byteorder:
        _refuse(
            "this recording was made on a machine of another byte order",
            f"replay it on one that is {content.get('byteorder')}-endian",
        )
    try:
        return _snapshot(content)
    except ConfigError:
        raise
    except (Malformed, DeadPeerError) as error:
        raise _damaged(str(error)) from error
    except (LookupError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _damaged("it is not laid out as recordings are") from error


def _unpacked(data: bytes) -> Any:
    unpacker = zlib.decompressobj(GZIP)
    try:
        text = unpacker.decompress(data, MOST_BYTES)
    except zlib.error as error:
        raise ConfigError(
            "this is no recording of deadpeer",
            hint="make one with --record FILE",
            field="recording",
        ) from error
    if unpacker.unconsumed_tail:
        _refuse(
            f"this recording is larger than {MOST_BYTES >> 20} MiB when unpacked",
            "record fewer connections, with a filter",
        )
    if not unpacker.eof:
        _refuse("this recording is cut off", "copy it again, whole")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged("no JSON in it") from error


def _snapshot(content: dict[str, Any]) -> Snapshot:
    return Snapshot(
        kernel=a_text(content["kernel"]),
        boot_id=a_text(content["boot_id"]),
        spaces=tuple(_read_space(space) for space in a_list(content["spaces"])),
        closed_spaces=tuple(
            (_namespace(namespace), _read_error(error))
            for namespace, error in a_list(content["closed_spaces"])
        ),
        owners=_owners(content),
        settings=SettingsOf(
            settings={
                _cookie(cookie): _settings(values)
                for cookie, *values in a_list(content["settings"])
            },
            gone=tuple(_cookie(cookie) for cookie in a_list(content["gone"])),
            refused={
                a_number(pid): _read_error(error)
                for pid, error in a_list(content["refused"])
            },
        ),
        processes={
            a_number(fields["pid"]): _process(fields)
            for fields in a_list(content["processes"])
        },
    )


def _space(space: Space) -> dict[str, Any]:
    return {
        "namespace": asdict(space.namespace),
        "defaults": asdict(space.defaults),
        "repeats": space.dump.repeats,
        "is_whole": space.dump.is_whole,
        "missing": list(space.dump.missing),
        "dumps": [
            {
                "family": raw.family,
                "protocol": raw.protocol,
                "sequence": raw.sequence,
                "datagrams": [
                    binascii.b2a_base64(datagram, newline=False).decode()
                    for datagram in raw.datagrams
                ],
            }
            for raw in space.dump.raw
        ],
    }


def _read_space(fields: dict[str, Any]) -> Space:
    raw = tuple(
        RawDump(
            family=a_number(dump["family"]),
            protocol=a_number(dump["protocol"]),
            sequence=a_number(dump["sequence"]),
            datagrams=tuple(
                binascii.a2b_base64(a_text(datagram))
                for datagram in a_list(dump["datagrams"])
            ),
        )
        for dump in a_list(fields["dumps"])
    )
    dump: Dump = decode_dump(
        raw,
        repeats=a_number(fields["repeats"]),
        is_whole=a_truth(fields["is_whole"]),
        missing=tuple(a_text(name) for name in a_list(fields["missing"])),
    )
    return Space(
        namespace=_namespace(fields["namespace"]),
        dump=dump,
        defaults=_defaults(fields["defaults"]),
    )


def _defaults(fields: dict[str, Any]) -> Defaults:
    for name, value in fields.items():
        if value is None and name == "hz":  # not known
            continue
        # What is not a number compares with nothing.
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _damaged(f"{value!r:.60} is no number")
        if not 0 <= value <= LONGEST or (not value and name in NEVER_ZERO):
            raise _damaged(f"{name} cannot be {value!r:.60}, it is no number for that")
    return Defaults(**fields)


def _namespace(fields: dict[str, Any]) -> Namespace:
    return Namespace(
        inode=a_number(fields["inode"]),
        path=a_text(fields["path"]),
        name=a_text(fields["name"]),
        pids=tuple(a_number(pid) for pid in a_list(fields["pids"])),
    )


def _process(fields: dict[str, Any]) -> Process:
    return Process(
        pid=a_number(fields["pid"]),
        name=a_text(fields["name"]),
        command=tuple(a_text(word) for word in a_list(fields["command"])),
        uid=or_none(a_number, fields["uid"]),
        user=a_text(fields["user"]),
        cgroup=a_text(fields["cgroup"]),
        container=a_text(fields["container"]),
        netns=a_number(fields["netns"]),
    )


def _holders(owners: Owners) -> list[tuple[int, Holder]]:
    return [(inode, holder) for inode in owners.first for holder in owners.of(inode)]


def _owners(content: dict[str, Any]) -> Owners:
    first: dict[int, tuple[int, int]] = {}
    others: dict[int, list[tuple[int, int]]] = {}
    for inode, pid, fd in a_list(content["holders"]):
        holder = (a_number(pid), a_number(fd))
        if first.setdefault(a_number(inode), holder) is not holder:
            others.setdefault(inode, []).append(holder)
    unreadable = tuple(a_number(pid) for pid in a_list(content["unreadable"]))
    return Owners(first=first, others=others, unreadable=unreadable)


def _settings(values: list[Any]) -> SocketSettings:
    keepalive, idle, interval, probes, user_timeout = values
    return SocketSettings(
        a_truth(keepalive),
        *(or_none(_option, one) for one in (idle, interval, probes, user_timeout)),
    )


def _error(error: DeadPeerError) -> dict[str, str]:
    return {
        "message": error.message,
        "hint": error.hint,
        "capability": error.capability if isinstance(error, AccessDenied) else "",
    }


def _read_error(fields: dict[str, Any]) -> DeadPeerError:
    message, hint = a_text(fields["message"]), a_text(fields["hint"])
    capability = a_text(fields["capability"])
    if capability:
        return AccessDenied(message, hint=hint, capability=capability)
    return DeadPeerError(message, hint=hint)


def _cookie(text: Any) -> bytes:
    return bytes.fromhex(a_text(text))


def _option(value: Any) -> int:
    # An int of the kernel: a socket shows -1 under tcp_keepalive_time=-1.
    if isinstance(value, bool) or not isinstance(value, int):
        raise _damaged(f"{value!r:.60} is no number")
    if not LEAST_OPTION <= value <= MOST_OPTION:
        raise _damaged("a setting that no socket can have")
    return value


def _damaged(why: str) -> ConfigError:
    return ConfigError(
        f"this recording is damaged: {why}",
        hint="record again, or report how it was made",
        field="recording",
    )


def _refuse(message: str, hint: str) -> NoReturn:
    raise ConfigError(message, hint=hint, field="recording")
