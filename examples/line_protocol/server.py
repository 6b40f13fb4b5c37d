"""
A chat of lines, whose silent guests are found in seconds.

    python server.py PORT [INTERVAL TIMEOUT]

The protocol has lines, ``ping N`` and ``pong N``. Any line is life.
"""

import asyncio
import sys

from deadpeer import PeerDead
from deadpeer.aio import guard
from deadpeer.policy.heartbeat import Heartbeat

guests: set[asyncio.StreamWriter] = set()


async def talk(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heartbeat: Heartbeat
) -> None:
    """Serve one guest until it leaves or dies."""

    def ask(number: int) -> None:
        writer.write(b"ping %d\n" % number)

    guests.add(writer)
    print("joined", flush=True)
    try:
        async with guard(writer, heartbeat=heartbeat, send_ping=ask) as guarded:
            while line := await reader.readline():
                guarded.heard()
                match line.split():
                    case [b"pong", number]:
                        guarded.answered(int(number))
                    case [b"ping", number]:
                        writer.write(b"pong %b\n" % number)
                    case _:
                        tell_all(line, but=writer)
        print("left", flush=True)
    except PeerDead as verdict:
        print(f"dead: {verdict}", flush=True)
    finally:
        guests.discard(writer)
        writer.close()


def tell_all(line: bytes, *, but: asyncio.StreamWriter) -> None:
    """Pass a line on."""
    for guest in guests - {but}:
        guest.write(line)


async def main(port: int, heartbeat: Heartbeat) -> None:
    """Serve until cancelled."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await talk(reader, writer, heartbeat)

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    print("listening", server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    interval, timeout = map(float, sys.argv[2:4] or (20, 10))
    asyncio.run(main(int(sys.argv[1]), Heartbeat(interval=interval, timeout=timeout)))
