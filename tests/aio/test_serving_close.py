"""The end of a server: goodbyes, handlers that go on, and whoever else closes it."""

# ruff: noqa: ASYNC110 - a socket that has arrived tells nobody

import asyncio
import contextlib
from typing import Any

import pytest
from tests.aio.test_serving import HERE, LATE, echo, silent
from tests.aio.worlds import QUICK, on_real_loops

from deadpeer.aio import connect_peer, serve_peers
from deadpeer.errors import PeerClosed


@on_real_loops
def test_close_says_goodbye_to_the_live_and_does_not_wait_for_the_rest(world):
    async def main():
        loop = asyncio.get_running_loop()
        server = await serve_peers(echo, HERE, 0, heartbeat=QUICK)
        live = [await connect_peer(HERE, server.port) for _ in range(5)]
        stopped = [await silent(server.port) for _ in range(3)]
        stopped += [await silent(server.port, says=b"") for _ in range(2)]
        while len(server.registry) < 8 or len(server._all) < 10:
            await asyncio.sleep(0.01)
        for peer in list(server.registry)[-3:]:
            peer.send_nowait(bytes(1_000_000))  # which nobody reads
        before = loop.time()
        waiting = [asyncio.create_task(peer.recv()) for peer in live]
        await server.close(within=0.3)
        assert loop.time() - before <= 0.3 + LATE
        for task in waiting:
            with pytest.raises(PeerClosed) as caught:
                await task
            assert caught.value.reason == "going-away"
        assert len(server.registry) == len(server._all) == len(server._tasks) == 0
        for _, writer in stopped:
            writer.close()
        with pytest.raises(ConnectionRefusedError):
            await connect_peer(HERE, live[0].transport.get_extra_info("peername")[1])
        await server.close()

    world.run(main())


@on_real_loops
def test_close_is_bounded_whatever_handlers_do(world):
    async def main():
        loop = asyncio.get_running_loop()
        release = asyncio.Event()

        async def sleeps(_):
            await asyncio.sleep(1000)

        async def defies(_):
            while not release.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await release.wait()

        try:
            for handler, complaints in ((sleeps, 0), (defies, 1)):
                server = await serve_peers(handler, HERE, 0)
                peer = await connect_peer(HERE, server.port)
                before = loop.time()
                await server.close(within=0.2)
                assert loop.time() - before <= 0.2 + 1.0 + LATE
                assert len(world.complaints) == complaints
                await peer.close()
                before = loop.time()
                await server.close(within=2)  # it is over: nobody is waited for again
                assert loop.time() - before <= LATE
        finally:
            release.set()

    world.complaints.clear()
    world.run(main(), complaints=1)
    world.complaints.clear()


@on_real_loops
def test_a_close_that_is_cancelled_still_ends_everything(world):
    async def main():
        async def sleeps(_):
            await asyncio.sleep(1000)

        server = await serve_peers(sleeps, HERE, 0)
        peer = await connect_peer(HERE, server.port)
        closing = asyncio.create_task(server.close(within=100))
        serving = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await serving
        assert not server._tasks
        with contextlib.suppress(PeerClosed):
            await peer.recv()
        await peer.close()

    world.run(main())


async def closing_server(handler, within):
    """Return a server that has begun to close, and a peer whose handler runs on."""
    running = asyncio.Event()

    async def handle(peer):
        running.set()
        await handler(peer)

    server = await serve_peers(handle, HERE, 0)
    peer = await connect_peer(HERE, server.port)
    await running.wait()
    closing = asyncio.create_task(server.close(within=within))
    await peer.wait_closed()  # it was told goodbye
    return server, peer, closing


@on_real_loops
def test_whoever_closes_a_server_that_is_being_closed_waits_for_its_end_too(world):
    async def main():
        release, through = asyncio.Event(), []

        async def takes_its_time(_):
            await release.wait()
            through.append(True)

        server, _, closing = await closing_server(takes_its_time, within=20)
        again = asyncio.create_task(server.close(within=20))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not again.done()
        release.set()
        await again
        assert through
        assert not server._tasks
        await closing

    world.run(main())


@on_real_loops
@pytest.mark.parametrize("cancelled", [False, True])
def test_who_has_less_patience_cuts_an_end_short_for_all(world, cancelled):
    async def main():
        async def sleeps(_):
            await asyncio.sleep(1000)

        loop = asyncio.get_running_loop()
        server, _, closing = await closing_server(sleeps, within=100)
        before = loop.time()
        again = asyncio.create_task(server.close(within=100 if cancelled else 0.1))
        await asyncio.sleep(0)
        if cancelled:
            again.cancel()
        await asyncio.wait([again])
        assert again.cancelled() is cancelled
        await closing
        assert loop.time() - before <= 0.1 + LATE
        assert not server._tasks

    world.run(main())


@on_real_loops
def test_handlers_that_close_their_server_do_not_wait_for_each_other(world):
    async def main():
        running, now = asyncio.Semaphore(0), asyncio.Event()
        closed: list[Any] = []

        async def handle(peer):
            running.release()
            await now.wait()
            await server.close(within=20)
            closed.append(peer)

        server = await serve_peers(handle, HERE, 0)
        peers = [await connect_peer(HERE, server.port) for _ in range(3)]
        for _ in peers:
            await running.acquire()
        before = asyncio.get_running_loop().time()
        now.set()
        await server.close(within=20)
        for peer in peers:
            await peer.wait_closed()
        assert asyncio.get_running_loop().time() - before < 10
        while len(closed) < len(peers):
            await asyncio.sleep(0)

    world.run(main())


@on_real_loops
@pytest.mark.parametrize("nested", [False, True])
def test_a_handler_can_close_its_server_and_whoever_waits_for_that_is_told(
    world, nested
):
    async def main():
        closed = asyncio.Event()

        async def close():
            await server.close(within=0.2)
            closed.set()

        async def handle(peer):
            assert await peer.recv() == b"shut down"
            # One that waits for another task is waited for, and cut off at last.
            await (asyncio.create_task(close()) if nested else close())

        server = await serve_peers(handle, HERE, 0)
        peer = await connect_peer(HERE, server.port)
        await peer.send(b"shut down")
        await server.serve_forever()
        await peer.wait_closed()
        assert isinstance(peer.error, PeerClosed)
        assert peer.error.reason == "going-away"
        assert closed.is_set() is not nested

    world.run(main())
