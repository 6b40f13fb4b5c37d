"""Connections for threads: messages, waits that end, many senders, verdicts."""

import signal
import ssl
import threading
import time

import pytest
from tests.sync.stories import (
    QUICK,
    SLACK,
    WAIT,
    Doing,
    Late,
    check_in_time,
    child,
    echo,
    freeze,
    patient,
    wait_until,
)

from deadpeer.core.events import Closed, Died, Online, Recovered, Suspected
from deadpeer.core.limits import Limits
from deadpeer.core.states import State
from deadpeer.errors import ConfigError, LocalProtocolError, PeerClosed, PeerSilent
from deadpeer.policy.backoff import Backoff
from deadpeer.sync import connect_peer, reconnecting, serve_peers

HOST = "127.0.0.1"


# A peer in a process of its own: it says where it listens, and echoes.
OTHER = """
import sys
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.sync import serve_peers

def handler(peer):
    if sys.argv[1] == "echo":
        for message in peer:
            peer.send(message)
    else:
        peer.wait_closed()  # reads nothing

with serve_peers(handler, "127.0.0.1", 0, heartbeat=Heartbeat(interval=0.3, timeout=0.3)) as server:
    print(server.port, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(request):
    """Yield a peer in a process of its own, and that process."""
    with child(OTHER, getattr(request, "param", "echo")) as process:
        port = int(process.stdout.readline())
        yield port, process
        process.send_signal(signal.SIGCONT)


def test_messages_come_back_in_their_order(peer):
    for number in range(100):
        peer.send(b"%d" % number)

    assert [peer.recv(WAIT) for _ in range(100)] == [b"%d" % n for n in range(100)]


def test_a_large_message_passes_in_both_directions(peer):
    peer.send(b"." * 900_000)

    assert peer.recv(WAIT) == b"." * 900_000


def test_many_threads_send_on_one_connection_and_nothing_is_torn_or_lost(peer):
    def send(letter):
        for number in range(50):
            peer.send(b"%c%d" % (letter, number) + b"." * 40_000)

    letters = b"abcdefgh"
    senders = [Doing(send, letter) for letter in letters]
    found: dict[int, list[int]] = {letter: [] for letter in letters}
    for _ in range(50 * len(letters)):
        message = peer.recv(WAIT).rstrip(b".")
        found[message[0]].append(int(message[1:]))
    for sender in senders:
        sender.outcome()
    assert found == {letter: list(range(50)) for letter in letters}


def test_a_recv_that_times_out_over_and_over_loses_nothing(peer):
    """Timeouts of every length beside messages that come all the time."""

    def send():
        for number in range(300):
            peer.send(b"%d" % number)

    sending = Doing(send)
    got: list[int] = []
    tries = 0
    while len(got) < 300:
        tries += 1
        try:
            got.append(int(peer.recv(timeout=(tries % 7) * 0.0002)))
        except TimeoutError:
            continue
    sending.outcome()
    assert got == list(range(300))
    assert tries > 300, "nothing has timed out"


def test_a_recv_of_no_patience_takes_what_is_there_and_does_not_wait(peer):
    with pytest.raises(TimeoutError):
        peer.recv(0)
    peer.send(b"here")
    wait_until(lambda: peer.stats().unread_messages)
    assert peer.recv(0) == b"here"


INTERRUPTED = """
import os, signal, sys
from deadpeer.sync import Connection, connect_peer

RECV = Connection.recv.__code__
interrupts, came = 0, True

def interrupt(number, frame):
    global interrupts, came
    came = True
    while frame is not None and frame.f_code is not RECV:
        frame = frame.f_back
    if frame is not None:  # after recv, nobody can help any more
        interrupts += 1
        raise KeyboardInterrupt

signal.signal(signal.SIGINT, interrupt)
with connect_peer("127.0.0.1", int(sys.argv[1])) as peer:
    got, sent = [], 0
    while interrupts < 20 or len(got) < sent:
        if came:
            came = False
            os.write(1, b"!")  # the next one, please
        if interrupts < 20 and peer.send_nowait(b"%d" % sent):
            sent += 1
        try:
            got.append(int(peer.recv()))
        except KeyboardInterrupt:
            pass
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert got == list(range(sent)), got
    os.write(1, b".")
