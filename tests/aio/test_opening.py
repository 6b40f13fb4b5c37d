"""Connecting to a peer: TCP, TLS, Unix, IPv6, and everything that may be there instead."""


# ruff: noqa: ASYNC110 - a socket that has arrived tells nobody

import asyncio
import contextlib
import socket
import sys
import time
from typing import Any

import pytest
from tests.aio.worlds import (
    QUICK,
    on_real_loops,
    opened_alive,
    settings_of,
    socket_pair,
)

import deadpeer
from deadpeer.aio import connect_peer, serve_peers
from deadpeer.aio.connection import Connection
from deadpeer.core.conversation import Conversation
from deadpeer.core.events import Reason
from deadpeer.core.hello import Hello
from deadpeer.core.limits import Limits
from deadpeer.core.states import State
from deadpeer.errors import (
    ConfigError,
    PeerClosed,
    PeerReset,
    PeerTimedOut,
    RemoteProtocolError,
)
from deadpeer.policy.heartbeat import Heartbeat

HERE = "127.0.0.1"
linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads Linux's options"
)


async def echo(peer):
    async for message in peer:
        await peer.send(message)


@contextlib.asynccontextmanager
async def somebody(says=b"", *, hangs_up=False):
    """Listen, and be no peer of ours."""

    async def answer(reader, writer):
        with contextlib.suppress(ConnectionError):
            writer.write(says)
            while not hangs_up and await reader.read(1000):
                pass
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(answer, HERE, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@on_real_loops
def test_awaited_or_as_a_block_a_connection_is_there(world):
    async def main():
        async with serve_peers(echo, HERE, 0) as server:
            async with connect_peer(HERE, server.port) as peer:
                assert str(peer.state) == State.ALIVE
                await peer.send(b"hello")
                assert await peer.recv() == b"hello"
            assert peer.state is State.CLOSED
            again = await connect_peer(HERE, server.port)
            assert again.peer == f"{HERE}:{server.port}"
            await again.close()

    world.run(main())


@on_real_loops
def test_a_unix_socket(world, tmp_path):
    async def main():
        path = str(tmp_path / "s")
        async with (
            serve_peers(echo, path=path) as server,
            connect_peer(path=path) as peer,
        ):
            assert (server.port, peer.peer) == (0, "")
            await peer.send(b"hello")
            assert await peer.recv() == b"hello"

    world.run(main())


@on_real_loops
def test_ipv6(world):
    async def main():
        async with (
            serve_peers(echo, "::1", 0) as server,
            connect_peer("::1", server.port) as peer,
        ):
            await peer.send(b"hello")
            assert await peer.recv() == b"hello"

    world.run(main())


@on_real_loops
def test_a_socket_of_ones_own(world):
    async def main():
        ours, theirs = socket_pair()
        loop = asyncio.get_running_loop()
        _, far = await loop.create_connection(
            lambda: Connection(settings_of()), sock=theirs
        )
        async with connect_peer(sock=ours, heartbeat=QUICK) as peer:
            await peer.send(b"hello")
            assert await far.recv() == b"hello"
        await far.wait_closed()

    world.run(main())


@on_real_loops
@pytest.mark.parametrize(
    ("says", "breach"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "spoke-http"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "wrong-magic"),
        (b"\x15\x03\x01\x00\x02\x02\x28", "spoke-tls"),
    ],
)
def test_whoever_else_listens_there_is_named(world, says, breach):
    async def main():
        async with somebody(says) as port:
            with pytest.raises(RemoteProtocolError, match="right port") as caught:
                await connect_peer(HERE, port)
            assert caught.value.breach == breach
            assert caught.value.peer == f"{HERE}:{port}"

    world.run(main())


