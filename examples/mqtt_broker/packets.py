"""
The part of MQTT 3.1.1 that the broker takes: packets in, packets out, no I/O.

Source: MQTT Version 3.1.1, OASIS Standard, sections 2.2 (header) and 3 (packets).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

CONNECT, CONNACK, PUBLISH, SUBSCRIBE, SUBACK = 1, 2, 3, 8, 9
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14

LARGEST = 64 * 1024  # bytes of one packet


class Malformed(ValueError):
    """What came is no packet that this broker takes; section 4.8: close."""


@dataclass(frozen=True)
class Connect:
    """Who comes, how often it promises to be heard, and its last will."""

    client: str
    keep_alive: int
    will: tuple[str, bytes] | None


def packet(kind: int, body: bytes = b"", flags: int = 0) -> bytes:
    """Return a packet as it travels; the length is in groups of 7 bits."""
    length, size = bytearray(), len(body)
    while True:
        size, digit = divmod(size, 128)
        length.append(digit | (0x80 if size else 0))
        if not size:
            return bytes([kind << 4 | flags]) + bytes(length) + body


def split(received: bytearray) -> Iterator[tuple[int, int, bytes]]:
    """Take the whole packets off the front: kind, flags and body of each."""
    while len(received) >= 2:
        size, used = 0, 1
        while True:
            if used == len(received):
                return
            digit = received[used]
            size |= (digit & 0x7F) << 7 * (used - 1)
            used += 1
            if digit < 0x80:
                break
            if used > 4:
                raise Malformed("the length has more than four bytes")
        if size > LARGEST:
            raise Malformed(f"a packet of {size} bytes")
        if len(received) < used + size:
            return
        head, body = received[0], bytes(received[used : used + size])
        del received[: used + size]
        yield head >> 4, head & 15, body


def field(body: bytes, at: int) -> tuple[bytes, int]:
    """Return a field with its length in front, and where the next one starts."""
    if len(body) < at + 2:
        raise Malformed("a field is missing")
    end = at + 2 + int.from_bytes(body[at : at + 2], "big")
    if len(body) < end:
        raise Malformed("a field is cut short")
    return body[at + 2 : end], end


def text(data: bytes) -> str:
    """Return a field as text."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Malformed("text that is not UTF-8") from error


def string(value: str) -> bytes:
    """Return text as a field."""
    data = value.encode()
    return struct.pack(">H", len(data)) + data


def parse_connect(body: bytes) -> Connect:
    """Return what a CONNECT says."""
    name, at = field(body, 0)
    if name != b"MQTT" or len(body) < at + 4 or body[at] != 4:
        raise Malformed("not MQTT 3.1.1")
    flags, keep_alive = struct.unpack_from(">BH", body, at + 1)
    client, at = field(body, at + 4)
    will = None
    if flags & 0x04:
        topic, at = field(body, at)
        last_words, at = field(body, at)
        will = (text(topic), last_words)
    return Connect(text(client), keep_alive, will)


def parse_publish(body: bytes) -> tuple[str, bytes]:
    """Return topic and message of a PUBLISH with QoS 0."""
    topic, at = field(body, 0)
    return text(topic), body[at:]


def parse_subscribe(body: bytes) -> tuple[bytes, list[str]]:
    """Return the packet's number and its topics."""
    topics, at = [], 2
    while at < len(body):
        topic, at = field(body, at)
        topics.append(text(topic))
        at += 1  # the wished QoS; all get 0
    return body[:2], topics


def publish(topic: str, message: bytes) -> bytes:
    """Return a PUBLISH with QoS 0."""
    return packet(PUBLISH, string(topic) + message)
