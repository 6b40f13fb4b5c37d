"""
The peers' half of each protocol: the opening, the answers, a message.

Written by hand and minimal, so that no library's client stands between the
harness and the moment at which an answer leaves.
"""

from collections.abc import Iterator
from typing import Protocol

__all__ = ["DIALECTS", "Talk", "dialect"]


class Talk(Protocol):
    """One peer's half of a conversation; no socket, no clock."""

    opening: bytes
    """What it says first."""

    is_open: bool
    """True once the server has greeted back."""

    def feed(self, data: bytes) -> list[bytes]:
        """Take what was read; return one answer for each ping in it."""

    def message(self, size: int) -> Iterator[bytes]:
        """Give the frames of a message; answers may pass between two of them."""


class WebSocketTalk:
    """RFC 6455 as a client speaks it; each mask is zero, which leaves the payload."""

    opening = (
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        b"Sec-WebSocket-Version: 13\r\n\r\n"
    )
    mask = bytes(4)

    __slots__ = ("buffer", "is_open", "skip")

    def __init__(self) -> None:
        self.is_open = False
        self.buffer = b""
        self.skip = 0  # bytes of a message still to come; nobody reads them

    def feed(self, data: bytes) -> list[bytes]:
        if self.skip >= len(data):
            self.skip -= len(data)
            return []
        self.buffer += data[self.skip :]
        self.skip = 0
        if not self.is_open:
            head, end, rest = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return []
            if not head.startswith(b"HTTP/1.1 101 "):
                raise ConnectionError(f"no websocket: {head[:80]!r}")
            self.is_open = True
            self.buffer = rest
        return list(self.answers())

    def answers(self) -> Iterator[bytes]:
        while len(self.buffer) >= 2:
            kind, short = self.buffer[0] & 0x0F, self.buffer[1] & 0x7F
            wide = {126: 2, 127: 8}.get(short, 0)
            start = 2 + wide
            if len(self.buffer) < start:
                return
            length = int.from_bytes(self.buffer[2:start]) if wide else short
            if kind != 9:
                self.skip = max(0, start + length - len(self.buffer))
                self.buffer = self.buffer[start + length :]
                continue
            if len(self.buffer) < start + length:
                return
            payload = self.buffer[start : start + length]
            self.buffer = self.buffer[start + length :]
            yield bytes((0x8A, 0x80 | length)) + self.mask + payload

    def message(self, size: int) -> Iterator[bytes]:
        # One frame, as browsers send it: no pong can pass.
        yield b"\x82\xff" + size.to_bytes(8) + self.mask + bytes(size)


class ByteTalk:
    """The floor's: each byte asks, and a byte answers."""

    opening = b""
    is_open = True

    __slots__ = ()

    def feed(self, data: bytes) -> list[bytes]:
        return [b"\x02"] * len(data)

    def message(self, size: int) -> Iterator[bytes]:
        yield bytes(size)


def deadpeer_talk() -> Talk:
    from talk_deadpeer import DeadpeerTalk

    return DeadpeerTalk()


DIALECTS = {
    "websocket": WebSocketTalk,
    "byte": ByteTalk,
    "deadpeer": deadpeer_talk,
}


def dialect(name: str) -> Talk:
    """Return a new conversation in the dialect called *name*."""
    return DIALECTS[name]()
