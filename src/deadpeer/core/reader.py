"""
One direction of a connection: the peer's bytes in, what they mean out, in bounds.

A buffer exists only while a frame or message is incomplete, and holds no more than
the limits say: sizes are judged by their headers, before anything is kept. Arrivals
and the error do not depend on how the bytes were cut into pieces.
"""

import math
from typing import Final

from deadpeer.core.arrivals import (
    Arrival,
    Beat,
    Goodbye,
    Greeted,
    Message,
    Pinged,
    Ponged,
)
from deadpeer.core.breaches import remote_breach
from deadpeer.core.frames import HEADER_SIZE, LAST, Kind, decode_bye, frame_size
from deadpeer.core.hello import Hello, decode_hello, hello_size
from deadpeer.core.limits import Limits
from deadpeer.core.stages import FRAMES, Stage
from deadpeer.errors import RemoteProtocolError

__all__ = ["ANSWER", "Reader"]

# A look-up of a member costs more than the rest of a heartbeat.
SILENT: Final = Stage.SILENT
OPEN: Final = Stage.OPEN
GONE: Final = Stage.GONE
BROKEN: Final = Stage.BROKEN
PING: Final = int(Kind.PING)
PONG: Final = int(Kind.PONG)
BEAT: Final = int(Kind.BEAT)
DATA: Final = int(Kind.DATA)
BEATEN: Final = Beat()
HEARTBEAT: Final = 3  # bytes of a ping or pong
NO_HEARTBEAT: Final = -1
ANSWER: Final = 1 << 16
"""What ``heartbeat`` adds to the number of a pong."""


