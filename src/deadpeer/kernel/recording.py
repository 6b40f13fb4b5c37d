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

from deadpeer.kernel.snapshot import Snapshot

__all__ = ["decode_snapshot", "encode_snapshot"]


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """
    Return a snapshot as the bytes of a recording.

    Args:
        snapshot: What was seen.
    """
    raise NotImplementedError


def decode_snapshot(data: bytes) -> Snapshot:
    """
    Return the snapshot that a recording holds.

    Args:
        data: The bytes of the file.

    Raises:
        ConfigError: It is no recording, damaged, too large, or of a version or
            byte order that is not known.
    """
    raise NotImplementedError
