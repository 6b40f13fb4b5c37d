import contextlib
import math
import os
import socket
import struct
import sys
import threading
import time

import pytest
from tests.loopback import fill, listener, pair
from tests.neighbours import neighbour

from deadpeer.kernel import traffic
from deadpeer.kernel.tcp_info import LAYOUT
from deadpeer.kernel.traffic import Traffic, read_traffic

linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads Linux's tcp_info"
)
NOW = 1000.0
TICK = traffic.TICK
WAIT = 20.0  # seconds after which a kernel that says nothing fails the test


def until(condition):
    """Look until the kernel says so; return what was seen."""
    deadline = time.monotonic() + WAIT
    while True:
        seen = condition()
        if seen or time.monotonic() > deadline:
            return seen


@linux
def test_a_connection_that_never_received_has_no_arrival_but_an_acknowledged_handshake():
    with pair() as ends:
        for end in ends:
            seen = read_traffic(end, now=NOW)
            assert seen.arrived_at == -math.inf
            assert NOW - WAIT < seen.acked_at <= NOW
            assert (seen.outstanding, seen.unread, seen.unanswered) == (0, 0, 0.0)
            assert seen.acked is not None


@linux
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_bytes_that_nobody_has_read_are_an_arrival(family):
    with pair(family) as (client, accepted):
        client.sendall(b"x" * 100)
        assert until(lambda: read_traffic(accepted, now=NOW).unread == 100)
        before = read_traffic(accepted, now=NOW)
        assert NOW - WAIT < before.arrived_at <= NOW
        accepted.recv(100)
        after = read_traffic(accepted, now=NOW)
        assert after.unread == 0
        assert after.arrived_at <= before.arrived_at, "reading is no arrival"


@linux
def test_acknowledgements_are_no_arrival_and_are_counted():
    with pair() as (client, _):
        first = read_traffic(client, now=NOW)
        client.sendall(b"x" * 1000)
        assert until(lambda: read_traffic(client, now=NOW).outstanding == 0)
        last = read_traffic(client, now=NOW)
        assert last.acked is not None
        assert first.acked is not None
        assert last.acked - first.acked == 1000
        assert (last.delivered or 0) > (first.delivered or 0)
        assert last.arrived_at == -math.inf
        assert last.rtt is not None
        assert 0 < last.rtt < 1
        assert last.rtt < last.repair < 2, "at least 0.2 s for the repetition"


@linux
def test_every_byte_is_acknowledged_or_outstanding_whenever_it_is_asked():
    # Between the two questions acknowledgements come: a few in ten thousand times.
    with pair() as (client, accepted):
        first = read_traffic(client, now=NOW).acked
        assert first is not None
        written = 0
        client.setblocking(False)  # noqa: FBT003
        reading = threading.Thread(target=read_on, args=(accepted,))
        reading.start()
        for _ in range(20_000):
            with contextlib.suppress(BlockingIOError):
                written += client.send(b"x" * 3000)
            seen = read_traffic(client, now=NOW)
            assert seen.acked is not None
            assert seen.outstanding is not None
            assert seen.acked - first + seen.outstanding >= written
        client.shutdown(socket.SHUT_WR)
        reading.join()


def read_on(sock):
    while sock.recv(1 << 16):
        pass


@linux
def test_an_arrival_is_never_told_too_early_nor_two_ticks_late():
    for pause in (0.0, 0.3, 0.7, 1.1, 1.6, 2.4):
        with pair() as (client, accepted):
            before = time.monotonic()
            client.sendall(b"x")
            assert until(lambda: read_traffic(accepted, now=NOW).unread)
            after = time.monotonic()
            while time.monotonic() < after + pause * TICK:
                pass
            asked = time.monotonic()
            seen = read_traffic(accepted, now=asked)
            answered = time.monotonic()
            assert seen.arrived_at >= before - (answered - asked)
            assert seen.arrived_at <= after + 2 * TICK


@linux
def test_a_reader_that_stopped_leaves_bytes_outstanding_and_is_not_accused():
    with pair() as (client, accepted):
        sent = fill(client)
        # The window closes, and its last acknowledgement takes a moment.
        assert until(
            lambda: (
                (read_traffic(client, now=NOW).outstanding or 0)
                + (read_traffic(accepted, now=NOW).unread or 0)
                == sent
            )
        )
        stalled = read_traffic(client, now=NOW)
        assert stalled.outstanding
        assert stalled.unanswered == 0.0


