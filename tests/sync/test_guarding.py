"""A guard over a plain socket, whose bytes are read and written by threads of the user's."""

# ruff: noqa: PT012 - a "with" around the story is the one statement

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from typing import Any

import pytest
from tests.loopback import fill, listener, pair
from tests.sync.stories import (
    QUICK,
    SLACK,
    WAIT,
    Doing,
    Late,
    asking,
    check_in_time,
    child,
    freeze,
    patient,
    wait_until,
)

from deadpeer.core.events import Died, Online, Reason, Recovered, Suspected
from deadpeer.core.states import State
from deadpeer.errors import PeerReset, PeerSilent
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.sync import guard
from deadpeer.sync.plain_transport import PlainTransport

ANSWERING = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as sock:
    while data := sock.recv(65536):
        sock.sendall(data)
"""


def verdict_of(guarded):
    assert guarded.verdict is not None
    return guarded.verdict


def answer_all(far):
    with contextlib.suppress(OSError):
        while data := far.recv(4096):
            far.sendall(b"a" * len(data))


def test_a_peer_that_answers_lives_and_its_distance_is_known(ends):
    near, far = ends
    answering = Doing(answer_all, far)
    answers: list[bytes] = []
    with guard(near, send_ping=asking(near), heartbeat=QUICK) as guarded:
        while len(answers) < 3:
            answers.append(near.recv(1))
            guarded.answered()
        wait_until(lambda: guarded.rtt is not None)
        assert guarded.state is State.ALIVE
        assert guarded.rtt is not None
        assert 0 < guarded.rtt.smallest < 0.3
        assert guarded.evidence().silence < QUICK.detection
    assert str(guarded.state) == State.CLOSED
    near.shutdown(socket.SHUT_WR)
    answering.outcome()


@patient
def test_a_reader_is_freed_at_the_verdict_of_a_silent_peer():
    with pair() as (near, _):
        seen: list[Any] = []
        with (
            pytest.raises(PeerSilent) as caught,
            guard(
                near, send_ping=asking(near), heartbeat=QUICK, on_change=seen.append
            ) as guarded,
        ):
            assert near.recv(1) == b""  # no error: an end of file is all that it gets
            woke_at = time.monotonic()
        check_in_time(caught.value)
        if woke_at - verdict_of(guarded).evidence.heard_at > QUICK.detection + SLACK:
            raise Late
        assert [type(one) for one in seen] == [Online, Suspected, Died]
        assert caught.value is guarded.verdict
        assert near.fileno() >= 0, "the socket is the user's to close"


@patient
def test_a_stopped_process_is_found_and_only_by_the_question():
    with listener() as server, child(ANSWERING, server.getsockname()[1]) as process:
        near, _ = server.accept()
        with (
            near,
            pytest.raises(PeerSilent) as caught,
            guard(near, send_ping=asking(near), heartbeat=QUICK) as guarded,
        ):
            near.recv(1)
            guarded.heard()
            freeze(process)
            while near.recv(4096):
                guarded.heard()
        check_in_time(caught.value)
        assert caught.value.evidence.covered, "its kernel lives"


@patient
def test_a_full_send_buffer_does_not_stop_the_clock_and_a_sender_is_freed():
    with pair() as (near, _):
        lock = threading.Lock()
        with (
            pytest.raises(PeerSilent) as caught,
            guard(near, send_ping=asking(near, lock), heartbeat=QUICK) as guarded,
            lock,
        ):
            while True:
                near.sendall(b"." * 1_000_000)
        # It wakes with a broken pipe, which the verdict replaces.
        assert isinstance(caught.value.__cause__, BrokenPipeError)
        check_in_time(caught.value)
        assert verdict_of(guarded).evidence.covered is False


@patient
def test_a_ping_that_is_blocked_itself_does_not_stop_the_clock():
    with pair() as (near, _):
        fill(near)
        asked = []

        def ask(number):
            asked.append(number)
            near.sendall(b"p")

        with (
            pytest.raises(PeerSilent) as caught,
            guard(near, send_ping=ask, heartbeat=QUICK),
        ):
            near.recv(1)
        assert asked == [1]
        check_in_time(caught.value)


@patient
def test_a_dozen_blocked_pings_do_not_keep_each_other_waiting():
    with contextlib.ExitStack() as stack:
        guards = []
        for _ in range(12):
            near, _ = stack.enter_context(pair())
            fill(near)
            one = guard(near, send_ping=asking(near), heartbeat=QUICK)
            guards.append(one)
        for one in guards:
            one.start()
        for one in guards:
            check_in_time(one.wait_dead(WAIT))


def test_bytes_that_a_busy_thread_has_not_read_are_life(ends):
    """The thread is busy for longer than the promise; the peer goes on talking."""
    near, far = ends
    seen: list[Any] = []
    stop = threading.Event()

    def talk():
        while not stop.wait(0.05):
            far.sendall(b".")

    talking = Doing(talk)
    with guard(
        near, send_ping=asking(near), heartbeat=QUICK, on_change=seen.append
    ) as guarded:
        with pytest.raises(TimeoutError):
            guarded.wait_dead(3 * QUICK.detection)
        assert guarded.state is State.ALIVE
    stop.set()
    talking.outcome()
    assert Died not in map(type, seen)


@patient
def test_bytes_that_came_before_the_death_do_not_hide_it():
    """Somebody who does not read still learns it: the kernel tells when they came."""
    with pair() as (near, far):
        far.sendall(b"the last words")
        with guard(
            near, send_ping=asking(near), heartbeat=QUICK, on_dead=lambda _: None
        ) as guarded:
            started_at = time.monotonic()
            verdict = guarded.wait_dead(WAIT)
        assert isinstance(verdict, PeerSilent)
        if time.monotonic() - started_at > QUICK.detection + SLACK:
            raise Late
        assert near.recv(100) == b"the last words"


def test_a_full_receive_buffer_is_our_fault_and_accuses_nobody(ends):
    near, far = ends
    fill(far)
    with guard(near, send_ping=asking(near), heartbeat=QUICK) as guarded:
        with pytest.raises(TimeoutError):
            guarded.wait_dead(2 * QUICK.detection)
        assert guarded.verdict is None


def test_where_nothing_is_known_unread_bytes_are_life():
    """A Unix socket: its kernel tells what waits, and not when it came."""
    near, far = socket.socketpair()
    with near, far:
        far.sendall(b".")
        guarded = guard(near, send_ping=lambda _: None, heartbeat=QUICK)
        guarded.start()
        with pytest.raises(TimeoutError):
            guarded.wait_dead(2 * QUICK.detection)
        assert near.recv(10) == b"."
        assert isinstance(guarded.wait_dead(WAIT), PeerSilent)


def test_heard_from_many_threads_is_life_and_their_end_is_found(ends):
    near, _ = ends
    stop = threading.Event()
    seen: list[Any] = []

    def hear(guarded):
        while not stop.is_set():
            guarded.heard()
            time.sleep(0.001)

    with (
        pytest.raises(PeerSilent),
        guard(
            near, send_ping=asking(near), heartbeat=QUICK, on_change=seen.append
        ) as guarded,
    ):
        threads = [Doing(hear, guarded) for _ in range(8)]
        with pytest.raises(TimeoutError):
            guarded.wait_dead(3 * QUICK.detection)
        stop.set()
        for one in threads:
            one.outcome()
        guarded.wait_dead(WAIT)
    assert [type(one) for one in seen] == [Online, Suspected, Died]


def test_a_suspicion_is_taken_back_as_soon_as_a_thread_hears(ends):
    near, _ = ends
    slow = Heartbeat(interval=0.05, timeout=60, suspect_after=0.05)
    with guard(near, send_ping=asking(near), heartbeat=slow) as guarded:
        for change in guarded.changes():
            if isinstance(change, Suspected):
                guarded.heard()
            if isinstance(change, Recovered):
                break
        assert isinstance(change, Recovered)
        assert change.lasted < 1
        assert guarded.state is State.ALIVE


def test_hearing_costs_a_store(ends):
    near, _ = ends
    with guard(near, send_ping=asking(near)) as guarded:
        best = min(_timed(guarded.heard) for _ in range(20))
    assert best < 5e-6  # seconds; a call to another thread takes ten times as long


def _timed(function):
    began = time.perf_counter()
    for _ in range(1000):
        function()
    return (time.perf_counter() - began) / 1000


def test_a_reset_that_the_ping_has_met_is_the_verdict(ends):
    """The kernel tells it once, and may tell it to the worker."""
    near, far = ends
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    far.close()
    wait_until(lambda: PlainTransport(near).is_gone())
    with guard(
        near, send_ping=asking(near), heartbeat=QUICK, on_dead=lambda _: None
    ) as guarded:
        verdict = guarded.wait_dead(WAIT)
    assert isinstance(verdict, PeerReset)


def test_a_reset_that_the_block_has_met_is_the_verdict(ends):
    near, far = ends
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with (
        pytest.raises(PeerReset) as caught,
        guard(near, send_ping=asking(near)) as guarded,
    ):
        far.close()
        near.recv(1)
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    assert verdict_of(guarded).evidence is not None


def test_an_error_of_another_connection_is_left_alone(ends):
    near, _ = ends
    with (
        pytest.raises(ConnectionResetError) as caught,
        guard(near, send_ping=asking(near)),
    ):
        raise ConnectionResetError(104, "the database's")
    assert not isinstance(caught.value, PeerReset)


def test_an_interrupt_in_the_block_stays_an_interrupt(ends):
    near, _ = ends
    with (
        pytest.raises(KeyboardInterrupt),
        guard(near, send_ping=asking(near), heartbeat=QUICK) as guarded,
    ):
        guarded.wait_dead(WAIT)
        raise KeyboardInterrupt


@patient
def test_beats_that_were_promised_are_judged_without_a_question():
    with pair() as (near, far):
        beats = Heartbeat(interval=0.2, timeout=0.2, one_way=True)
        with (
            pytest.raises(PeerSilent) as caught,
            guard(near, heartbeat=beats) as guarded,
        ):
            far.sendall(b".")
            near.recv(1)
            guarded.heard()
            near.recv(1)
        check_in_time(caught.value, beats)


def test_verdicts_name_their_peer_and_reason(ends):
    near, _ = ends
    seen: list[Any] = []
    guarded = guard(
        near, send_ping=asking(near), heartbeat=QUICK, on_change=seen.append
    )
    guarded.start()
    verdict = guarded.wait_dead(WAIT)
    assert verdict_of(guarded) is verdict
    assert verdict_of(guarded).peer.startswith("127.0.0.1:")
    assert seen[-1].reason is Reason.SILENT


@patient
def test_a_reader_of_tls_is_freed_too(tmp_path):
    with pair() as (near, far):
        server, client = contexts(tmp_path)
        greeting = Doing(lambda: server.wrap_socket(far, server_side=True))
        secure = client.wrap_socket(near, server_hostname="localhost")
        other = greeting.outcome()
        with (
            secure,
            other,
            pytest.raises(PeerSilent) as caught,
            guard(
                secure, send_ping=lambda _: secure.sendall(b"p"), heartbeat=QUICK
            ) as one,
        ):
            other.sendall(b"hello")
            assert secure.recv(5) == b"hello"
            one.heard()
            while secure.recv(100):
                one.heard()
        check_in_time(caught.value)


def contexts(folder):
    """Return contexts for both ends, with a certificate made for this test."""
    key, certificate = folder / "key", folder / "certificate"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    )
    about = "-subj /CN=localhost -days 2 -addext subjectAltName=DNS:localhost"
    subprocess.run(
        [*command.split(), "-keyout", key, "-out", certificate, *about.split()],
        check=True,
        capture_output=True,
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = ssl.create_default_context(cafile=str(certificate))
    return server, client
