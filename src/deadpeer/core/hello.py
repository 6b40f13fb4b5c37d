"""
The HELLO: what each side says of itself before anything else.

Its first eight bytes and the sixteen after them keep their places in every later
version; what a later version adds are extensions, which the others skip. The whole
format: docs/reference/wire-format.md.
"""

import functools
import math
import struct
from dataclasses import dataclass
from typing import Any

from deadpeer.core.breaches import remote_breach
from deadpeer.errors import ConfigError
from deadpeer.policy.numbers import is_number, require_bool, require_whole

__all__ = [
    "LARGEST_HELLO",
    "MAGIC",
    "MOST",
    "SMALLEST_HELLO",
    "VERSION",
    "Hello",
    "decode_hello",
    "encode_hello",
    "hello_size",
]

MAGIC = b"\xde\xadPR"
"""The first four bytes of a conversation; no text, TLS or HTTP begins so."""

VERSION = 1
"""The version of the wire format that this package speaks."""

HEAD = struct.Struct(">4sBBH")  # magic, version, flags, bytes that follow
BODY = struct.Struct(">IIII")  # interval, time to live, heartbeat gap, largest message

OFFERS_BEATS, WANTS_BEATS, ANSWERS_PINGS = 1, 2, 4
FLAGS = OFFERS_BEATS | WANTS_BEATS | ANSWERS_PINGS

MOST = 2**32 - 1
"""Milliseconds or bytes; a field is 32 bits wide."""

LARGEST = 2**16 - 1  # bytes after the head
SMALLEST_HELLO = HEAD.size + BODY.size
"""Bytes of a HELLO without extensions."""

LARGEST_HELLO = HEAD.size + LARGEST
"""Bytes of a HELLO whose extensions fill all the room that there is."""

LONGEST_VALUE = 255  # bytes of an extension
KINDS = 256  # of extensions

# 0.0011 * 1000 comes out one part in 10^16 too large and is still 1.1 ms.
EXACT = 1e-12

# The first four bytes of those who most often knock at the wrong door. RFC 9110,
# section 9; RFC 9113, section 3.4, for the preface of HTTP/2.
HTTP = (
    *(b"GET ", b"POST", b"PUT ", b"HEAD", b"OPTI", b"DELE", b"PATC", b"CONN"),
    *(b"TRAC", b"PRI ", b"HTTP"),
)
TLS = (b"\x16\x03", b"\x15\x03")  # RFC 8446, section 5.1: handshake, alert


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """
    What one side announces.

    Durations are rounded up to whole milliseconds, as they travel.

    Args:
        interval: The period of the beats that I offer or want, in seconds.
        time_to_live: Seconds of silence for which you should wait for me, at
            least, before you may call me dead.
        heartbeat_gap: The shortest time between two of your heartbeats that I take,
            in seconds; never more than *interval*.
        largest_message: Bytes of the largest message that I take.
        offers_beats: Whether I shall beat unasked, every *interval*, if you want it.
        wants_beats: Whether I wish to judge you by beats, and not to ask.
        answers_pings: Whether I answer pings.
        version: The newest version that I speak.
        extensions: Pairs of kind (0 to 127 belong to the format, 128 to 255 to
            applications) and value (at most 255 bytes), in their order.

    Raises:
        ConfigError: A value does not fit into its field, or contradicts another.

    >>> Hello(interval=20, time_to_live=30).time_to_live
    30.0
    """

    interval: float = 20.0
    time_to_live: float = 30.0
    heartbeat_gap: float = 0.1
    largest_message: int = 2**20
    offers_beats: bool = True
    wants_beats: bool = False
    answers_pings: bool = True
    version: int = VERSION
    extensions: tuple[tuple[int, bytes], ...] = ()

    def __post_init__(self) -> None:
        for name in ("interval", "time_to_live", "heartbeat_gap"):
            milliseconds = _milliseconds(name, getattr(self, name))
            object.__setattr__(self, name, milliseconds / 1000)
        require_whole("largest_message", self.largest_message, 0, MOST)
        require_whole("version", self.version, 1, 255)
        for name in ("offers_beats", "wants_beats", "answers_pings"):
            require_bool(name, getattr(self, name), hint="it travels as one bit")
        object.__setattr__(self, "extensions", _extensions(self.extensions))
        if self.heartbeat_gap > self.interval:
            raise _wrong(
                "heartbeat_gap",
                self.heartbeat_gap,
                f"is longer than interval={self.interval!r}",
                "who beats that often takes heartbeats that often",
            )


