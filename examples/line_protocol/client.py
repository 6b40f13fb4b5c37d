"""
A guest of the chat: says what it reads, and knows within seconds that the server died.

    python client.py PORT [INTERVAL TIMEOUT]
"""

import asyncio
import sys

from deadpeer.aio import guard
from deadpeer.policy.heartbeat import Heartbeat


async def main(port: int, heartbeat: Heartbeat) -> None:
    """Print what comes; raise PeerSilent if the server is dead."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    def ask(number: int) -> None:
        writer.write(b"ping %d\n" % number)

    writer.write(b"hello\n")
    async with guard(writer, heartbeat=heartbeat, send_ping=ask) as guarded:
        while line := await reader.readline():
            guarded.heard()
            match line.split():
                case [b"pong", number]:
                    guarded.answered(int(number))
                case [b"ping", number]:
                    writer.write(b"pong %b\n" % number)
                case _:
                    print(line.decode().rstrip(), flush=True)


if __name__ == "__main__":
    interval, timeout = map(float, sys.argv[2:4] or (20, 10))
    asyncio.run(main(int(sys.argv[1]), Heartbeat(interval=interval, timeout=timeout)))
