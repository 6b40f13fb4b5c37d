"""A guard for threads in the hands of a program: mistakes, callbacks, and its end."""

import socket
import threading

import pytest
from tests.loopback import fill, listener
from tests.sync.stories import QUICK, WAIT, asking, wait_until

from deadpeer.core.states import State
from deadpeer.errors import ConfigError, LocalProtocolError, PeerReset, PeerSilent
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.sync import guard
from deadpeer.sync.background import background
from deadpeer.sync.plain_transport import PlainTransport


def test_a_failing_ping_is_told_and_the_judgement_goes_on(ends):
    near, _ = ends
    told = threading.Event()
    home = background()

    def listen(_loop, context):
        if "send_ping failed" in context["message"]:
            told.set()

    def ask(number):
        raise ValueError("a bug")

    home.ask(home.loop.set_exception_handler, listen)
    try:
        with (
            pytest.raises(PeerSilent),
            guard(near, send_ping=ask, heartbeat=QUICK),
        ):
            near.recv(1)
        assert told.is_set()
    finally:
        home.ask(home.loop.set_exception_handler, None)


def test_a_closed_socket_ends_the_guard_without_a_verdict(ends):
    near, _ = ends
    guarded = guard(near, send_ping=asking(near), heartbeat=QUICK)
    guarded.start()
    near.close()
    assert guarded.wait_dead(WAIT) is None
    assert guarded.state is State.CLOSED


def test_a_callback_may_stop_the_guard_and_close_the_socket(ends):
    near, _ = ends
    told = threading.Event()

    def on_dead(verdict):
        guarded.stop()
        near.close()
        told.set()

    guarded = guard(near, send_ping=asking(near), heartbeat=QUICK, on_dead=on_dead)
    guarded.start()
    assert isinstance(guarded.wait_dead(WAIT), PeerSilent)
    assert told.is_set()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({}, "send_ping"),
        ({"send_ping": lambda _: None, "connection": 7}, "connection"),
        ({"send_ping": lambda _: None, "connection": object()}, "connection"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(ends, arguments, field):
    with pytest.raises(ConfigError) as caught:
        guard(**{"connection": ends[0], **arguments})
    assert caught.value.field == field


def test_coroutine_functions_are_refused(ends):
    async def ask(number):
        pass

    with pytest.raises(ConfigError, match="coroutine"):
        guard(ends[0], send_ping=ask)


def test_a_guard_is_used_once(ends):
    near, _ = ends
    with guard(near, send_ping=asking(near)) as guarded:
        pass
    with pytest.raises(LocalProtocolError), guarded:
        pass


def test_a_guard_that_was_not_started_has_no_end_to_wait_for(ends):
    with pytest.raises(LocalProtocolError, match=r"start\(\) first"):
        guard(ends[0], send_ping=print).wait_dead(WAIT)


def unconnected():
    return socket.socket()


def closed():
    sock = socket.socket()
    sock.close()
    return sock


def bound():
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


def listening():
    return socket.create_server(("127.0.0.1", 0))


def without_a_peer():
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


@pytest.mark.parametrize(
    "make", [unconnected, closed, bound, listening, without_a_peer]
)
def test_a_socket_without_a_peer_is_refused(make):
    with make() as sock:
        with pytest.raises(ConfigError, match="never connected") as caught:
            guard(sock, send_ping=print)
        assert caught.value.field == "connection"


def test_a_listener_is_refused_even_when_somebody_waits_to_be_accepted():
    with (
        listener() as server,
        socket.create_connection(server.getsockname()),
        pytest.raises(ConfigError, match="what accept returns"),
    ):
        guard(server, send_ping=print)


def test_a_connection_that_was_reset_before_is_no_mistake_of_the_program(ends):
    """Whether the peer was quicker, or an error has been read already."""
    near, far = ends
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    far.close()
    wait_until(PlainTransport(near).is_gone)
    with pytest.raises(PeerReset), guard(near, send_ping=print):
        near.recv(1)
    guard(near, send_ping=print)


def test_a_ping_that_waits_for_room_is_left_waiting_when_the_guard_stops(ends):
    """Nobody can interrupt a call in a thread; its socket's owner can end it."""
    near, _ = ends
    fill(near)
    asked, over = threading.Event(), threading.Event()

    def ask(number):
        asked.set()
        try:
            near.sendall(b"p")
        finally:
            over.set()

    with guard(near, send_ping=ask, heartbeat=Heartbeat(interval=0.01, timeout=60)):
        assert asked.wait(WAIT)
    assert not over.is_set()
    near.shutdown(socket.SHUT_RDWR)
    assert over.wait(WAIT)