def encode_hello(hello: Hello) -> bytes:
    """
    Return the frame.

    >>> encode_hello(Hello(interval=20, time_to_live=30)).hex(" ", 4)
    'dead5052 01050010 00004e20 00007530 00000064 00100000'
    """
    flags = (
        OFFERS_BEATS * hello.offers_beats
        | WANTS_BEATS * hello.wants_beats
        | ANSWERS_PINGS * hello.answers_pings
    )
    body = BODY.pack(
        round(hello.interval * 1000),
        round(hello.time_to_live * 1000),
        round(hello.heartbeat_gap * 1000),
        hello.largest_message,
    )
    tail = b"".join(
        bytes((kind, len(value))) + value for kind, value in hello.extensions
    )
    return HEAD.pack(MAGIC, hello.version, flags, len(body) + len(tail)) + body + tail


def hello_size(data: bytes | bytearray, *, largest: int) -> int:
    """
    Return how many bytes the HELLO at the start of *data* has, or 0 if unknown yet.

    Args:
        data: What has arrived so far.
        largest: The most bytes that this end takes.

    Raises:
        RemoteProtocolError: It is none, or a larger one.
    """
    if len(data) < len(MAGIC):
        return 0
    if not data.startswith(MAGIC):
        raise remote_breach(
            *_stranger(bytes(data[: len(MAGIC)])),
            hint="is this the right port, and is TLS on at both ends or at none?",
        )
    if len(data) < HEAD.size:
        return 0
    size: int = HEAD.size + HEAD.unpack_from(data)[3]
    if size > largest:
        raise remote_breach("hello-too-big", f"{size} bytes, at most {largest}")
    if size < SMALLEST_HELLO:
        raise remote_breach("bad-hello", f"{size} bytes are too few")
    return size


@functools.lru_cache(maxsize=256)
def decode_hello(frame: bytes) -> Hello:
    """
    Return what a whole HELLO says.

    Equal frames give one and the same object: the clients of a server mostly say
    the same, and each conversation keeps its peer's.

    Args:
        frame: All its bytes, as many as ``hello_size`` said.

    Raises:
        RemoteProtocolError: It contradicts itself, or uses what has no meaning yet.
    """
    _, version, flags, _ = HEAD.unpack_from(frame)
    interval, time_to_live, heartbeat_gap, largest = BODY.unpack_from(frame, HEAD.size)
    if flags & ~FLAGS:
        raise remote_breach("reserved-bits", f"flags {flags:#04x} of the HELLO")
    try:
        return Hello(
            interval=interval / 1000,
            time_to_live=time_to_live / 1000,
            heartbeat_gap=heartbeat_gap / 1000,
            largest_message=largest,
            offers_beats=bool(flags & OFFERS_BEATS),
            wants_beats=bool(flags & WANTS_BEATS),
            answers_pings=bool(flags & ANSWERS_PINGS),
            version=version,
            extensions=_decode_extensions(frame[SMALLEST_HELLO:]),
        )
    except ConfigError as error:
        raise remote_breach("bad-hello", error.message) from None


def _decode_extensions(tail: bytes) -> tuple[tuple[int, bytes], ...]:
    found = []
    at = 0
    while at < len(tail):
        end = at + 2 + (tail[at + 1] if at + 1 < len(tail) else 0)
        if at + 2 > len(tail) or end > len(tail):
            raise remote_breach("bad-hello", "its last extension is cut short")
        found.append((tail[at], tail[at + 2 : end]))
        at = end
    return tuple(found)


def _stranger(start: bytes) -> tuple[str, str]:
    shown = f"it begins with {start!r}"
    if start in HTTP:
        return "spoke-http", shown
    return ("spoke-tls" if start.startswith(TLS) else "wrong-magic"), shown


def _milliseconds(name: str, value: Any) -> int:
    if is_number(value) and 0 < value <= MOST / 1000:
        units: int = math.ceil(value * 1000 * (1 - EXACT))
        return min(MOST, max(1, units))
    raise _wrong(
        name,
        value,
        "is not a duration that the format can carry",
        f"give seconds, more than zero and at most {MOST / 1000}",
    )


def _extensions(given: Any) -> tuple[tuple[int, bytes], ...]:
    try:
        # Not bytes(value), which makes a thousand zeros of the number 1000.
        found = tuple((kind, bytes(memoryview(value))) for kind, value in given)
        size = BODY.size + sum(2 + len(value) for _, value in found)
    except (TypeError, ValueError):
        found, size = (), LARGEST + 1
    if size > LARGEST:
        raise _wrong("extensions", given, "are not usable", "give pairs (kind, bytes)")
    for kind, value in found:
        require_whole("extensions", kind, 0, KINDS - 1)
        if len(value) > LONGEST_VALUE:
            raise _wrong("extensions", len(value), "bytes are too many", "at most 255")
    return found


def _wrong(name: str, value: object, why: str, hint: str) -> ConfigError:
    return ConfigError(f"{name}={value!r} {why}", hint=hint, field=name, value=value)
