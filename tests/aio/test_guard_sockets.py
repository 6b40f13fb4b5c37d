"""The same guard on real loops and real connections, decided by what is told."""

import asyncio
import socket
import time
from typing import Any

import pytest

from deadpeer.aio.guarding import guard
from deadpeer.core.events import Died
from deadpeer.core.states import State
from deadpeer.errors import PeerReset, PeerSilent
from deadpeer.policy.heartbeat import Heartbeat

# ruff: noqa: PT012 - an "async with" around the story is the one statement

RULES = Heartbeat(interval=0.2, timeout=0.3)
WAIT = 20.0  # seconds after which a guard that says nothing fails the test
# Real timers on a busy machine: what this watcher was late by, it says itself.
SLACK = 0.05


@pytest.fixture(params=["asyncio", "uvloop"])
def play(request):
    """Run a coroutine on each kind of loop."""
    library: Any = pytest.importorskip(request.param)

    async def bounded(main):
        async with asyncio.timeout(WAIT):
            return await main

    def play(main):
        with asyncio.Runner(loop_factory=library.new_event_loop) as runner:
            return runner.run(bounded(main))

    return play


class Answering(asyncio.Protocol):
    """A peer that answers after a round trip of its own making."""

    rtt = 0.0
    silent = False

    def connection_made(self, transport):
        self.transport: Any = transport

    def data_received(self, data):
        if not self.silent:
            answer = b"a" * data.count(b"p")
            loop = asyncio.get_running_loop()
            loop.call_later(self.rtt, self.transport.write, answer)


async def connected():
    """Return reader, writer, the peer, and what closes them."""
    loop = asyncio.get_running_loop()
    peers: list[Answering] = []

    def peer():
        peers.append(Answering())
        return peers[-1]

    server = await loop.create_server(peer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while not peers or not hasattr(peers[0], "transport"):  # noqa: ASYNC110
        await asyncio.sleep(0)  # it is accepted in these turns

    async def close():
        peers[0].transport.abort()
        writer.transport.abort()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)

    return reader, writer, peers[0], close


async def listen(reader, guarded):
    while data := await reader.read(1000):
        guarded.heard()
        for _ in range(data.count(b"a")):
            guarded.answered()


@pytest.mark.parametrize("how", ["stays silent", "reads nothing"])
def test_a_dead_peer_is_found_in_time(play, how):
    async def main():
        reader, writer, peer, close = await connected()
        seen: list[Any] = []

        async def ask(_number):
            writer.write(b"p")
            await writer.drain()

        with pytest.raises(PeerSilent):
            async with (
                asyncio.timeout(WAIT),
                guard(
                    writer, heartbeat=RULES, send_ping=ask, on_change=seen.append
                ) as guarded,
            ):
                if how == "reads nothing":
                    peer.transport.pause_reading()
                    writer.write(b"." * 20_000_000)
                peer.silent = True
                await listen(reader, guarded)
        await close()
        return seen[-1]

    died = play(main())

    assert isinstance(died, Died)
    evidence = died.evidence
    assert evidence.counted >= RULES.timeout
    took = died.at - evidence.heard_at - evidence.lateness
    # A kernel that still takes bytes is progress, for as long as it does.
    filling = RULES.timeout if how == "reads nothing" else 0.0
    assert took <= RULES.detection + filling + SLACK


def test_a_blocked_loop_accuses_nobody(play):
    async def main():
        reader, writer, peer, close = await connected()
        peer.rtt = 0.05
        asked: list[int] = []

        def ask(number):
            asked.append(number)
            writer.write(b"p")
            # In flight, and this end blind for longer than the peer has.
            asyncio.get_running_loop().call_later(0.01, time.sleep, 0.5)

        async with guard(writer, heartbeat=RULES, send_ping=ask) as guarded:
            listening = asyncio.create_task(listen(reader, guarded))
            while len(asked) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert guarded.state is not State.DEAD
            listening.cancel()
        await close()

    play(main())


def test_a_reset_in_the_block_is_the_verdict(play):
    async def main():
        reader, writer, peer, close = await connected()
        sock = peer.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0" + bytes(4))
        with pytest.raises(PeerReset):
            async with (
                asyncio.timeout(WAIT),
                guard(writer, send_ping=lambda _: None) as guarded,
            ):
                peer.transport.abort()
                await listen(reader, guarded)
        await close()

    play(main())