@on_real_loops
def test_a_web_browser_on_our_port_is_named_and_told_goodbye(world):
    async def main():
        ended: Any = asyncio.Queue()
        async with serve_peers(
            echo, HERE, 0, on_change=lambda *news: ended.put_nowait(news)
        ) as server:
            reader, writer = await asyncio.open_connection(HERE, server.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            peer, died = await ended.get()
            assert peer.error.breach == "spoke-http"
            assert died.reason is Reason.PROTOCOL_VIOLATED
            assert (await reader.read()).endswith(b"spoke-http")
            assert len(server.registry) == 0
            writer.close()

    world.run(main())


@on_real_loops
def test_a_greeting_that_came_while_this_loop_was_blocked_counts(world):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket_pair()
        with theirs:
            connecting = connect_peer(sock=ours, within=0.5, safety_net=False)
            opening = asyncio.ensure_future(opened_alive(connecting))
            await loop.sock_recv(theirs, 1000)
            for _ in range(5):
                await asyncio.sleep(0)  # until it waits for the greeting
            theirs.send(Conversation(Hello(), Limits(), now=0.0).greeting())
            time.sleep(0.6)  # noqa: ASYNC251 - what is tested
            await opening

    world.run(main())


@on_real_loops
def test_who_listens_and_says_nothing_is_given_up_in_time(world):
    async def main():
        loop = asyncio.get_running_loop()
        async with somebody() as port:
            began = loop.time()
            with pytest.raises(
                PeerTimedOut,
                match=f"{port} is connected, and did not greet within 0.2 s",
            ):
                await connect_peer(HERE, port, within=0.2)
            # A difference of two instants rounds, and uvloop counts milliseconds.
            assert 0.199 <= loop.time() - began < 1.2

    world.run(main())


@on_real_loops
def test_who_hangs_up_is_told_as_such(world):
    async def main():
        async with somebody(hangs_up=True) as port:
            with pytest.raises((PeerClosed, PeerReset)):
                await connect_peer(HERE, port)

    world.run(main())


@on_real_loops
def test_nobody_listening_is_a_refused_connection(world):
    async def main():
        with socket.create_server((HERE, 0)) as server:
            port = server.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            await connect_peer(HERE, port)
        with pytest.raises(FileNotFoundError):
            await connect_peer(path="/nowhere/at/all")

    world.run(main())


@on_real_loops
def test_a_heartbeat_that_cannot_be_agreed_is_refused_on_both_sides(world):
    async def main():
        strict = Limits(longest_patience=5.0)
        patient = Heartbeat(interval=100, timeout=100)
        async with serve_peers(echo, HERE, 0, heartbeat=QUICK, limits=strict) as server:
            with pytest.raises(PeerClosed) as caught:
                async with connect_peer(HERE, server.port, heartbeat=patient) as peer:
                    await peer.recv()
            assert caught.value.reason == "unacceptable"
        async with serve_peers(echo, HERE, 0, heartbeat=patient) as server:
            with pytest.raises(RemoteProtocolError) as refused:
                await connect_peer(HERE, server.port, heartbeat=QUICK, limits=strict)
            assert refused.value.breach == "unacceptable-heartbeat"

    world.run(main())


@on_real_loops
@pytest.mark.parametrize("turns", range(0, 40, 2))
def test_connecting_that_is_cancelled_anywhere_leaves_nothing(world, turns):
    async def main():
        async with serve_peers(echo, HERE, 0) as server:

            async def connects():
                return await connect_peer(HERE, server.port)

            connecting = asyncio.create_task(connects())
            for _ in range(turns):
                await asyncio.sleep(0)
            if connecting.done():
                await connecting.result().close()
            else:
                connecting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await connecting
            while server._all:
                await asyncio.sleep(0)

    world.run(main())


def test_without_an_address_nothing_is_tried():
    for wrong in ({}, {"host": HERE}, {"port": 7}):
        with pytest.raises(ConfigError, match="neither host and port"):
            connect_peer(**wrong)
    with pytest.raises(ConfigError, match="within"):
        connect_peer(HERE, 7, within=-1)


@linux
@on_real_loops
def test_the_safety_net_is_beneath_and_has_no_user_timeout(world):
    async def main():
        async with (
            serve_peers(echo, HERE, 0, heartbeat=QUICK) as server,
            connect_peer(HERE, server.port, heartbeat=QUICK) as peer,
        ):
            (there,) = server.registry
            for end in (peer, there):
                found = deadpeer.inspect(end.transport).keepalive
                assert (found.on, found.idle, found.interval) == (True, 10, 4)
                assert not found.user_timeout, "it would end a live peer that is slow"
        async with (
            serve_peers(echo, HERE, 0, safety_net=False) as server,
            connect_peer(HERE, server.port, safety_net=False) as peer,
        ):
            sock = peer.transport.get_extra_info("socket")
            assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    world.run(main())


@linux
@on_real_loops
def test_a_peer_that_was_granted_more_patience_has_no_net_that_cuts_it_short(world):
    async def main():
        async with (
            serve_peers(echo, HERE, 0, heartbeat=QUICK) as server,
            connect_peer(
                HERE, server.port, heartbeat=Heartbeat(interval=60, timeout=60)
            ) as peer,
        ):
            (there,) = server.registry
            assert there.heartbeat.detection == 60
            assert deadpeer.inspect(there.transport).keepalive.idle == 60
            await peer.send(b".")

    world.run(main())


@on_real_loops
def test_what_a_peer_says_before_it_leaves_is_had_by_who_connected(world):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket_pair()
        talk = Conversation(Hello(), Limits(), now=0.0)
        said = talk.greeting()
        talk.receive(Conversation(Hello(), Limits(), now=0.0).greeting(), now=0.0)
        said += b"".join(talk.fragments(b"we are full")) + talk.goodbye(4)
        await loop.sock_sendall(theirs, said)
        peer: Any = await connect_peer(sock=ours)
        assert [message async for message in peer] == [b"we are full"]
        assert peer.error.reason == "overloaded"
        await peer.wait_closed()
        theirs.close()

    world.run(main())
