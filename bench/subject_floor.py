"""
The least that heartbeats can cost on an event loop: one protocol, one wheel.

No framing, no handshake, no evidence: a byte asks, a byte answers, and any byte is
life. What a library costs above this is the price of what it offers.
"""

import asyncio
from typing import Any

from pace import Pace
from subjects import BACKLOG, Audience

TICK = 0.1  # seconds

PING = b"\x01"


class Connection(asyncio.Protocol):
    """One peer: when it was last heard, and whether it was asked since."""

    __slots__ = ("asked", "heard_at", "transport", "wheel")

    def __init__(self, wheel: "Wheel") -> None:
        self.wheel = wheel
        self.asked = False
        self.heard_at = 0.0
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        port = transport.get_extra_info("peername")[1]
        self.wheel.audience.online(port, self.send)
        self.data_received(b"")
        self.wheel.put(self, self.wheel.pace.interval)

    def data_received(self, _: bytes) -> None:
        self.heard_at = self.wheel.loop.time()
        self.asked = False

    def connection_lost(self, reason: Exception | None) -> None:
        port = self.transport.get_extra_info("peername")[1]
        self.transport = None
        self.wheel.audience.gone(port, str(reason or "closed"))

    async def send(self, message: bytes) -> None:
        self.transport.write(message)


class Wheel:
    """Lists of connections, one for each tick; a list is read once and left."""

    def __init__(self, pace: Pace, audience: Audience) -> None:
        self.pace = pace
        self.audience = audience
        self.loop = asyncio.get_running_loop()
        longest = max(pace.interval, pace.timeout)
        self.slots: list[list[Connection]] = [
            [] for _ in range(int(longest / TICK) + 2)
        ]
        self.now = 0
        self.next_at = self.loop.time() + TICK
        self.loop.call_at(self.next_at, self.turn)

    def put(self, connection: Connection, delay: float) -> None:
        self.slots[(self.now + int(delay / TICK) + 1) % len(self.slots)].append(
            connection
        )

    def turn(self) -> None:
        self.now = (self.now + 1) % len(self.slots)
        due, self.slots[self.now] = self.slots[self.now], []
        now = self.loop.time()
        for connection in due:
            self.judge(connection, now)
        self.next_at = max(now, self.next_at + TICK)
        self.loop.call_at(self.next_at, self.turn)

    def judge(self, connection: Connection, now: float) -> None:
        if connection.transport is None:
            return
        left = connection.heard_at + self.pace.interval - now
        if left > 0:
            self.put(connection, left)
        elif connection.asked:
            connection.transport.abort()
        else:
            connection.asked = True
            connection.transport.write(PING)
            self.put(connection, self.pace.timeout)


class Floor:
    """A raw ``asyncio.Protocol`` and one timer wheel for all."""

    dialect = "byte"

    def promise(self, pace: Pace) -> float:
        return pace.interval + pace.timeout + 2 * TICK

    async def serve(self, pace: Pace, audience: Audience) -> int:
        wheel = Wheel(pace, audience)
        server = await wheel.loop.create_server(
            lambda: Connection(wheel), "127.0.0.1", 0, backlog=BACKLOG
        )
        port: int = server.sockets[0].getsockname()[1]
        return port
