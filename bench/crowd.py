"""
Peers that answer late, fall silent for good, or read slowly; and know when they did.

The clock is CLOCK_MONOTONIC, which on Linux is one and the same in all processes.
"""

import asyncio
import contextlib
import socket
import time
from collections import deque
from collections.abc import Callable

from talk import Talk

__all__ = ["Peer", "SlowPeer"]

RECEIVE_BUFFER = 16384  # bytes; the kernel doubles it
SEGMENT = 1448  # bytes, as on Ethernet; loopback's would fill the buffer at once

SLICE = 0.01  # seconds between two reads or writes of a slow peer


class Peer(asyncio.Protocol):
    """
    One peer, which answers every ping after a delay.

    Args:
        talk: Its half of the protocol.
        delay: Returns seconds from a ping's arrival to its answer.
        on_ping: Called when a ping has arrived, before it is answered.

    Attributes:
        port: Its own port, by which the server's reports name it.
        last_sign_at: When it last wrote a byte.
        answered: Pings that it has.
        ended_at: When the connection ended under it, or None.
        lateness: Seconds by which its latest answer missed its moment, because this
            process had no time.
    """

    def __init__(
        self,
        talk: Talk,
        delay: Callable[[], float],
        on_ping: Callable[[], None],
    ) -> None:
        self.talk = talk
        self.delay = delay
        self.on_ping = on_ping
        self.loop = asyncio.get_running_loop()
        self.port = 0
        self.last_sign_at = 0.0
        self.answered = 0
        self.is_silent = False
        self.ended_at: float | None = None
        self.answer_at = 0.0
        self.owed: deque[tuple[float, bytes, asyncio.TimerHandle]] = deque()
        self.lateness = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]
        self.write(self.talk.opening)

    def data_received(self, data: bytes) -> None:
        for answer in self.talk.feed(data):
            self.owe(answer, self.delay())
            self.on_ping()

    def owe(self, answer: bytes, delay: float) -> None:
        # In order, as bytes of a stream arrive.
        self.answer_at = max(self.answer_at, time.monotonic() + delay)
        handle = self.loop.call_at(self.answer_at, self.answer)
        self.owed.append((self.answer_at, answer, handle))

    def hasten(self, delay: float) -> None:
        """Answer what is owed after so long, no matter when that was due."""
        owed, self.owed = self.owed, deque()
        self.answer_at = 0.0
        for _, answer, handle in owed:
            handle.cancel()
            self.owe(answer, delay)

    @property
    def is_waited_for(self) -> bool:
        """Whether it owes an answer."""
        return bool(self.owed)

    def answer(self) -> None:
        due, answer, _ = self.owed.popleft()
        if not self.is_silent:
            self.answered += 1
            self.lateness = max(self.lateness, time.monotonic() - due)
            self.write(answer)

    def write(self, data: bytes) -> None:
        if data and self.ended_at is None:
            self.transport.write(data)
            self.last_sign_at = time.monotonic()

    def go_silent(self) -> None:
        """Die: read no more, write no more, and leave the socket open."""
        self.is_silent = True
        self.transport.pause_reading()

    def connection_lost(self, _: Exception | None) -> None:
        self.ended_at = time.monotonic()

    def leave(self) -> None:
        self.transport.abort()


class SlowPeer:
    """
    A peer behind a slow line: it reads, and uploads, at a fixed rate.

    Its receive buffer is small, so that what it has not read fills its window, and
    waits at the server as it would before a slow line. It
    answers a ping when it has read that far.

    Args:
        talk: Its half of the protocol.
        rate: Bytes a second, in each direction.
    """

    def __init__(self, talk: Talk, rate: float) -> None:
        self.talk = talk
        self.rate = rate
        self.port = 0
        self.last_sign_at = 0.0
        self.answered = 0
        self.received = 0
        self.uploaded = 0
        self.is_silent = False
        self.ended_at: float | None = None
        self.turn = asyncio.Lock()  # answers pass between two frames, not within
        self.tasks: list[asyncio.Task[None]] = []

    async def connect(self, port: int) -> None:
        """Connect and read slowly from now on."""
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.settimeout(0)
        await asyncio.get_running_loop().sock_connect(self.sock, ("127.0.0.1", port))
        self.port = self.sock.getsockname()[1]
        await self.write(self.talk.opening)
        self.tasks.append(asyncio.create_task(self.read()))

    async def read(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with contextlib.suppress(ConnectionError):
            while data := await loop.sock_recv(self.sock, int(self.rate * SLICE)):
                self.received += len(data)
                self.last_sign_at = time.monotonic()  # its kernel acknowledges
                for answer in self.talk.feed(data):
                    self.answered += 1
                    async with self.turn:
                        await self.write(answer)
                # Late is not faster: what was missed is not caught up.
                began = max(began + len(data) / self.rate, loop.time() - SLICE)
                await asyncio.sleep(began - loop.time())
        self.ended_at = time.monotonic()

    def upload(self, size: int) -> None:
        self.tasks.append(asyncio.create_task(self.upload_whole(size)))

    async def upload_whole(self, size: int) -> None:
        step = int(self.rate * SLICE)
        with contextlib.suppress(ConnectionError):
            for frame in self.talk.message(size):
                async with self.turn:
                    for at in range(0, len(frame), step):
                        await self.write(frame[at : at + step])
                        self.uploaded += len(frame[at : at + step])
                        await asyncio.sleep(SLICE)

    async def write(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)
        self.last_sign_at = time.monotonic()

    def go_silent(self) -> None:
        """Die: read no more, write no more, and leave the socket open."""
        self.is_silent = True
        for task in self.tasks:
            task.cancel()

    def leave(self) -> None:
        for task in self.tasks:
            task.cancel()
        self.sock.close()
