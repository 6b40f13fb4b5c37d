"""Calls of a coroutine: those that would make its event loop wait are refused."""

import asyncio
import socket

import pytest
from tests.sync.stories import QUICK, WAIT, Doing

from deadpeer.core.states import State
from deadpeer.errors import LocalProtocolError, PeerClosed
from deadpeer.sync import connect_peer, guard, reconnecting, serve_peers

HOST = "127.0.0.1"


def enter(thing):
    with thing:
        pass


@pytest.mark.parametrize(
    "call",
    [
        lambda server, _: connect_peer(HOST, server.port),
        lambda server, _: next(iter(reconnecting(HOST, server.port))),
        lambda *_: serve_peers(None, HOST, 0),
        lambda server, _: server.serve_forever(),
        lambda server, _: server.close(),
        lambda server, _: enter(server),
        lambda _, peer: peer.send(b""),
        lambda _, peer: peer.recv(),
        lambda _, peer: peer.recv(1),
        lambda _, peer: next(peer),
        lambda _, peer: next(peer.changes()),
        lambda _, peer: peer.wait_dead(),
        lambda _, peer: peer.wait_closed(),
        lambda _, peer: peer.close(),
        lambda _, peer: enter(peer),
    ],
)
def test_what_waits_is_refused_and_says_where_to_go(server, peer, call):
    async def main():
        with pytest.raises(LocalProtocolError, match=r"deadpeer\.aio") as refused:
            call(server, peer)
        assert refused.value.breach == "blocks-a-loop"

    asyncio.run(main())
    peer.send(b"it stands")
    assert peer.recv(WAIT) == b"it stands"


def test_what_does_not_wait_is_there_and_a_thread_may_wait(server, peer):
    async def main():
        with pytest.raises(TimeoutError):
            peer.recv(0)
        assert peer.send_nowait(b"hello")
        assert peer.stats().state is State.ALIVE
        assert len(server.registry) == 1
        assert await asyncio.to_thread(peer.recv, WAIT) == b"hello"
        peer.abort()
        await asyncio.to_thread(peer.wait_closed, WAIT)

    asyncio.run(main())
    assert isinstance(peer.error, PeerClosed)


def test_a_guard_is_started_and_stopped_by_a_coroutine_and_waited_for_by_none():
    async def main():
        near, far = socket.socketpair()
        with near, far, guard(near, send_ping=print, heartbeat=QUICK) as guarded:
            assert guarded.state is State.ALIVE
            with pytest.raises(LocalProtocolError):
                guarded.wait_dead(WAIT)

    asyncio.run(main())


def test_a_loop_on_another_thread_is_no_obstacle(peer):
    over = asyncio.Event()
    loop = asyncio.new_event_loop()

    async def main():
        await over.wait()

    running = Doing(loop.run_until_complete, main())
    peer.send(b"hello")
    assert peer.recv(WAIT) == b"hello"
    loop.call_soon_threadsafe(over.set)
    running.outcome()
    loop.close()
