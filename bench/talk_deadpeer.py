"""A peer's half of deadpeer's own protocol: the codec alone, no connection of ours."""

from collections.abc import Iterator

from deadpeer.core.frames import (
    HEADER_SIZE,
    Kind,
    encode_data,
    encode_pong,
    frame_size,
)
from deadpeer.core.hello import Hello, encode_hello, hello_size

__all__ = ["DeadpeerTalk"]

# It asks for no patience of its own, so the server judges at the pace it was told.
HELLO = encode_hello(
    Hello(
        interval=1.0,
        time_to_live=0.1,
        heartbeat_gap=0.001,
        largest_message=2**30,
        offers_beats=False,
    )
)


class DeadpeerTalk:
    """HELLO, then a PONG for each PING; messages are read and forgotten."""

    opening = HELLO

    __slots__ = ("buffer", "is_open")

    def __init__(self) -> None:
        self.is_open = False
        self.buffer = b""

    def feed(self, data: bytes) -> list[bytes]:
        self.buffer += data
        if not self.is_open:
            size = hello_size(self.buffer, largest=65536)
            if not size or len(self.buffer) < size:
                return []
            self.is_open = True
            self.buffer = self.buffer[size:]
        return list(self.answers())

    def answers(self) -> Iterator[bytes]:
        while self.buffer:
            size = frame_size(self.buffer, 0)
            if not size or len(self.buffer) < size:
                return
            if self.buffer[0] == Kind.PING:
                yield encode_pong(int.from_bytes(self.buffer[1:HEADER_SIZE]))
            if self.buffer[0] == Kind.BYE:
                raise ConnectionError(f"the server said goodbye: {self.buffer!r}")
            self.buffer = self.buffer[size:]

    def message(self, size: int) -> Iterator[bytes]:
        yield from encode_data(bytes(size))
