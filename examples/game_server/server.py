"""
A game server with a fixed tick, whose silent players are dropped in time.

    python server.py PORT [INTERVAL TIMEOUT]

A message is its length (2 bytes, big-endian), its kind (1 byte) and its body:
1 move (x, y: 2 bytes each), 2 ping (number: 2 bytes), 3 pong (the same), and
from the server 4 world (tick: 4 bytes, then id, x, y of each player).
Any byte from a player is life: who moves is never asked.
"""

import asyncio
import itertools
import struct
import sys

from deadpeer import PeerDead
from deadpeer.aio import guard
from deadpeer.aio.guarding import Guard
from deadpeer.policy.heartbeat import Heartbeat

TICK = 1 / 20  # seconds
LARGEST = 1024  # bytes; who says more is no player
MOST_WAITING = 64 * 1024  # bytes; who reads too slowly misses some ticks

MOVE, PING, PONG, WORLD = 1, 2, 3, 4


def message(kind: int, body: bytes) -> bytes:
    """Return a message as it travels."""
    return struct.pack(">HB", len(body) + 1, kind) + body


class Player(asyncio.Protocol):
    """One connection."""

    numbers = itertools.count(1)

    def __init__(self, game: "Game") -> None:
        self.game = game
        self.id = next(self.numbers)
        self.place = (0, 0)
        self.received = bytearray()
        self.transport: asyncio.Transport
        self.guard: Guard

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.guard = guard(
            transport,
            heartbeat=self.game.heartbeat,
            send_ping=self.ask,
            on_dead=self.died,
        )
        self.guard.start()
        self.game.players[self.id] = self
        print(f"player {self.id} joined", flush=True)

    def ask(self, number: int) -> None:
        self.transport.write(message(PING, struct.pack(">H", number)))

    def data_received(self, data: bytes) -> None:
        self.guard.heard()
        self.received += data
        while len(self.received) >= 2:
            (size,) = struct.unpack_from(">H", self.received)
            if not 1 <= size <= LARGEST:
                self.transport.abort()
                return
            if len(self.received) < 2 + size:
                return
            frame = bytes(self.received[2 : 2 + size])
            del self.received[: 2 + size]
            self.take(frame[0], frame[1:])

    def take(self, kind: int, body: bytes) -> None:
        if kind == MOVE and len(body) == 4:
            self.place = struct.unpack(">HH", body)
        elif kind == PONG and len(body) == 2:
            self.guard.answered(*struct.unpack(">H", body))

    def died(self, verdict: PeerDead) -> None:
        print(f"player {self.id} dropped: {verdict}", flush=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self.guard.lost(exc)
        self.game.players.pop(self.id, None)


class Game:
    """The world, told to everybody at each tick."""

    def __init__(self, heartbeat: Heartbeat) -> None:
        self.heartbeat = heartbeat
        self.players: dict[int, Player] = {}

    async def run(self) -> None:
        """Tick on a schedule; a late tick is skipped, never made up for."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        while True:
            number = int((loop.time() - start) / TICK) + 1
            await asyncio.sleep(start + number * TICK - loop.time())
            self.tell(number)

    def tell(self, number: int) -> None:
        """Send the world to all who keep up."""
        body = struct.pack(">I", number) + b"".join(
            struct.pack(">HHH", p.id, *p.place) for p in self.players.values()
        )
        for player in self.players.values():
            if player.transport.get_write_buffer_size() < MOST_WAITING:
                player.transport.write(message(WORLD, body))


async def main(port: int, heartbeat: Heartbeat) -> None:
    """Serve until cancelled."""
    game = Game(heartbeat)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Player(game), "127.0.0.1", port)
    print("listening", server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await game.run()


if __name__ == "__main__":
    interval, timeout = map(float, sys.argv[2:4] or (5, 5))
    asyncio.run(main(int(sys.argv[1]), Heartbeat(interval=interval, timeout=timeout)))
