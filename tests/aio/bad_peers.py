"""
Peers that behave badly, on real sockets, and how each of them has to end.

Each is a coroutine function: it connects to a port, does its one bad thing, and
returns when the server has ended it.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from deadpeer.core.conversation import Conversation
from deadpeer.core.hello import Hello
from deadpeer.core.limits import Limits

__all__ = ["BAD", "Bad", "greeting"]

HERE = "127.0.0.1"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def greeting() -> bytes:
    """Return the HELLO of a peer that asks for no patience."""
    hello = Hello(time_to_live=0.1)
    return Conversation(hello, Limits(), now=0.0).greeting()


@dataclass(frozen=True, slots=True)
class Bad:
    """
    One kind of bad peer.

    Args:
        act: What it does on its streams.
        error: The name of the type of error that the server has to report.
        breach: The word for it; "no answer" where the judge decides.
    """

    act: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    error: str
    breach: str

    async def visit(self, port: int) -> None:
        """Connect, misbehave, and wait for the end."""
        reader, writer = await asyncio.open_connection(HERE, port)
        try:
            with contextlib.suppress(ConnectionError):
                await self.act(reader, writer)
        finally:
            writer.transport.abort()


async def until_ended(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(1 << 16):
            pass


async def says_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await until_ended(reader)


async def greets_a_byte_at_a_time(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    reading = asyncio.create_task(until_ended(reader))
    for byte in greeting()[:-1]:
        writer.write(bytes([byte]))
        await asyncio.wait([reading], timeout=0.2)
        if reading.done():
            break
    await reading


async def pings_without_end(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(greeting())
    reading = asyncio.create_task(until_ended(reader))
    while not reading.done():
        writer.write(b"\x20\x00\x01" * 1000)
        await asyncio.sleep(0.01)
    await reading


async def sends_too_large_a_message(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(greeting())
    reading = asyncio.create_task(until_ended(reader))
    fragment = b"\x40\x40\x00" + bytes(16384)
    while not reading.done():
        writer.write(fragment)
        await writer.drain()
        await asyncio.sleep(0)
    await reading


async def sends_too_large_a_fragment(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(greeting() + b"\x40\xff\xff" + bytes(1000))
    await until_ended(reader)


async def sends_half_a_frame(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(greeting() + b"\x41\x40\x00" + bytes(100))
    reading = asyncio.create_task(until_ended(reader))
    while not reading.done():  # a byte now and then, so that it is never silent
        writer.write(b".")
        await asyncio.wait([reading], timeout=0.05)
    await reading


async def sends_random_bytes(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(b"\x00" + random.randbytes(100_000))  # noqa: S311
    await until_ended(reader)


async def never_reads(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    transport: Any = writer.transport
    transport.pause_reading()
    writer.write(greeting() + b"\x41\x00\x06flood!")
    # Nobody tells a program that reads nothing. It waits for its port to be free.
    await asyncio.Event().wait()


BAD = {
    "says nothing": Bad(says_nothing, "RemoteProtocolError", "handshake-too-slow"),
    "greets a byte at a time": Bad(
        greets_a_byte_at_a_time, "RemoteProtocolError", "handshake-too-slow"
    ),
    "pings without end": Bad(
        pings_without_end, "RemoteProtocolError", "too-many-heartbeats"
    ),
    "sends too large a message": Bad(
        sends_too_large_a_message, "RemoteProtocolError", "message-too-big"
    ),
    "sends too large a fragment": Bad(
        sends_too_large_a_fragment, "RemoteProtocolError", "fragment-too-big"
    ),
    "sends half a frame, for ever": Bad(
        sends_half_a_frame, "RemoteProtocolError", "frame-too-slow"
    ),
    "sends random bytes": Bad(sends_random_bytes, "RemoteProtocolError", "wrong-magic"),
    "never reads": Bad(never_reads, "PeerSilent", "no answer"),
}
