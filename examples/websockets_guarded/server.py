"""
The ``websockets`` library, with a guard in place of its own keepalive.

    python server.py PORT [INTERVAL TIMEOUT]

Its own waits for room in the send buffer before its clock starts, so it never
fires on a client that reads nothing. The guard's clock starts when the ping is due.
"""

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from deadpeer import PeerDead
from deadpeer.aio import guard
from deadpeer.policy.heartbeat import Heartbeat


class Guarded(ServerConnection):
    """A connection that tells its guard of whatever arrives: messages, pongs, bytes."""

    heard = staticmethod(lambda: None)

    def data_received(self, data: bytes) -> None:
        self.heard()
        super().data_received(data)


async def talk(ws: Guarded, heartbeat: Heartbeat, flood: int) -> None:
    """Echo; or, to a client that asks for it, send more than it ever reads."""

    async def ask(number: int) -> None:
        pong = await ws.ping()  # waits for room: no matter
        pong.add_done_callback(lambda p: p.cancelled() or guarded.answered(number))

    try:
        guarded = guard(ws.transport, heartbeat=heartbeat, send_ping=ask)
        async with guarded:
            ws.heard = guarded.heard  # type: ignore[method-assign]
            async for message in ws:
                await ws.send(b"." * flood if message == "flood" else message)
        print("left", flush=True)
    except ConnectionClosed:
        print("left", flush=True)
    except PeerDead as verdict:
        print(f"dead: {verdict}", flush=True)


async def main(port: int, heartbeat: Heartbeat, flood: int = 50_000_000) -> None:
    """Serve until cancelled."""

    async def handle(ws: ServerConnection) -> None:
        assert isinstance(ws, Guarded)
        await talk(ws, heartbeat, flood)

    async with serve(
        handle,
        "127.0.0.1",
        port,
        ping_interval=None,
        compression=None,
        create_connection=Guarded,
    ) as server:
        print("listening", next(iter(server.sockets)).getsockname()[1], flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    interval, timeout = map(float, sys.argv[2:4] or (20, 10))
    asyncio.run(main(int(sys.argv[1]), Heartbeat(interval=interval, timeout=timeout)))
