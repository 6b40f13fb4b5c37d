"""A server: its handlers, who is online, and an end that is bounded."""

# ruff: noqa: ASYNC110 - a socket that has arrived tells nobody

import asyncio
from typing import Any

import pytest
from tests.aio.worlds import SLACK, on_real_loops

from deadpeer.aio import connect_peer, serve_peers
from deadpeer.core.conversation import Conversation
from deadpeer.core.hello import Hello
from deadpeer.core.limits import Limits
from deadpeer.core.states import State
from deadpeer.errors import ConfigError, LocalProtocolError, PeerClosed
from deadpeer.policy.heartbeat import Heartbeat

HERE = "127.0.0.1"
LATE = 0.5  # seconds that a busy machine may add to a bound


async def echo(peer):
    async for message in peer:
        await peer.send(message)


def name_of(transport):
    host, port = transport.get_extra_info("sockname")
    return f"{host}:{port}"


async def silent(port, says=None):
    """Connect as a peer that greets (or says something else) and then does nothing."""
    reader, writer = await asyncio.open_connection(HERE, port)
    hello = Hello(time_to_live=0.1, answers_pings=True)
    greeting = Conversation(hello, Limits(), now=0.0).greeting()
    writer.write(greeting if says is None else says)
    return reader, writer


@on_real_loops
def test_the_registry_knows_who_is_online_since_when_and_how_far(world):
    async def main():
        quick = Heartbeat(interval=0.1, timeout=1.0)
        async with serve_peers(echo, HERE, 0, heartbeat=quick) as server:
            news: Any = server.changes()
            assert len(server.registry) == 0
            one = await connect_peer(HERE, server.port)
            two = await connect_peer(HERE, server.port)
            peers = [(await anext(news))[0] for _ in range(2)]
            assert list(server.registry) == peers
            assert all(peer in server.registry for peer in peers)
            while any(peer.rtt is None for peer in peers):
                await asyncio.sleep(0.01)
            for stats, end in zip(server.registry.snapshot(), (one, two), strict=True):
                assert stats.peer == name_of(end.transport)
                assert stats.state is State.ALIVE
                assert 0.1 <= stats.connected_for < 10
                assert 0 <= stats.silence < 1
                assert stats.rtt
                assert stats.rtt.smallest < 1
            await one.close(200)
            peer, left = await anext(news)
            assert (peer, left.reason) == (peers[0], "application-200")
            assert list(server.registry) == peers[1:]
            await two.close()

    world.run(main())


@on_real_loops
def test_online_suspect_and_offline_are_told_with_the_reason(world):
    async def main():
        told = []
        over = asyncio.Event()

        def tell(peer, change):
            told.append((type(change).__name__, getattr(change, "reason", None)))
            if told[-1][0] == "Died":
                assert peer not in server.registry
                over.set()

        server = await serve_peers(
            echo,
            HERE,
            0,
            heartbeat=Heartbeat(interval=0.2, timeout=0.4),
            on_change=tell,
        )
        async with server:
            _, writer = await silent(server.port)
            await over.wait()
            writer.close()
        assert [name for name, _ in told] == ["Online", "Suspected", "Died"]
        assert told[-1][1] == "silent"

    world.run(main())


@on_real_loops
def test_a_handler_that_fails_is_reported_and_ends_its_own_connection_alone(world):
    async def main():
        async def handler(peer):
            async for message in peer:
                if message == b"bad":
                    raise ValueError(message)
                await peer.send(message)

        async with serve_peers(handler, HERE, 0) as server:
            good = await connect_peer(HERE, server.port)
            async with connect_peer(HERE, server.port) as bad:
                await bad.send(b"bad")
                with pytest.raises(PeerClosed):
                    await bad.recv()
            await good.send(b"still here")
            assert await good.recv() == b"still here"
            await good.close()
        (complaint,) = world.complaints
        assert isinstance(complaint["exception"], ValueError)

    world.complaints.clear()
    world.run(main(), complaints=1)
    world.complaints.clear()


