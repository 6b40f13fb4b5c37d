"""
One end's TCP as numbers: buffers, windows, acknowledgements, retransmissions.

It is as much of TCP as a watcher can notice. Bytes come in order and once; a
lost segment comes one retransmission timeout later, and what is behind it
waits; a reader that stops closes the window; the kernel acknowledges on its own,
whatever its program does. Left out: congestion control, delayed
acknowledgements, fast retransmit, keepalive, and giving up.

Source: RFC 9293, sections 3.4 (sequence numbers), 3.8.6 (window) and 3.8.6.1
(probes of a closed window); RFC 6298 (timeouts); RFC 6582 (several losses).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["KernelModel", "Segment"]

# Seconds: Linux include/net/tcp.h, TCP_RTO_MIN and TCP_RTO_MAX.
RTO_MIN = 0.2
RTO_MAX = 120.0
# The timeout reaches its maximum before that many doublings.
MOST_DOUBLINGS = 10
# The kernel's silence counts from the second attempt: one segment may get lost.
SUSPICIOUS = 2
# RFC 6298, section 2.3.
ALPHA, BETA, K = 1 / 8, 1 / 4, 4


class Segment(NamedTuple):
    """
    What travels.

    Attributes:
        seq: The number of its first byte.
        data: Its bytes.
        fin: Whether the stream ends behind them.
        ack: The number of the byte that the sender expects next.
        edge: The first number for which the sender has no room.
        taken: How many segments with new bytes it has, in order or not.
        probe: Whether it only asks for an acknowledgement.
        reset: Whether the sender knows no such connection.
    """

    seq: int
    data: bytes = b""
    fin: bool = False
    ack: int = 0
    edge: int = 0
    taken: int = 0
    probe: bool = False
    reset: bool = False


class KernelModel:
    """
    The TCP of one end; ``now`` is an argument, and nothing runs by itself.

    Args:
        emit: What is called with each segment that leaves, and its instant.
        mss: The largest segment, in bytes.
        send_buffer: Room for bytes that are not acknowledged.
        receive_buffer: Room for bytes that are not read.
        peer_buffer: The other end's *receive_buffer*.
        rtt: The round trip that the handshake took, in seconds.
        now: When the connection was made, in seconds.

    Attributes:
        timer_at: When ``fire`` is due, in seconds; infinity if never.
        arrived_at: When bytes last arrived in order, in seconds.
        acked: Bytes (and the end of the stream) that the peer acknowledged.
        acked_at: When an acknowledgement last arrived, in seconds.
        delivered: Segments that the peer has, those behind a lost one included.
        eof: Whether the peer's stream has ended, and all of it has arrived.
        failed: Whether the peer has reset the connection.
    """

    def __init__(
        self,
        *,
        emit: Callable[[Segment, float], None],
        mss: int,
        send_buffer: int,
        receive_buffer: int,
        peer_buffer: int,
        rtt: float,
        now: float,
    ) -> None:
        self._emit = emit
        self._mss = mss
        self._send_buffer = send_buffer
        self._receive_buffer = receive_buffer
        self.timer_at = math.inf
        self.arrived_at = -math.inf
        self.acked = 0
        self.acked_at = now
        self.delivered = 0
        self.eof = False
        self.failed = False
        self._gone = False  # nothing is known of a connection any more
        self._closed = False  # nobody will read
        # Sending: bytes from `acked` on, of which those before `_next` were sent.
        self._unacked = bytearray()
        self._next = 0
        self._edge = peer_buffer
        self._ending = False  # the end of the stream is to be sent
        self._ended = False  # it has been sent
        self._recover = 0  # before this, what is not acknowledged was lost
        self._srtt, self._rttvar = rtt, rtt / 2
        self._timed: tuple[int, float] | None = None
        self._doublings = 0
        self._misses = 0
        self._waiting_since = math.inf
        # Receiving.
        self._unread = bytearray()
        self._expected = 0
        self._taken = 0
        self._beyond: dict[int, Segment] = {}
        self._promised = receive_buffer
        # By less the window does not move (RFC 9293, section 3.8.6.2.2).
        self._step = max(1, min(mss, receive_buffer // 2))

    @property
    def outstanding(self) -> int:
        """Bytes handed in and not acknowledged."""
        return len(self._unacked)

    @property
    def room(self) -> int:
        """Bytes that ``write`` would take."""
        if self._gone or self._ending:
            return 0
        return self._send_buffer - len(self._unacked)

    @property
    def unread(self) -> int:
        """Bytes that have arrived and wait to be read."""
        return len(self._unread)

    @property
    def rtt(self) -> float:
        """The smoothed round trip, in seconds."""
        return self._srtt

    @property
    def repair(self) -> float:
        """Seconds after which a lost segment is known to have arrived after all."""
        return self._usual_timeout() + self._srtt

    def unanswered(self, *, now: float) -> float:
        """
        Return for how many seconds retransmissions or probes went unanswered.

        Zero until there are two.

        Args:
            now: The instant, in seconds.
        """
        return now - self._waiting_since if self._misses >= SUSPICIOUS else 0.0

    def write(self, data: bytes | bytearray | memoryview, *, now: float) -> int:
        """
        Take bytes to send, as many as there is room for, and say how many.

        Args:
            data: The bytes.
            now: The instant, in seconds.
        """
        taken = max(0, min(self.room, len(data)))
        self._unacked += data[:taken]
        self._push(now)
        return taken

    def read(self, size: int, *, now: float) -> bytes:
        """
        Return bytes that have arrived, and open the window by as many.

        Args:
            size: The largest number of bytes.
            now: The instant, in seconds.
        """
        data = bytes(self._unread[:size])
        del self._unread[: len(data)]
        window = self._promised - self._expected
        # Linux net/ipv4/tcp.c, __tcp_cleanup_rbuf(): tell when it has doubled.
        tell = 2 * window <= self._receive_buffer and self._growth() >= window
        if tell and self._growth() >= self._step and not self._gone:
            self._acknowledge(now)
        return data

    def shutdown(self, *, now: float) -> None:
        """
        End the stream behind what was written.

        Args:
            now: The instant, in seconds.
        """
        self._ending = True
        self._push(now)

    def close(self, *, now: float) -> None:
        """
        Close the socket; what was written is still sent.

        With unread bytes it is a reset, as on Linux (net/ipv4/tcp.c,
        __tcp_close(); RFC 2525, section 2.17).

        Args:
            now: The instant, in seconds.
        """
        if self._closed:
            return
        self._closed = True
        if self._unread:
            self.abort(now=now)
        else:
            self.shutdown(now=now)

    def abort(self, *, now: float) -> None:
        """
        Reset the connection, and forget it.

        Args:
            now: The instant, in seconds.
        """
        if not self._gone:
            self._send(Segment(seq=self._next, reset=True), now)
        self.forget()

    def forget(self) -> None:
        """Lose the connection without a word, as a machine that restarts does."""
        self._gone = True
        self.timer_at = math.inf
        self._unacked.clear()
        self._beyond.clear()
        self._misses = 0

    def fail(self) -> None:
        """Take a reset, whoever sent it."""
        if not self._gone:
            self.failed = True
            self.forget()

    def arrive(self, segment: Segment, *, now: float) -> None:
        """
        Take what comes from the network.

        Args:
            segment: What came.
            now: The instant, in seconds.
        """
        if segment.reset:
            self.fail()
            return
        if self._gone:
            self._send(Segment(seq=self._next, reset=True), now)
            return
        self._hear(segment, now)
        if segment.data and self._closed:
            self.abort(now=now)  # nobody will ever read it
            return
        if segment.data or segment.fin:
            self._accept(segment, now)
        if segment.data or segment.fin or segment.probe:
            self._acknowledge(now)

    def fire(self, *, now: float) -> None:
        """
        Do what is due at ``timer_at``: repeat a segment, or probe a closed window.

        Args:
            now: The instant, in seconds.
        """
        if self._gone:
            return
        self._misses += 1
        self._doublings = min(self._doublings + 1, MOST_DOUBLINGS)
        if self._next > self.acked:
            self._recover = self._next
            self._repeat(now)
        else:
            if self._misses == 1:
                self._waiting_since = now
            self._send(Segment(seq=self._next, probe=True), now)
        self.timer_at = now + self._timeout()

    def _timeout(self) -> float:
        return float(min(self._usual_timeout() * 2**self._doublings, RTO_MAX))

    def _usual_timeout(self) -> float:
        """Source: Linux net/ipv4/tcp_input.c, tcp_rtt_estimator(): the floor is under the margin."""
        return self._srtt + max(RTO_MIN, K * self._rttvar)

    def _send(self, segment: Segment, now: float) -> None:
        if self._growth() >= self._step:
            self._promised += self._growth()
        whole = segment._replace(
            ack=self._expected, edge=self._promised, taken=self._taken
        )
        self._emit(whole, now)

    def _growth(self) -> int:
        """Return by how much the window could be wider than the peer was told."""
        room = self._receive_buffer - len(self._unread)
        return room - (self._promised - self._expected)

    def _acknowledge(self, now: float) -> None:
        self._send(Segment(seq=self._next), now)

    def _push(self, now: float) -> None:
        """Send what the window allows."""
        if self._gone:
            return
        end = self.acked + len(self._unacked)
        idle = self._next == self.acked
        while self._next < min(end, self._edge):
            size = min(self._mss, end - self._next, self._edge - self._next)
            start = self._next - self.acked
            self._send(
                Segment(
                    seq=self._next, data=bytes(self._unacked[start : start + size])
                ),
                now,
            )
            self._next += size
            self._timed = self._timed or (self._next, now)
        if self._ending and self._next == end and not self._ended:
            self._ended = True
            self._send(Segment(seq=end, fin=True), now)
            self._next += 1
        if idle and self._next > self.acked:
            self._waiting_since = now
            self._doublings = self._misses = 0
            self.timer_at = now + self._timeout()
        elif self._next < end and self.timer_at == math.inf:
            self.timer_at = now + self._timeout()  # the window is closed

    def _repeat(self, now: float) -> None:
        """Send the oldest segment again."""
        self._timed = None  # RFC 6298, section 3: whose answer would it be?
        size = min(self._mss, len(self._unacked), self._next - self.acked)
        self._send(
            Segment(seq=self.acked, data=bytes(self._unacked[:size]), fin=not size), now
        )

    def _hear(self, segment: Segment, now: float) -> None:
        """Take in an acknowledgement."""
        self.acked_at = now
        self._misses = 0
        self.delivered = max(self.delivered, segment.taken)
        opened = segment.edge > self._edge
        self._edge = max(self._edge, segment.edge)
        if segment.ack > self.acked:
            self._advance(segment.ack, now)
        elif opened and self._next == self.acked:
            self._doublings, self.timer_at = 0, math.inf
        self._push(now)

    def _advance(self, ack: int, now: float) -> None:
        if self._timed is not None and ack >= self._timed[0]:
            self._measure(now - self._timed[1])
            self._timed = None
        del self._unacked[: ack - self.acked]
        self.acked = ack
        self._doublings = 0
        self._waiting_since = now
        self.timer_at = now + self._timeout() if self._next > ack else math.inf
        if ack < self._recover:
            self._repeat(now)

    def _measure(self, sample: float) -> None:
        self._rttvar += BETA * (abs(self._srtt - sample) - self._rttvar)
        self._srtt += ALPHA * (sample - self._srtt)

    def _accept(self, segment: Segment, now: float) -> None:
        """Put a segment in its place, and what was waiting for it behind it."""
        is_new = segment.seq + len(segment.data) > self._expected
        if segment.data and is_new and segment.seq not in self._beyond:
            self._taken += 1
        self._beyond[segment.seq] = segment
        while self._beyond and min(self._beyond) <= self._expected:
            ready = self._beyond.pop(min(self._beyond))
            fresh = ready.data[self._expected - ready.seq :]
            if fresh:
                self._unread += fresh
                self._expected += len(fresh)
                self.arrived_at = now
            if (
                ready.fin
                and not self.eof
                and ready.seq + len(ready.data) == self._expected
            ):
                self._expected += 1
                self.eof = True
