"""What cannot work is refused where it is handed in, and the error says why."""

import socket

import pytest

from deadpeer import sync
from deadpeer.aio import connect_peer, guard, reconnecting, serve_peers, watch
from deadpeer.aio.arguments import require_callable, require_plain, require_port
from deadpeer.aio.handlers import awaited
from deadpeer.core.detectors import Chen
from deadpeer.core.detectors.two_window import TwoWindow
from deadpeer.errors import ConfigError, PeerSilent
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.testing import FakeLink, fake_streams, run

QUICK = Heartbeat(interval=1, timeout=1)


def ask(number):
    return number


async def plainly(peer):
    return peer


@pytest.mark.parametrize("callback", ["x", b"ping", 3])
def test_what_cannot_be_called_is_shown(callback):
    with pytest.raises(ConfigError, match="cannot be called") as refused:
        require_callable("send_ping", callback, "number")
    assert refused.value.field == "send_ping"
    assert "send_ping(number)" in refused.value.hint


@pytest.mark.parametrize("callback", [lambda: None, lambda one, two: None, object])
def test_a_function_that_takes_something_else_is_refused(callback):
    with pytest.raises(ConfigError, match=r"as on_dead\(verdict\)"):
        require_plain("on_dead", callback, "verdict")


@pytest.mark.parametrize(
    "callback", [None, print, [].append, {}.update, lambda one, two=2: None, ask]
)
def test_whatever_takes_one_argument_will_do(callback):
    require_plain("on_dead", callback, "verdict")


@pytest.mark.parametrize("port", [-1, 65536, 99999])
def test_a_number_that_is_no_port_is_refused(port):
    with pytest.raises(ConfigError, match=f"port={port}"):
        connect_peer("127.0.0.1", port)
    with pytest.raises(ConfigError, match=f"port={port}"):
        serve_peers(plainly, "127.0.0.1", port)


def test_a_free_port_is_for_servers():
    require_port(0, lowest=0)
    require_port("http", lowest=1)
    with pytest.raises(ConfigError, match="port=0"):
        connect_peer("127.0.0.1", 0)


@pytest.mark.parametrize("value", [20, None, Heartbeat])
def test_seconds_are_no_heartbeat(value):
    async def main():
        (_, writer), _ = fake_streams(FakeLink())
        with pytest.raises(ConfigError, match="is no Heartbeat"):
            guard(writer, heartbeat=value, send_ping=ask)
        writer.transport.abort()

    run(main())
    with pytest.raises(ConfigError, match=r"within\(30\)"):
        connect_peer("127.0.0.1", 7000, heartbeat=value)
    with pytest.raises(ConfigError, match="is no Heartbeat"):
        serve_peers(plainly, "127.0.0.1", 0, heartbeat=value)
    with pytest.raises(ConfigError, match="is no Heartbeat"):
        sync.connect_peer("127.0.0.1", 7000, heartbeat=value)


def test_a_watch_names_the_argument_that_was_given():
    with socket.socket() as sock:
        with pytest.raises(ConfigError, match="within='3'"):
            watch(sock, within="3")
        with pytest.raises(ConfigError, match="heartbeat=3"):
            watch(sock, heartbeat=3)


@pytest.mark.parametrize("value", [3, "chen", Chen])
def test_the_class_of_a_detector_is_none(value):
    async def main():
        (_, writer), _ = fake_streams(FakeLink())
        with pytest.raises(ConfigError, match="is no detector") as refused:
            guard(writer, heartbeat=QUICK, send_ping=ask, detector=value)
        assert refused.value.field == "detector"
        guard(writer, send_ping=ask, detector=Chen(interval=1))
        writer.transport.abort()

    run(main())


def test_limits_are_limits():
    with pytest.raises(ConfigError, match="limits=3"):
        connect_peer("127.0.0.1", 7000, limits=3)


@pytest.mark.parametrize("wrong", [5, "chen", TwoWindow])
def test_a_detector_is_one_and_not_its_class(wrong):
    for call in (connect_peer, reconnecting):
        with pytest.raises(ConfigError, match="is no detector"):
            call("127.0.0.1", 7000, detector=wrong)
    with pytest.raises(ConfigError, match="is no detector"):
        serve_peers(plainly, "127.0.0.1", 0, detector=wrong)
    connect_peer("127.0.0.1", 7000, detector=TwoWindow(interval=1))


@pytest.mark.parametrize("connect", [reconnecting, sync.reconnecting])
def test_what_could_not_connect_again_is_refused_for_connecting_again(connect):
    with pytest.raises(ConfigError, match="backoff=5 is no Backoff"):
        connect("127.0.0.1", 7000, backoff=5)
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(ConfigError, match="connects once"):
        connect(sock=ours)


@pytest.mark.parametrize("serve", [serve_peers, sync.serve_peers])
def test_an_address_in_the_place_of_the_handler_is_refused(serve):
    with pytest.raises(ConfigError, match=r"handler='127\.0\.0\.1' cannot be called"):
        serve("127.0.0.1", 7000)


@pytest.mark.parametrize("serve", [serve_peers, sync.serve_peers])
def test_a_server_without_a_place_is_refused(serve):
    with pytest.raises(ConfigError, match="neither a port nor a path"):
        serve()


def test_what_nobody_would_await_is_refused_for_retries_too():
    async def on_retry(error, delay):
        return error, delay

    with pytest.raises(ConfigError, match="on_retry is a coroutine function"):
        reconnecting("127.0.0.1", 7000, on_retry=on_retry)


@pytest.mark.parametrize("number", ["7", b"7", 7.0])
def test_an_answer_with_text_for_a_number_is_refused_since_it_would_never_count(number):
    async def main():
        (_, writer), _ = fake_streams(FakeLink())
        async with guard(writer, heartbeat=QUICK, send_ping=ask) as guarded:
            with pytest.raises(ConfigError, match="sequence="):
                guarded.answered(number)
        writer.transport.abort()

    run(main())


def test_a_verdict_says_that_nobody_was_asked_if_the_question_failed():
    async def main():
        (_, writer), _ = fake_streams(FakeLink())

        def fails(number):
            raise ZeroDivisionError(number)

        async with guard(writer, heartbeat=QUICK, send_ping=fails) as guarded:
            await guarded.wait_dead()

    with pytest.raises(PeerSilent, match="not asked: send_ping failed: Zero") as told:
        run(main())
    assert told.value.hint


def test_a_question_that_failed_long_ago_is_not_brought_up():
    async def main():
        (_, writer), _ = fake_streams(FakeLink())
        asked = []

        def fails_once(number):
            asked.append(number)
            if len(asked) == 1:
                guarded.heard()
                raise ZeroDivisionError

        guarded = guard(writer, heartbeat=QUICK, send_ping=fails_once)
        async with guarded:
            await guarded.wait_dead()

    with pytest.raises(PeerSilent) as told:
        run(main())
    assert not told.value.hint


def test_a_plain_function_for_a_handler_is_told_so():
    def handler(peer):
        assert peer

    with pytest.raises(ConfigError, match="handler returned None") as refused:
        awaited(handler("somebody"))
    assert "async def" in refused.value.hint