@on_real_loops
def test_the_end_of_its_own_peer_is_no_fault_of_a_handler_but_anothers_is(world):
    async def main():
        met = []

        async def relay(peer):
            met.append(peer)
            async with asyncio.TaskGroup() as group:  # which makes groups of errors
                group.create_task(pass_on(peer))

        async def pass_on(peer):
            while True:
                message = await peer.recv()
                await met[0].send(message)

        async with serve_peers(relay, HERE, 0) as server:
            one = await connect_peer(HERE, server.port)
            two = await connect_peer(HERE, server.port)
            await one.close()
            await met[0].wait_closed()
            assert world.complaints == []
            await two.send(b"to one")
            with pytest.raises(PeerClosed):
                await two.recv()
            assert len(world.complaints) == 1
            await two.close()

    world.complaints.clear()
    world.run(main(), complaints=1)
    world.complaints.clear()


@on_real_loops
def test_a_server_that_was_awaited_can_be_a_block_and_is_not_used_twice(world):
    async def main():
        server = await serve_peers(echo, HERE, 0)
        port = server.port
        async with server as same:
            assert same is server
            assert server.port == port
            with pytest.raises(ConfigError, match="within"):
                await server.close(within=-1)
            async with connect_peer(HERE, port) as peer:
                await peer.send(b"hello")
                assert await peer.recv() == b"hello"
        assert server.port == 0
        assert [news async for news in server.changes()] == []
        with pytest.raises(LocalProtocolError, match="was closed"):
            await server

    world.run(main())


@on_real_loops
def test_a_server_that_was_not_started_says_so(world):
    async def main():
        server = serve_peers(echo, HERE, 0)
        for ask in (lambda: server.port, lambda: server.sockets):
            with pytest.raises(LocalProtocolError, match="was not started"):
                ask()
        with pytest.raises(LocalProtocolError, match="was not started"):
            await server.serve_forever()
        await server.close()
        await server.serve_forever()
        assert server.port == 0

    world.run(main())


@on_real_loops
def test_a_server_is_started_once_and_not_at_all_if_it_was_closed_meanwhile(world):
    async def main():
        async def started(server):
            return await server

        server = serve_peers(echo, HERE, 0)
        both = await asyncio.gather(started(server), started(server))
        assert list(both) == [server, server]
        port = server.port
        await server.close()
        with pytest.raises(ConnectionRefusedError):
            await connect_peer(HERE, port)
        server = serve_peers(echo, HERE, 0)
        starting = asyncio.create_task(started(server))
        await asyncio.sleep(0)
        await server.close()
        with pytest.raises(LocalProtocolError, match="was closed"):
            await starting

    world.run(main())


@on_real_loops
def test_messages_can_go_to_a_callback_instead(world):
    async def main():
        def answer(peer, message):
            peer.send_nowait(message.upper())

        async with (
            serve_peers(None, HERE, 0, on_message=answer) as server,
            connect_peer(HERE, server.port) as peer,
        ):
            await peer.send(b"hello")
            assert await peer.recv() == b"HELLO"

    world.run(main())


@on_real_loops
def test_a_blocked_loop_kills_nobody_and_the_stopped_peer_is_found(world):
    """The real thing in small: pings in flight while the server sleeps in a callback."""

    async def main():
        import time

        loop = asyncio.get_running_loop()
        heartbeat = Heartbeat(interval=0.3, timeout=0.3)
        died = {}

        def note(peer, change):
            if type(change).__name__ == "Died":
                died[peer.peer] = loop.time()

        async with serve_peers(
            echo, HERE, 0, heartbeat=heartbeat, on_change=note
        ) as server:
            live = [await connect_peer(HERE, server.port) for _ in range(20)]
            for _ in range(3):
                await asyncio.sleep(0.31)
                time.sleep(0.7)  # noqa: ASYNC251 - on purpose
            assert died == {}
            _, writer = await silent(server.port)
            name = name_of(writer)
            cut_at = loop.time()
            while not died:
                await asyncio.sleep(0.01)
            assert list(died) == [name]
            assert died[name] - cut_at <= heartbeat.detection + 2 * SLACK + LATE
            for peer in live:
                assert peer.state is State.ALIVE
                await peer.close()
            writer.close()

    world.run(main())
