"""Where to connect or listen: one place, each mistake told at once, in our own words."""

import socket
import ssl

import pytest
from tests.aio.worlds import on_real_loops, socket_pair

from deadpeer import sync
from deadpeer.aio import connect_peer, reconnecting, serve_peers
from deadpeer.errors import ConfigError, UnsupportedError

HERE = "127.0.0.1"


async def stands(peer):
    await peer.wait_closed()


@pytest.mark.parametrize("connect", [connect_peer, sync.connect_peer])
def test_two_places_to_connect_to_are_refused_and_neither_is_tried(connect):
    ours, theirs = socket_pair()
    with ours, theirs:
        for places in (
            {"host": HERE, "port": 7, "path": "nowhere.sock"},
            {"port": 7, "path": "nowhere.sock"},
            {"host": HERE, "port": 7, "sock": ours},
            {"path": "nowhere.sock", "sock": ours},
        ):
            with pytest.raises(ConfigError, match="more than one place"):
                connect(**places)


@pytest.mark.parametrize("serve", [serve_peers, sync.serve_peers])
def test_two_places_to_listen_at_are_refused_and_neither_is_taken(serve, tmp_path):
    path = tmp_path / "s"
    with socket.create_server((HERE, 0)) as own:
        for places in ({"path": path}, {"sock": own}):
            with pytest.raises(ConfigError, match="more than one place"):
                serve(None, HERE, 0, on_message=print, **places)
    assert not path.exists()


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda: connect_peer(HERE, 7, hearbeat=3), "did you mean heartbeat"),
        (lambda: reconnecting(HERE, 7, hearbeat=3), "did you mean heartbeat"),
        (lambda: serve_peers(None, HERE, 0, backlogs=3), "did you mean backlog"),
        (lambda: connect_peer(HERE, 7, qqq=3), "are family, proto, flags, sock"),
        (lambda: connect_peer(path="nowhere.sock", family=2), "are sock, ssl_shutdown"),
        (lambda: serve_peers(None, HERE, 0, start_serving=False), "own are family"),
    ],
)
def test_an_argument_that_does_not_exist_is_told_at_once_with_what_was_meant(
    call, hint
):
    with pytest.raises(ConfigError, match="there is no argument") as refused:
        call()
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"host": 5, "port": 7}, "address"),
        ({"host": HERE, "port": 7.5}, "port"),
        ({"host": HERE, "port": True}, "port"),
        ({"host": HERE, "port": "99999"}, "address"),
        ({"path": 5}, "path"),
        ({"sock": 5}, "sock"),
        ({"host": HERE, "port": 7, "ssl": "x"}, "ssl"),
        ({"host": HERE, "port": 7, "server_hostname": "x"}, "server_hostname"),
        ({"path": "nowhere.sock", "ssl": True}, "server_hostname"),
        ({"host": HERE, "port": 7, "ssl": True, "server_hostname": 5}, "server_hostn"),
    ],
)
def test_a_place_that_cannot_be_is_refused_where_it_is_handed_in(given, field):
    with pytest.raises(ConfigError) as refused:
        connect_peer(**given)
    assert refused.value.field.startswith(field)


def test_a_socket_that_cannot_be_used_is_told_why():
    closed = socket.socket()
    closed.close()
    with (
        socket.socket() as fresh,
        socket.socket(type=socket.SOCK_DGRAM) as datagrams,
    ):
        for own, why in (
            (closed, "is closed"),
            (fresh, "is not connected"),
            (datagrams, "is no stream socket"),
        ):
            with pytest.raises(ConfigError, match=why):
                connect_peer(sock=own)


@pytest.mark.parametrize("given", ["x", True, 5])
def test_a_server_wants_a_context_for_tls(given):
    with pytest.raises(ConfigError, match="is no SSL context"):
        serve_peers(None, HERE, 0, ssl=given)
    serve_peers(None, HERE, 0, ssl=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))


@on_real_loops
def test_what_the_loop_says_of_a_value_is_our_error(world):
    async def main():
        for wrong in ({"family": "x"}, {"local_addr": 5}):
            with pytest.raises(ConfigError, match="the event loop takes no such"):
                await connect_peer(HERE, 7, **wrong)
        with pytest.raises(ConfigError, match="cannot be the name of a host"):
            await connect_peer("a" * 70 + ".example", 7)
        with pytest.raises(ConfigError, match="the event loop takes no such"):
            await serve_peers(None, HERE, 0, family="x")

    world.run(main())


@on_real_loops
def test_a_keyword_that_only_asyncios_loop_has_is_named_on_another(world):
    async def main():
        async with serve_peers(stands, HERE, 0) as server:
            racing = connect_peer(HERE, server.port, happy_eyeballs_delay=0.25)
            if world.name == "asyncio":
                async with racing as peer:
                    assert peer.peer
                return
            with pytest.raises(UnsupportedError, match="happy_eyeballs_delay"):
                await racing

    world.run(main())
