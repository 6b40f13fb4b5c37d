"""A watch over a socket that threads use: what wakes them, and what they are told."""

# ruff: noqa: PT012 - a "with" around the story is the one statement

import contextlib
import socket
import sys
import threading
from typing import Any

import pytest
from tests.cables import cable
from tests.loopback import listener, pair
from tests.sync.stories import (
    WAIT,
    Doing,
    check_not_late,
    child,
    freeze,
    patient,
    wait_until,
)

from deadpeer.core.events import Died, Online, Suspected
from deadpeer.core.states import State
from deadpeer.errors import (
    ConfigError,
    LocalProtocolError,
    NotTcp,
    PeerReset,
    PeerSilent,
    UnsupportedError,
)
from deadpeer.kernel.inspection import inspect
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.sync import watch

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads Linux's tcp_info"
)

# About as quick as the kernel probes, which counts in whole seconds.
QUICK = Heartbeat(interval=1.0, timeout=2.5)

# Connects, and does as it is told on its standard input.
PEER = """
import socket, sys
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
for line in sys.stdin:
    if line == "read\\n":
        print(len(sock.recv(100)), flush=True)
"""


@contextlib.contextmanager
def process():
    """Yield a connection to a process of our own, and that process."""
    with listener() as server, child(PEER, server.getsockname()[1]) as other:
        near, _ = server.accept()
        with near:
            yield near, other


@pytest.mark.netns
@pytest.mark.slow
@patient
def test_a_reader_is_freed_when_the_cable_was_cut():
    with cable() as (near, _, keeper):
        seen: list[Any] = []
        with (
            pytest.raises(PeerSilent) as caught,
            watch(near, heartbeat=QUICK, on_change=seen.append) as watching,
        ):
            assert inspect(near).keepalive.on
            assert watching.can_see_idle
            keeper.told("loopback(False)")
            assert near.recv(1) == b"", "an end of file is all that it gets"
        assert caught.value is watching.verdict
        assert [type(one) for one in seen] == [Online, Suspected, Died]
        assert caught.value.evidence.unanswered >= QUICK.timeout
        assert near.fileno() >= 0, "the socket is the user's to close"
        # Its probes count from the last acknowledgement, before the watch began.
        check_not_late(caught.value, QUICK)


@pytest.mark.netns
@pytest.mark.slow
def test_a_sender_is_freed_when_the_cable_was_cut():
    with cable() as (near, _, keeper):
        keeper.told("loopback(False)")
        with (
            pytest.raises(PeerSilent) as caught,
            watch(near, heartbeat=QUICK),
        ):
            while True:
                near.sendall(b"." * 1_000_000)
        assert isinstance(caught.value.__cause__, BrokenPipeError)


@pytest.mark.slow
def test_a_stopped_process_is_not_seen_since_its_kernel_answers():
    with (
        process() as (near, other),
        watch(near, heartbeat=QUICK) as watching,
    ):
        stopped_at = freeze(other)
        near.sendall(b".")
        with pytest.raises(TimeoutError):
            watching.wait_dead(QUICK.detection)
        assert watching.state is State.ALIVE
        assert watching.evidence().heard_at > stopped_at + 1, "the answer to a probe"


def test_a_killed_process_that_had_not_read_everything_has_reset_its_connection():
    with process() as (near, other):
        with (
            pytest.raises(PeerReset) as caught,
            watch(near, within=30) as watching,
        ):
            near.sendall(b".")
            other.kill()
            near.recv(1)
        assert isinstance(caught.value.__cause__, ConnectionResetError)
        assert watching.verdict is caught.value


def test_a_killed_process_that_had_read_everything_has_closed_its_connection():
    with process() as (near, other), watch(near, within=30) as watching:
        near.sendall(b".")
        other.stdin.write("read\n")
        other.stdin.flush()
        assert other.stdout.readline() == "1\n"
        other.kill()
        assert near.recv(1) == b""
        assert watching.verdict is None
    assert watching.wait_dead(WAIT) is None


def test_a_reset_that_nobody_reads_is_told_to_a_callback_and_to_who_waits():
    told: list[Any] = []
    threads = []

    def on_dead(verdict):
        threads.append(threading.current_thread().name)
        told.append(verdict)

    with process() as (near, other):
        with watch(near, heartbeat=QUICK, on_dead=on_dead) as watching:
            waiting = Doing(watching.wait_dead)
            near.sendall(b".")
            other.kill()
            verdict = waiting.outcome()
        assert isinstance(verdict, PeerReset)
        assert told == [verdict]
        assert threads == ["deadpeer background"]


def test_probes_are_turned_on_and_put_back_and_a_descriptor_will_do(ends):
    near, _ = ends
    unstarted = watch(near.fileno(), within=30)
    assert not inspect(near).keepalive.on
    with unstarted as watching:
        assert inspect(near).keepalive.on
        assert watching.heartbeat == Heartbeat.within(30)
        assert watching.state is State.ALIVE
    assert not inspect(near).keepalive.on
    assert str(watching.state) == State.CLOSED
    with watch(near, within=30, probe=False) as blind:
        assert not inspect(near).keepalive.on
        assert not blind.can_see_idle


def test_a_socket_that_its_owner_closes_is_no_death(ends):
    near, far = ends
    watching = watch(near, heartbeat=QUICK)
    watching.start()
    near.close()
    assert watching.wait_dead(WAIT) is None
    far.settimeout(WAIT)
    assert far.recv(1) == b"", "the watch has kept it open"


def test_changes_are_followed_by_a_loop_that_ends_with_the_watch(ends):
    watching = watch(ends[0], within=30)
    changes = watching.changes()
    following = Doing(lambda: [type(change).__name__ for change in changes])
    watching.start()
    wait_until(lambda: watching.state is State.ALIVE)
    watching.stop()
    assert following.outcome() == ["Online", "Closed"]


def test_a_watch_is_used_once(ends):
    with watch(ends[0], within=30) as watching, pytest.raises(LocalProtocolError):
        watching.start()
    with pytest.raises(LocalProtocolError), watching:
        pass


def test_what_cannot_be_watched_is_named_as_the_program_knows_it(ends):
    near, _ = ends
    with socket.socket() as alone, pytest.raises(UnsupportedError):
        watch(alone, within=30)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as letters,
        pytest.raises(NotTcp, match="this socket is a socket of SOCK_DGRAM"),
    ):
        watch(letters, within=30)
    with pytest.raises(NotTcp, match="this object is no socket"):
        watch(object(), within=30)
    with pytest.raises(ConfigError, match="either"):
        watch(near)
    assert not inspect(near).keepalive.on


def test_callbacks_that_nobody_could_call_are_refused_before_anything_is_set(ends):
    async def later(told):
        pass

    near, _ = ends
    with pytest.raises(ConfigError, match="coroutine") as refused:
        watch(near, within=30, on_dead=later)
    assert "deadpeer.aio" in refused.value.hint
    with pytest.raises(ConfigError, match="on_change=7"):
        watch(near, within=30, on_change=7)
    assert not inspect(near).keepalive.on


def test_an_error_of_another_connection_is_left_alone():
    with (
        pair() as (near, _),
        pytest.raises(ConnectionResetError) as caught,
        watch(near, within=30),
    ):
        raise ConnectionResetError(104, "the database's")
    assert not isinstance(caught.value, PeerReset)
