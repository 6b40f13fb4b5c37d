"""Bad peers: each ends alone, named, in bounded memory, and the good ones go on."""

# ruff: noqa: ASYNC110 - a socket that has arrived tells nobody

import asyncio
import tracemalloc
from typing import Any

import pytest
from tests.aio.bad_peers import BAD, greeting
from tests.aio.worlds import on_real_loops

from deadpeer.aio import connect_peer, serve_peers
from deadpeer.core.events import Died
from deadpeer.core.limits import Limits
from deadpeer.core.states import State
from deadpeer.policy.heartbeat import Heartbeat

HERE = "127.0.0.1"
GOOD = 50
ROUNDS = 10  # of answers that each of them gets after the bad ones were ended
HEARTBEAT = Heartbeat(interval=0.5, timeout=0.5)
LIMITS = Limits(
    handshake_timeout=1.0,
    frame_timeout=1.0,
    longest_patience=5.0,
    largest_message=100_000,
)
FLOOD = bytes(100_000)


async def answer(peer):
    """Answer each message; pour over those who ask for it."""
    async for message in peer:
        if message == b"flood!":
            while True:
                await peer.send(FLOOD)
        await peer.send(message)


@on_real_loops
def test_each_ends_alone_and_named_while_the_good_go_on(world):
    async def main():
        ends: Any = asyncio.Queue()

        def note(peer, change):
            if isinstance(change, Died):
                ends.put_nowait((peer, change, peer.error))

        async with serve_peers(
            answer, HERE, 0, heartbeat=HEARTBEAT, limits=LIMITS, on_change=note
        ) as server:
            good = [
                await connect_peer(HERE, server.port, heartbeat=HEARTBEAT)
                for _ in range(GOOD)
            ]
            answered = [asyncio.Event() for _ in good]
            talking = [
                asyncio.create_task(talk(number, peer, answered))
                for number, peer in enumerate(good)
            ]
            visits = [
                asyncio.create_task(bad.visit(server.port)) for bad in BAD.values()
            ]
            ended = [await ends.get() for _ in BAD]
            for _ in range(ROUNDS):
                for one in answered:
                    one.clear()
                await asyncio.gather(*(one.wait() for one in answered))
            assert ends.empty()
            found = sorted(
                (type(error).__name__, getattr(error, "breach", "no answer"))
                for _, _, error in ended
            )
            assert found == sorted((bad.error, bad.breach) for bad in BAD.values())
            assert all(peer not in server.registry for peer, _, _ in ended)
            assert [peer.state for peer in good] == [State.ALIVE] * GOOD
            for task in [*talking, *visits]:
                task.cancel()
            await asyncio.gather(*talking, *visits, return_exceptions=True)
            for peer in good:
                peer.abort()

    world.run(main())


async def talk(number, peer, answered):
    while True:
        await peer.send(b"%d" % number)
        assert await peer.recv() == b"%d" % number
        answered[number].set()
        await asyncio.sleep(0.05)


@on_real_loops
@pytest.mark.parametrize(
    "nonsense",
    [b"\x40\x40\x00" + bytes(16_384), b"\x41\x00\x00" * 5000, b"\x40\x00\x01." * 4096],
    ids=["fragments without end", "empty messages without end", "many small pieces"],
)
def test_what_one_peer_can_make_us_keep_is_bounded(world, nonsense):
    """The reader of this server reads nothing at all."""

    async def main():
        limits = Limits(largest_message=100_000, frame_timeout=2.0)

        async def reads_nothing(peer):
            await peer.wait_closed()

        async with serve_peers(reads_nothing, HERE, 0, limits=limits) as server:
            _, writer = await asyncio.open_connection(HERE, server.port)
            writer.write(greeting())
            while not server.registry:
                await asyncio.sleep(0.01)
            tracemalloc.start()
            base = tracemalloc.get_traced_memory()[0]
            asyncio.get_running_loop().call_later(1.0, writer.transport.abort)
            while not writer.transport.is_closing():
                writer.write(nonsense)
                await asyncio.sleep(0)
                try:
                    async with asyncio.timeout(0.3):
                        await writer.drain()
                except (TimeoutError, ConnectionError):
                    break
            kept = tracemalloc.get_traced_memory()[0] - base
            tracemalloc.stop()
            writer.transport.abort()
        assert kept < 4_000_000

    world.run(main())