class Reader:
    """
    What the peer has sent, and what it may send next.

    Args:
        hello: What this end announces; its *largest_message* and
            *heartbeat_gap* are what the peer is held to. Share one among many.
        limits: What else the peer may ask for. Share one among many.
        now: When the connection was opened, in seconds of the driver's clock.

    Attributes:
        hello: What this end announces.
        limits: What the peer may ask for.
        theirs: The peer's ``Hello``, or None before it is here.
        receiving: The stage of what the peer sends.
        error: How the peer broke the protocol, or None.
    """

    __slots__ = (
        "_allowance_at",
        "_beats_at",
        "_buffer",
        "_message",
        "_since_at",
        "_unanswered",
        "error",
        "hello",
        "limits",
        "receiving",
        "theirs",
    )

    def __init__(self, hello: Hello, limits: Limits, *, now: float) -> None:
        self.hello = hello
        self.limits = limits
        self.theirs: Hello | None = None
        self.receiving = SILENT
        self.error: RemoteProtocolError | None = None
        self._buffer: bytearray | None = None  # the start of one frame
        self._message: bytearray | None = None  # the first fragments of a message
        self._since_at = now  # since when what is incomplete has not moved
        self._allowance_at = now  # up to when pings are used up
        self._beats_at = now  # the same, of beats
        self._unanswered = 0  # pings that may still be answered

    def heartbeat(self, data: bytes, *, now: float) -> int:
        """
        Take what was read if it is one heartbeat, whole, with nothing behind it.

        Nearly every read of an idle connection is that. It is taken as by
        ``receive``, in a third of the time, and neither ``error`` nor ``deadline``
        changes.

        Args:
            data: The bytes.
            now: When they were read, in seconds.

        Returns:
            A ping's number, 0 to 65535, or a pong's plus ``ANSWER``; negative if it is
            something else: then nothing was taken, and it is for ``receive``.
        """
        if len(data) != HEARTBEAT or self._buffer is not None:
            return NO_HEARTBEAT
        if self.receiving is not OPEN:
            return NO_HEARTBEAT
        kind = data[0]
        if kind == PONG and self._unanswered:
            self._unanswered -= 1
            return ANSWER | data[1] << 8 | data[2]
        if kind == PING and self._allowed(now):
            return data[1] << 8 | data[2]
        return NO_HEARTBEAT

    def receive(
        self, data: bytes | bytearray | memoryview, *, now: float
    ) -> list[Arrival]:
        """
        Take what was read and return what it completes, in its order.

        Args:
            data: The bytes, as many or few as came; never kept, always copied.
            now: When they were read, in seconds.

        Returns:
            What arrived; look at ``error`` and ``deadline`` after it.

        Raises:
            RemoteProtocolError: The peer broke the protocol, now or before, and
                nothing that arrived earlier is left to return.
        """
        if self.error is not None:
            raise self.error.with_traceback(None)
        if self._buffer is None:
            return self._read(bytes(data), now)
        self._buffer += data
        return self._read(self._buffer, now)

    def _read(self, data: bytes | bytearray, now: float) -> list[Arrival]:
        arrived: list[Arrival] = []
        at = 0
        try:
            while at < len(data):
                size = self._size(data, at)
                if not size or at + size > len(data):
                    break
                arrival = self._take(data, at, at + size, now)
                at += size
                if arrival is not None:
                    arrived.append(arrival)
        except RemoteProtocolError as error:
            self._broken(error)
            if not arrived:
                raise
            return arrived
        self._keep(data, at, now)
        return arrived

    def _size(self, data: bytes | bytearray, at: int) -> int:
        """Return the size of the next frame, or 0; raise if it may not come."""
        if self.receiving is OPEN:
            size = frame_size(data, at)
            if size and data[at] & ~LAST == DATA:
                self._require_room(size - HEADER_SIZE)
            return size
        if self.receiving is GONE:
            raise remote_breach("after-goodbye")
        return hello_size(data, largest=self.limits.largest_hello)

    def _require_room(self, more: int) -> None:
        held = len(self._message) if self._message is not None else 0
        if held + more > self.hello.largest_message:
            raise remote_breach(
                "message-too-big",
                f"{held + more} bytes or more, at most {self.hello.largest_message}",
            )

    def _take(
        self, data: bytes | bytearray, at: int, end: int, now: float
    ) -> Arrival | None:
        kind = data[at]
        if kind & ~LAST == DATA:
            return self._take_data(data, at, end, now)
        if kind == PING:
            if not self._allowed(now):
                raise self._too_many()
            return Pinged(data[at + 1] << 8 | data[at + 2])
        if kind == PONG:
            if not self._unanswered:
                raise remote_breach("unasked-pong")
            self._unanswered -= 1
            return Ponged(data[at + 1] << 8 | data[at + 2])
        if kind == BEAT:
            if not self._beat_allowed(now):
                raise self._too_many()
            return BEATEN
        frame = bytes(data[at:end])
        if kind == Kind.BYE:
            goodbye = Goodbye(*decode_bye(frame))
            self.receiving = FRAMES[OPEN][Kind.BYE]
            self._message = None  # it will never be whole
            return goodbye
        self.theirs = decode_hello(frame)
        self.receiving = FRAMES[SILENT][Kind.HELLO]
        return Greeted(self.theirs)

    def _take_data(
        self, data: bytes | bytearray, at: int, end: int, now: float
    ) -> Message | None:
        payload = data[at + HEADER_SIZE : end]
        last = data[at] & LAST
        if self._message is None:
            if last:
                return Message(bytes(payload))
            self._message = bytearray()
        self._message += payload
        if not last:
            self._since_at = now
            return None
        whole = bytes(self._message)
        self._message = None
        return Message(whole)

    def _keep(self, data: bytes | bytearray, at: int, now: float) -> None:
        """Keep the start of a frame, and forget what was read."""
        if at == len(data):
            self._buffer = None
            return
        fresh = self._buffer is None or at > 0
        if fresh and self._message is None and self.receiving is OPEN:
            self._since_at = now
        if fresh:
            self._buffer = bytearray(data[at:])

    def _allowed(self, now: float) -> bool:
        """
        Count a ping, unless it comes too early.

        A generic cell rate algorithm: ``_allowance_at`` is the instant up to
        which the peer's heartbeats are used up. It may run ahead by *strikes*
        gaps, and lag by *longest_patience*: what a network, a pause or a late
        loop held up comes in one bunch.

        Source: ITU-T I.371, the virtual scheduling algorithm.
        """
        at = self._allowance_at
        gap = self.hello.heartbeat_gap
        limits = self.limits
        if at < now - limits.longest_patience:
            at = now - limits.longest_patience
        elif at > now + limits.strikes * gap:
            return False
        self._allowance_at = at + gap
        return True

    def _beat_allowed(self, now: float) -> bool:
        """
        Count a beat in the same way, and apart.

        Who has promised beats may have questions, too, and knows of no reason to
        leave out either.
        """
        pings_at, self._allowance_at = self._allowance_at, self._beats_at
        allowed = self._allowed(now)
        self._beats_at, self._allowance_at = self._allowance_at, pings_at
        return allowed

    def _too_many(self) -> RemoteProtocolError:
        return remote_breach(
            "too-many-heartbeats",
            f"more than {self.limits.strikes} came sooner than "
            f"{self.hello.heartbeat_gap:g} s after the one before",
        )

    def _broken(self, error: RemoteProtocolError) -> RemoteProtocolError:
        self.error = error
        self.receiving = BROKEN
        self._buffer = self._message = None
        return error

    @property
    def deadline(self) -> float:
        """
        The instant at which the peer's patience ends, in seconds; infinity if none.

        Before the HELLO it is the handshake's. After it there is one only while
        a frame or message is incomplete.
        """
        if self.receiving is SILENT:
            return self._since_at + self.limits.handshake_timeout
        if self._buffer is None and self._message is None:
            return math.inf
        return self._since_at + self.limits.frame_timeout

    def expired(self, *, now: float) -> None:
        """
        End the conversation if its deadline has passed; otherwise do nothing.

        Call it when ``deadline`` has come, after reading what the kernel holds,
        and not while reading is paused.

        Args:
            now: The driver's clock, in seconds.

        Raises:
            RemoteProtocolError: The handshake or a frame took too long.
        """
        if now < self.deadline:
            return
        waited = f"{now - self._since_at:.3f} s"
        if self.receiving is SILENT:
            hint = "is something else listening there, or speaking?"
            error = remote_breach("handshake-too-slow", waited, hint=hint)
        else:
            error = remote_breach("frame-too-slow", f"no progress for {waited}")
        raise self._broken(error)

    def resumed(self, *, now: float) -> None:
        """
        Restart the deadline: this end had paused reading, or was late itself.

        Args:
            now: When reading began again, in seconds.
        """
        self._since_at = now
