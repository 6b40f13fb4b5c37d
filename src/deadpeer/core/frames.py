"""
The frames after the HELLO: their bytes, and nothing about when they are allowed.

The first byte of a frame is its kind in the upper four bits; the lower four are
reserved, but for one bit of DATA. Numbers are big-endian. The whole format:
docs/reference/wire-format.md.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum

from deadpeer.core.breaches import local_breach, remote_breach
from deadpeer.errors import ConfigError, LocalProtocolError

__all__ = [
    "HEADER_SIZE",
    "LARGEST_FRAGMENT",
    "LAST",
    "Farewell",
    "Kind",
    "as_bytes",
    "decode_bye",
    "encode_beat",
    "encode_bye",
    "encode_data",
    "encode_ping",
    "encode_pong",
    "farewell_word",
    "frame_size",
]

LARGEST_FRAGMENT = 16384
"""Bytes of payload in one DATA frame, so that a heartbeat never waits for long."""


class Kind(IntEnum):
    """The first byte of a frame, its reserved bits being zero."""

    BEAT = 0x10
    PING = 0x20
    PONG = 0x30
    DATA = 0x40
    BYE = 0x50
    HELLO = 0xDE  # the first byte of the magic


LAST = 0x01
"""The bit of DATA that marks the last fragment of its message."""

KIND_BITS = 0xF0
PING, PONG = int(Kind.PING), int(Kind.PONG)  # packed in a third of the time
NUMBERED = struct.Struct(">BH")  # kind, sequence or length
HEADER_SIZE = NUMBERED.size
"""Bytes before the payload of a fragment."""

BYE_HEAD = struct.Struct(">BBB")  # kind, reason, bytes of text

HEARTBEATS = {Kind.BEAT: 1, Kind.PING: NUMBERED.size, Kind.PONG: NUMBERED.size}
LONGEST_TEXT = 255  # bytes
CODES = 256  # of reasons
OWN_CODES = 128  # from here on, they belong to applications


class Farewell(IntEnum):
    """Why a BYE is said; 128 to 255 belong to applications."""

    DONE = 0
    GOING_AWAY = 1
    PROTOCOL_VIOLATED = 2
    UNACCEPTABLE = 3
    OVERLOADED = 4
    TAKEN_FOR_DEAD = 5


def farewell_word(code: int) -> str:
    """
    Return the word for a reason; a number that has none is shown as such.

    Args:
        code: The reason, 0 to 255.

    >>> farewell_word(1), farewell_word(77), farewell_word(200)
    ('going-away', 'reason-77', 'application-200')
    """
    try:
        return Farewell(code).name.lower().replace("_", "-")
    except ValueError:
        return f"{'application' if code >= OWN_CODES else 'reason'}-{code}"


def encode_beat() -> bytes:
    """Return a beat: one byte, and no answer is expected."""
    return b"\x10"


def encode_ping(sequence: int) -> bytes:
    """
    Return a ping, three bytes.

    Args:
        sequence: 0 to 65535; the answer repeats it.

    Raises:
        LocalProtocolError: It is no such number.

    >>> encode_ping(258).hex(" ")
    '20 01 02'
    """
    return _numbered(PING, sequence)


def encode_pong(sequence: int) -> bytes:
    """
    Return the answer to a ping, three bytes.

    Args:
        sequence: That of the ping.

    Raises:
        LocalProtocolError: It is no such number.
    """
    return _numbered(PONG, sequence)


def as_bytes(message: object) -> bytes:
    """
    Return a message's bytes, copied from what can change.

    Args:
        message: Something like bytes.

    Raises:
        ConfigError: It is something else.
    """
    if isinstance(message, bytes | bytearray | memoryview):
        return bytes(message)
    raise ConfigError(
        f"a message is bytes, not {type(message).__name__}",
        hint="encode it: text.encode(), json.dumps(…).encode()",
        field="message",
        value=message,
    )


def encode_data(message: bytes) -> Iterator[bytes]:
    """
    Yield the DATA frames of a message, each at most 16387 bytes.

    Args:
        message: Its bytes; none at all are a message too.

    >>> [frame.hex(" ") for frame in encode_data(b"hi")]
    ['41 00 02 68 69']
    """
    if len(message) <= LARGEST_FRAGMENT:
        yield NUMBERED.pack(Kind.DATA | LAST, len(message)) + message
        return
    view = memoryview(message)
    for at in range(0, len(message), LARGEST_FRAGMENT):
        piece = view[at : at + LARGEST_FRAGMENT]
        last = LAST if at + LARGEST_FRAGMENT >= len(message) else 0
        yield b"".join((NUMBERED.pack(Kind.DATA | last, len(piece)), piece))


def encode_bye(reason: int, text: str = "") -> bytes:
    """
    Return a goodbye.

    Args:
        reason: One of ``Farewell``, or an application's own, 128 to 255.
        text: For a person to read; cut to 255 bytes of UTF-8.

    Raises:
        LocalProtocolError: *reason* is no whole number from 0 to 255, or *text*
            is none.

    >>> encode_bye(Farewell.DONE, "bye").hex(" ")
    '50 00 03 62 79 65'
    """
    if not isinstance(text, str) or isinstance(reason, bool):
        raise _bad_goodbye(reason, text)
    said = text.encode("utf-8", "replace")[:LONGEST_TEXT]
    # The cut may have gone through a character.
    said = said.decode("utf-8", "ignore").encode()
    try:
        return BYE_HEAD.pack(Kind.BYE, reason, len(said)) + said
    except struct.error:
        raise _bad_goodbye(reason, text) from None


def _bad_goodbye(reason: object, text: object) -> LocalProtocolError:
    return local_breach(
        "bad-goodbye",
        f"reason {reason!r}, text {text!r}",
        hint="a reason is one of Farewell, or 128 to 255; words for a person are text=",
    )


def decode_bye(frame: bytes | bytearray) -> tuple[int, str]:
    """
    Return the reason and the text of a whole BYE.

    Args:
        frame: All its bytes, as many as ``frame_size`` said.

    Raises:
        RemoteProtocolError: The text is not UTF-8.
    """
    try:
        return frame[1], frame[BYE_HEAD.size :].decode("utf-8")
    except UnicodeDecodeError as error:
        raise remote_breach("bad-goodbye", str(error)) from None


def frame_size(data: bytes | bytearray, at: int) -> int:
    """
    Return how many bytes the frame at *at* has, or 0 if unknown yet.

    Args:
        data: What has arrived.
        at: Where in it the frame begins; at least its first byte is there.

    Raises:
        RemoteProtocolError: No such frame may exist.
    """
    first = data[at]
    size = HEARTBEATS.get(first)  # type: ignore[call-overload]
    if size is not None:
        return int(size)
    if first & ~LAST == Kind.DATA:
        return _data_size(data, at) if at + NUMBERED.size <= len(data) else 0
    if first == Kind.BYE:
        head = BYE_HEAD.size
        return head + data[at + 2] if at + head <= len(data) else 0
    if first & KIND_BITS in (*HEARTBEATS, Kind.DATA, Kind.BYE):
        raise remote_breach("reserved-bits", f"first byte {first:#04x}")
    if first == Kind.HELLO:
        raise remote_breach("second-hello")
    raise remote_breach("unknown-frame", f"first byte {first:#04x}")


def _data_size(data: bytes | bytearray, at: int) -> int:
    length = data[at + 1] << 8 | data[at + 2]
    if length > LARGEST_FRAGMENT:
        raise remote_breach("fragment-too-big", f"{length} bytes")
    if not length and not data[at] & LAST:
        raise remote_breach("empty-fragment")
    return NUMBERED.size + length


def _numbered(kind: int, sequence: int) -> bytes:
    try:
        return NUMBERED.pack(kind, sequence)
    except struct.error:
        raise local_breach("bad-sequence", repr(sequence)) from None
