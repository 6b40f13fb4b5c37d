"""Waiting for an answer: a loop that was blocked takes none of the other's time."""

import asyncio
import contextlib
import socket
import threading
import time
from typing import Any

import pytest
from tests.aio.worlds import VIRTUAL, on_real_loops, opened_alive

from deadpeer.aio import connect_peer
from deadpeer.aio.patience import PARTS, Patience
from deadpeer.core.conversation import Conversation
from deadpeer.core.hello import Hello
from deadpeer.core.limits import Limits

HERE = "127.0.0.1"


def test_on_a_loop_that_is_on_time_it_is_a_timeout():
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            async with Patience(1.0):
                await asyncio.sleep(100)
        assert loop.time() == pytest.approx(1.0)
        async with Patience(1.0):
            await asyncio.sleep(0.9)
        await asyncio.sleep(10)  # and nothing comes after the block

    VIRTUAL.run(main())


@pytest.mark.parametrize("after", [0.0, 0.33, 0.99])
def test_for_how_long_the_loop_was_blocked_does_not_count(after):
    async def main():
        loop: Any = asyncio.get_running_loop()
        loop.call_later(after, loop.block, 5.0)
        with pytest.raises(TimeoutError):
            async with Patience(1.0):
                await asyncio.sleep(100)
        assert 5.999 - 1.0 / PARTS <= loop.time() <= 6.001

    VIRTUAL.run(main())


def test_a_loop_that_is_always_slow_gives_up_in_the_end():
    async def main():
        loop: Any = asyncio.get_running_loop()

        async def blocks():
            while True:
                loop.block(0.5)
                await asyncio.sleep(0.001)

        blocking = asyncio.create_task(blocks())
        with pytest.raises(TimeoutError):
            async with Patience(1.0):
                await asyncio.sleep(1000)
        blocking.cancel()
        assert loop.time() <= 1.0 + PARTS * 0.6

    VIRTUAL.run(main())


def test_what_arrives_in_the_last_moment_is_read_first():
    async def main():
        loop = asyncio.get_running_loop()
        arrived = loop.create_future()

        def later(turns):
            if turns:
                loop.call_soon(later, turns - 1)
            else:
                arrived.set_result("here")

        loop.call_at(1.0 - 1e-9, later, 1)
        async with Patience(1.0):
            assert await arrived == "here"

    VIRTUAL.run(main())


def test_a_cancellation_from_elsewhere_stays_one():
    async def main():
        async def waits():
            async with Patience(1.0):
                await asyncio.sleep(100)

        waiting = asyncio.create_task(waits())
        await asyncio.sleep(0.5)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    VIRTUAL.run(main())


@contextlib.contextmanager
def one_who_greets():
    """Listen in a thread, and greet whoever comes at once."""
    greeting = Conversation(Hello(), Limits(), now=0.0).greeting()

    def greets(server):
        sock, _ = server.accept()
        with sock, contextlib.suppress(ConnectionError):
            sock.sendall(greeting)
            while sock.recv(1000):
                pass

    with socket.create_server((HERE, 0)) as server:
        thread = threading.Thread(target=greets, args=(server,))
        thread.start()
        yield server.getsockname()[1]
        thread.join(10)


@on_real_loops
@pytest.mark.parametrize("turns", range(8))
def test_a_loop_that_was_blocked_while_it_connected_does_not_accuse(world, turns):
    async def main():
        with one_who_greets() as port:
            connecting = connect_peer(HERE, port, within=0.3, safety_net=False)
            opening = asyncio.ensure_future(opened_alive(connecting))
            for _ in range(turns):
                await asyncio.sleep(0)
            time.sleep(0.4)  # noqa: ASYNC251 - what is tested
            await opening

    world.run(main())
