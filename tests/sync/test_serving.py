"""A server with a thread for each peer, and who is online."""

import asyncio
import queue
import threading
import time
from typing import Any

import pytest
from tests.sync.stories import QUICK, WAIT, Doing, wait_until

from deadpeer.core.events import Closed, Online
from deadpeer.errors import ConfigError, LocalProtocolError, PeerClosed
from deadpeer.sync import connect_peer, serve_peers
from deadpeer.sync.background import background

HOST = "127.0.0.1"


def wait_closed(peer):
    peer.wait_closed()


def test_each_peer_has_a_thread_and_its_session():
    names = []

    def handler(peer):
        peer.session = peer.recv(WAIT)
        names.append(threading.current_thread())
        peer.send(b"you are " + peer.session)
        peer.wait_closed()

    with serve_peers(handler, HOST, 0, heartbeat=QUICK) as server:
        peers = [connect_peer(HOST, server.port) for _ in range(5)]
        for number, peer in enumerate(peers):
            peer.send(b"%d" % number)
        assert [peer.recv(WAIT) for peer in peers] == [
            b"you are %d" % n for n in range(5)
        ]
        assert len(server.registry) == 5
        assert {one.session for one in server.registry} == {b"%d" % n for n in range(5)}
        assert all(one in server.registry for one in server.registry)
        assert peers[0] not in server.registry
        assert [one.state for one in server.registry.snapshot()] == ["alive"] * 5
        for peer in peers:
            peer.close()
        wait_until(lambda: len(server.registry) == 0)
    assert len(set(names)) == 5
    for thread in names:
        thread.join(WAIT)
        assert thread.daemon
        assert not thread.is_alive()


def test_a_handler_that_fails_is_told_and_ends_its_peer_alone():
    told = []
    home = background()

    def handler(peer):
        if peer.recv() == b"fail":
            raise ValueError("a bug")
        peer.send(b"fine")

    home.ask(home.loop.set_exception_handler, lambda _, context: told.append(context))
    try:
        with (
            serve_peers(handler, HOST, 0) as server,
            connect_peer(HOST, server.port) as bad,
            connect_peer(HOST, server.port) as good,
        ):
            bad.send(b"fail")
            assert list(bad) == []
            good.send(b"hello")
            assert good.recv(WAIT) == b"fine"
    finally:
        home.ask(home.loop.set_exception_handler, None)
    assert [type(context["exception"]) for context in told] == [ValueError]


def test_close_says_goodbye_wakes_handlers_and_ends_serve_forever():
    server = serve_peers(wait_closed, HOST, 0)
    peer = connect_peer(HOST, server.port)
    forever = Doing(server.serve_forever)
    changes = server.changes()
    following = Doing(lambda: list(changes))
    server.close()
    forever.outcome()
    assert [type(change) for _, change in following.outcome()] == [Closed]
    peer.wait_closed(WAIT)
    assert isinstance(peer.error, PeerClosed)
    assert peer.error.reason == "going-away"
    with pytest.raises(ConnectionRefusedError):
        connect_peer(HOST, peer.peer.rpartition(":")[2])
    server.close()  # again is no error


def test_a_close_that_is_refused_closes_nothing():
    """It was forgotten: ``serve_forever`` ended, and the server went on."""
    refused: list[str] = []

    def on_message(peer, message):
        try:
            server.close()
        except LocalProtocolError as error:
            refused.append(error.breach)
        peer.send_nowait(message)

    with serve_peers(None, HOST, 0, on_message=on_message) as server:
        forever = Doing(server.serve_forever)
        with connect_peer(HOST, server.port) as peer:
            peer.send(b"close yourself")
            assert peer.recv(WAIT) == b"close yourself"
        with pytest.raises(ConfigError, match="within"):
            server.close(within=-1)
        assert server in background().servers
        assert forever.thread.is_alive()
        with connect_peer(HOST, server.port):
            pass
    forever.outcome()
    assert refused == ["waits-for-itself"]
    assert server not in background().servers


def test_a_handler_that_does_not_end_holds_a_close_up_for_as_long_as_it_may():
    gate = threading.Event()
    with (
        serve_peers(lambda _: gate.wait(WAIT), HOST, 0) as server,
        connect_peer(HOST, server.port) as peer,
    ):
        server.close(within=0.05)
        peer.wait_closed(WAIT)
    gate.set()


def test_changes_tell_whose_they_are():
    with serve_peers(None, HOST, 0) as server:
        changes = server.changes()
        with connect_peer(HOST, server.port):
            peer, change = next(changes)
            assert type(change) is Online
            assert [peer] == list(server.registry)
        other, change = next(changes)
        assert other is peer
        assert type(change) is Closed


def test_a_port_that_is_taken_is_an_error_of_the_call():
    with (
        serve_peers(None, HOST, 0) as server,
        pytest.raises(OSError, match="in use"),
    ):
        serve_peers(None, HOST, server.port)


def test_coroutine_functions_are_refused():
    async def handler(peer):
        pass

    for arguments in ({"handler": handler}, {"on_message": handler}):
        with pytest.raises(ConfigError, match="coroutine"):
            serve_peers(host=HOST, port=0, **arguments)


def test_handlers_that_close_their_server_are_not_waited_for_and_wait_for_its_end():
    def close(peer):
        with server:
            both.wait()
        closed.append(peer.error.reason)

    both = threading.Barrier(2)
    closed: list[str] = []
    server = serve_peers(close, HOST, 0)
    began = time.monotonic()
    peers = [connect_peer(HOST, server.port) for _ in range(2)]
    for peer in peers:
        peer.wait_closed(WAIT)
        assert isinstance(peer.error, PeerClosed)
        assert peer.error.reason == "going-away"
    server.serve_forever()
    wait_until(lambda: len(closed) == 2)
    assert time.monotonic() - began < 4, "less than a close may take"
    assert closed == ["going-away"] * 2


@pytest.mark.parametrize("fault", [ValueError("a bug"), None])
def test_what_a_handler_fails_of_behind_its_servers_end_is_told_too(fault):
    told: list[dict[str, Any]] = []
    home = background()

    def handler(peer):
        server.close(within=WAIT)
        if fault is not None:
            raise fault
        peer.recv()  # the end of its own peer is no fault

    home.ask(home.loop.set_exception_handler, lambda _, context: told.append(context))
    try:
        server = serve_peers(handler, HOST, 0)
        threads = set(threading.enumerate())
        with connect_peer(HOST, server.port) as peer:
            peer.wait_closed(WAIT)
        server.serve_forever()
        for thread in set(threading.enumerate()) - threads:
            thread.join(WAIT)
        home.ask(list)  # what the thread said last has arrived
    finally:
        home.ask(home.loop.set_exception_handler, None)
    assert [context["exception"] for context in told] == [fault] * (fault is not None)


def test_whatever_ends_a_handlers_thread_ends_its_peer(monkeypatch):
    def handler(_):
        raise asyncio.CancelledError

    told: queue.Queue[threading.ExceptHookArgs] = queue.Queue()
    monkeypatch.setattr(threading, "excepthook", told.put)
    with (
        serve_peers(handler, HOST, 0) as server,
        connect_peer(HOST, server.port) as peer,
    ):
        peer.wait_closed(WAIT)
        assert isinstance(peer.error, PeerClosed)
        assert told.get(timeout=WAIT).exc_type is asyncio.CancelledError