"""


def test_interrupts_while_waiting_lose_nothing(other):
    """Ctrl+C, many times, in a program that goes on."""
    port, _ = other
    with child(INTERRUPTED, port) as process:
        said = ""
        while (said := process.stdout.read(1)) == "!":
            process.send_signal(signal.SIGINT)
        assert (said, process.stderr.read()) == (".", "")


@patient
@pytest.mark.parametrize("other", ["echo"], indirect=True)
def test_a_stopped_process_is_found_and_a_waiting_reader_told(other):
    port, process = other
    process.send_signal(signal.SIGCONT)  # from an earlier try
    peer = connect_peer(HOST, port, heartbeat=QUICK)
    peer.send(b"hello")
    assert peer.recv(WAIT) == b"hello"
    reading = Doing(peer.recv)
    freeze(process)
    with pytest.raises(PeerSilent) as caught:
        reading.outcome()
    assert peer.wait_dead(WAIT) is caught.value
    assert peer.state is State.DEAD
    assert peer.error is caught.value
    check_in_time(caught.value)


@patient
@pytest.mark.parametrize("other", ["deaf"], indirect=True)
def test_a_sender_that_is_blocked_by_a_stopped_process_is_freed_at_the_verdict(other):
    port, process = other
    process.send_signal(signal.SIGCONT)
    peer = connect_peer(HOST, port, heartbeat=QUICK)

    def send():
        while True:
            peer.send(b"." * 500_000)

    sending = Doing(send)
    wait_until(lambda: peer.stats().unsent_messages)
    stopped_at = freeze(process)
    with pytest.raises(PeerSilent):
        sending.outcome()
    # What its kernel still took and acknowledged has moved the deadline on, once.
    if time.monotonic() - stopped_at > QUICK.detection + QUICK.timeout + SLACK:
        raise Late


def test_a_goodbye_ends_the_loop_and_is_no_death(server):
    peer = connect_peer(HOST, server.port)
    (other,) = server.registry
    other.send(b"last")
    closing = Doing(other.close)
    assert list(peer) == [b"last"]
    closing.outcome()
    assert peer.wait_dead(WAIT) is None
    with pytest.raises(PeerClosed):
        peer.send(b"more")


def test_changes_are_followed_by_a_loop(other):
    port, process = other
    with connect_peer(HOST, port, heartbeat=QUICK) as peer:
        changes = peer.changes()
        following = Doing(lambda: [type(change) for change in changes])
        freeze(process)
        assert following.outcome() == [Suspected, Died]
        assert list(peer.changes()) == []


def test_a_suspicion_is_taken_back(other):
    port, process = other
    heartbeat = type(QUICK)(interval=0.1, timeout=30, suspect_after=0.05)
    with connect_peer(HOST, port, heartbeat=heartbeat) as peer:
        changes = peer.changes()
        freeze(process)
        assert isinstance(next(changes), Suspected)
        process.send_signal(signal.SIGCONT)
        assert isinstance(next(changes), Recovered)
        assert peer.rtt is None or peer.rtt.smallest > 0


def test_a_wait_for_the_end_may_be_short(peer):
    with pytest.raises(TimeoutError):
        peer.wait_dead(0.01)
    with pytest.raises(TimeoutError):
        peer.wait_closed(0.01)
    peer.abort()
    peer.wait_closed(WAIT)
    assert peer.error.reason == "aborted"


@pytest.mark.parametrize("timeout", [-1, float("nan"), "soon", True])
def test_a_timeout_that_is_none_is_refused_and_nothing_lost(peer, timeout):
    peer.send(b"here")
    for wait in (peer.recv, peer.wait_dead, peer.wait_closed):
        with pytest.raises(ConfigError):
            wait(timeout)
    assert peer.recv(WAIT) == b"here"


def test_two_readers_are_refused_and_the_first_goes_on(peer):
    reading = Doing(peer.recv)
    wait_until(lambda: peer._aio._inbox is not None and peer._aio._inbox._waiter)
    with pytest.raises(LocalProtocolError):
        peer.recv()
    peer.send(b"for the first")
    assert reading.outcome() == b"for the first"


def test_callbacks_run_on_the_background_thread_and_cannot_wait_there():
    got = threading.Event()
    seen = []

    def on_message(peer, message):
        try:
            peer.send(b"would wait")
        except LocalProtocolError as error:
            seen.append(error.breach)
        assert peer.send_nowait(message)
        assert peer.stats().state is State.ALIVE

    def on_reply(peer, message):
        seen.append((peer, message))
        got.set()

    with (
        serve_peers(None, HOST, 0, on_message=on_message) as server,
        connect_peer(HOST, server.port, on_message=on_reply) as peer,
    ):
        peer.send(b"hello")
        assert got.wait(WAIT)
        assert seen == ["waits-for-itself", (peer, b"hello")]
        with pytest.raises(LocalProtocolError, match="on_message"):
            peer.recv()


def test_a_refused_connection_says_so_and_a_silent_one_in_time():
    with serve_peers(None, HOST, 0) as server:
        port = server.port
    with pytest.raises(ConnectionRefusedError):
        connect_peer(HOST, port)
    with pytest.raises(ConfigError):
        connect_peer()


def test_one_peer_is_told_after_the_other(server):
    attempts = reconnecting(HOST, server.port, backoff=Backoff(first=0.01, cap=0.01))
    sessions = []
    for peer in attempts:
        peer.send(b"hello")
        assert peer.recv(WAIT) == b"hello"
        sessions.append(peer)
        if len(sessions) == 3:
            break
    assert len({id(one) for one in sessions}) == 3
    assert isinstance(attempts.why, PeerClosed)
    assert sessions[-1].wait_dead(WAIT) is None, "break closes the last one"


def test_reconnecting_may_give_up():
    with serve_peers(None, HOST, 0) as server:
        port = server.port

    def give_up(error, delay):
        raise error

    with pytest.raises(ConnectionRefusedError):
        next(iter(reconnecting(HOST, port, on_retry=give_up)))


def test_limits_and_tls_and_unix_sockets_pass_through(tmp_path):
    path = str(tmp_path / "socket")
    with (
        serve_peers(echo, path=path, limits=Limits()) as server,
        connect_peer(path=path) as peer,
    ):
        peer.send(b"hello")
        assert peer.recv(WAIT) == b"hello"
        assert server.port == 0
    with (
        serve_peers(echo, HOST, 0) as plain,
        pytest.raises((ssl.SSLError, ConnectionError, TimeoutError)),
    ):
        connect_peer(HOST, plain.port, ssl=ssl.create_default_context(), within=2)


def test_the_first_change_is_online_and_the_last_a_goodbye(server):
    seen = []
    with connect_peer(
        HOST, server.port, on_change=lambda _, change: seen.append(type(change))
    ):
        pass
    assert seen == [Online, Closed]