@linux
def test_an_arrival_is_told_after_the_peer_has_closed():
    with pair() as (client, accepted):
        client.sendall(b"x")
        client.shutdown(socket.SHUT_WR)
        assert accepted.recv(1) == b"x"
        assert accepted.recv(1) == b""
        assert read_traffic(accepted, now=NOW).arrived_at > NOW - WAIT


@linux
def test_nothing_is_told_of_sockets_that_are_not_connected():
    with listener() as server:
        assert read_traffic(server, now=NOW) == Traffic()
    with socket.socket() as fresh:
        assert read_traffic(fresh, now=NOW) == Traffic(unread=0)
    assert read_traffic(fresh, now=NOW) == Traffic()


@pytest.mark.skipif(sys.platform == "win32", reason="has no FIONREAD")
def test_other_sockets_tell_what_waits_to_be_read():
    one, other = socket.socketpair()
    with one, other:
        one.sendall(b"four")
        assert read_traffic(other, now=NOW) == Traffic(unread=4)


class Told:
    """A connection whose tcp_info is what the test says, with nothing to read."""

    def __init__(self, descriptor, **fields):
        self.descriptor = descriptor
        values = dict.fromkeys(traffic.FIELDS, 0) | {"state": 1} | fields
        self.info = bytearray(traffic.LENGTH)
        for name, value in values.items():
            struct.pack_into("=" + LAYOUT[name][1], self.info, LAYOUT[name][0], value)

    def fileno(self):
        return self.descriptor

    def getsockopt(self, _level, option, _length=0):
        return bytes(self.info) if option == socket.TCP_INFO else 10


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends[0]
    for end in ends:
        os.close(end)


@linux
def test_only_the_kernels_own_count_of_unanswered_packets_accuses(pipe):
    long_ago = {"last_ack_recv_ms": 900_000, "last_data_sent_ms": 900_000}
    for harmless in ({}, {"backoff": 7}, {"retransmits": 1}, {"probes": 1}):
        told = Told(pipe, rto_us=200_000, **long_ago, **harmless)
        assert read_traffic(told, now=NOW).unanswered == 0.0


@linux
def test_a_write_after_an_idle_hour_is_unanswered_since_the_write(pipe):
    # Sent, and repeated after 0.2 and 0.4 s more; the last one 0.1 s ago.
    told = Told(
        pipe,
        retransmits=2,
        backoff=2,
        rto_us=800_000,
        last_data_sent_ms=100,
        last_ack_recv_ms=3_600_000,
    )
    seen = read_traffic(told, now=NOW)
    assert seen.unanswered == pytest.approx(0.7 - TICK)


@linux
def test_keepalive_probes_are_unanswered_since_the_first_of_them(pipe):
    told = Told(pipe, probes=3, last_ack_recv_ms=12_500)
    assert read_traffic(told, now=NOW).unanswered == pytest.approx(2.5 - TICK)


@linux
def test_repetitions_come_two_minutes_apart_at_most(pipe):
    # After 60 and 120 s, and then not after 240.
    told = Told(
        pipe, retransmits=3, backoff=1, rto_us=120_000_000, last_ack_recv_ms=900_000
    )
    assert read_traffic(told, now=NOW).unanswered == pytest.approx(300.0)


@linux
def test_nothing_is_unanswered_for_longer_than_the_peer_is_silent(pipe):
    told = Told(pipe, retransmits=3, backoff=3, rto_us=8_000_000, last_ack_recv_ms=500)
    assert read_traffic(told, now=NOW).unanswered == pytest.approx(0.5 - TICK)
    told = Told(pipe, probes=2, last_ack_recv_ms=500)  # before the idle time is over
    assert read_traffic(told, now=NOW).unanswered == 0.0


@linux
def test_an_older_kernel_tells_what_waits_to_be_read(pipe):
    told = Told(pipe)
    told.info = told.info[:104]
    assert read_traffic(told, now=NOW) == Traffic(unread=0)


@linux
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a namespace of its own")
def test_data_that_nobody_answers_is_unanswered_since_it_was_written():
    with neighbour(namespace=True) as there:
        there.told("import time")
        there.told("from deadpeer.kernel.traffic import read_traffic")
        there.told("a, b = pair()")
        there.told("loopback(False)")
        there.told("start = time.monotonic(); a.send(b'x')")
        there.told(
            "seen = read_traffic(a, now=0.0)\n"
            "while not seen.unanswered and time.monotonic() < start + 20:\n"
            "    seen = read_traffic(a, now=0.0)\n"
            "    time.sleep(0.005)"
        )
        unanswered, passed = there.told("(seen.unanswered, time.monotonic() - start)")
        assert 0.3 < unanswered <= passed
        assert there.told("seen.outstanding") == 1
