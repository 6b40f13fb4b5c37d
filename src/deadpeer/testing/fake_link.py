"""
A TCP connection inside one event loop: two transports, and a link to abuse.

The transports behave as asyncio's own: a buffer in user space above the
kernel's, ``pause_writing`` and ``resume_writing``, ``eof_received``, errors by
``connection_lost``. What is below them is a ``LinkModel``. On a ``VirtualLoop``
all of it takes no time; on a real loop it takes the time it says.
"""

import asyncio
import contextlib
import math
import random
from collections.abc import Callable, Iterator

from deadpeer.errors import ConfigError, LocalProtocolError
from deadpeer.testing.fake_transport import FakeTransport
from deadpeer.testing.link_model import LinkModel, Shape, Side, require_side

__all__ = ["FakeLink", "fake_streams"]

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class FakeLink:
    """
    A link between two ends, and the faults that it can have.

    Args:
        delay: Seconds that a segment takes, one way.
        jitter: Up to how many seconds more.
        bandwidth: Bytes a second, each way.
        loss: The share of segments that is lost, 0 to 1. A lost one arrives one
            retransmission timeout later, and all behind it waits.
        chance: The source of jitter and loss; seeded alike by default, so that
            a test repeats.
        send_buffer: What a kernel takes and has not delivered, in bytes.
        receive_buffer: What a kernel keeps until it is read, in bytes.
        loop: The event loop; the running one by default.

    Attributes:
        model: The model below; its clock is the loop's.

    Raises:
        ConfigError: A value is out of its range.
    """

    def __init__(
        self,
        *,
        delay: float = 0.0,
        jitter: float = 0.0,
        bandwidth: float = math.inf,
        loss: float = 0.0,
        chance: random.Random | None = None,
        send_buffer: int = 1 << 16,
        receive_buffer: int = 1 << 17,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.loop = loop or asyncio.get_running_loop()
        chance = chance or random.Random(0)  # noqa: S311 - a test has to repeat
        self.model = LinkModel(
            Shape(delay=delay, jitter=jitter, bandwidth=bandwidth, loss=loss),
            chance=chance.random,
            send_buffer=send_buffer,
            receive_buffer=receive_buffer,
            now=self.loop.time(),
        )
        self._ends: dict[Side, FakeTransport] = {}
        self._handle: asyncio.TimerHandle | None = None
        # A VirtualLoop has a place for what arrives: before the timers.
        self._call_at = getattr(self.loop, "call_arrival_at", self.loop.call_at)

    def connect(
        self,
        left: Callable[[], asyncio.BaseProtocol],
        right: Callable[[], asyncio.BaseProtocol],
    ) -> tuple[FakeTransport, FakeTransport]:
        """
        Make the two transports; each protocol's ``connection_made`` follows.

        Args:
            left: Makes the one end's protocol.
            right: Makes the other end's.

        Raises:
            ConfigError: The link has its ends already.
        """
        if self._ends:
            raise ConfigError("the link has its ends", hint="make a link for each pair")
        protocols = left(), right()  # or none of them
        for side, protocol in zip(Side, protocols, strict=True):
            self._ends[side] = FakeTransport(
                self.loop, self.model.kernels[side], self.settle, protocol, side
            )
        return self._ends[Side.LEFT], self._ends[Side.RIGHT]

    def cut(self, *, towards: Side | None = None) -> None:
        """
        Pull the cable: what is on the way and what is sent later is swallowed.

        Args:
            towards: Swallow only what travels to that side.

        Raises:
            ConfigError: There is no such side.
        """
        with self._changing():
            self.model.cut(towards=towards)

    def mend(self) -> None:
        """Put the cable back; the kernels repeat what was lost in their own time."""
        with self._changing():
            self.model.mend()

    def reset(self, *, towards: Side | None = None) -> None:
        """
        Let a box in the middle reset the connection.

        Args:
            towards: The side that is told; both if None.

        Raises:
            ConfigError: There is no such side.
        """
        with self._changing():
            self.model.reset(towards=towards)

    def reshape(self, shape: Shape, *, towards: Side | None = None) -> None:
        """
        Change delay, jitter, bandwidth and loss of what is sent from now on.

        Args:
            shape: How the wires carry bytes.
            towards: The side that the one wire leads to; both if None.

        Raises:
            ConfigError: The shape cannot be, or there is no such side.
        """
        with self._changing():
            self.model.reshape(shape, towards=towards)

    def reboot(self, side: Side) -> None:
        """
        Restart an end's machine: its program is gone, its kernel knows nothing.

        Whatever it is sent, it answers with a reset. Its protocol is told nothing.

        Args:
            side: Which end.

        Raises:
            ConfigError: There is no such end.
            LocalProtocolError: The link has no ends yet.
        """
        with self._changing():
            self.freeze(side)
            self.model.kernels[side].forget()

    def freeze(self, side: Side) -> None:
        """
        Stop an end's program, as SIGSTOP does; its kernel goes on.

        Its protocol is not called, and what is written meanwhile leaves at
        ``thaw``. Its timers and tasks are this loop's, and run on.

        Args:
            side: Which end.

        Raises:
            ConfigError: There is no such end.
            LocalProtocolError: The link has no ends yet.
        """
        self._end(side).freeze()

    def thaw(self, side: Side) -> None:
        """
        Let a stopped end go on.

        Args:
            side: Which end.

        Raises:
            ConfigError: There is no such end.
            LocalProtocolError: The link has no ends yet.
        """
        self._end(side).thaw()

    def settle(self) -> None:
        """Let happen what is due, and arrange to be called for the next thing."""
        self.model.advance(now=self.loop.time())
        ready = any(end.is_ready() for end in self._ends.values())
        instant = self.loop.time() if ready else self.model.next_at
        if self._handle is not None:
            if self._handle.when() <= instant:
                return  # too early does no harm, and keeps its place in the queue
            self._handle.cancel()
            self._handle = None
        if instant < math.inf:
            self._handle = self._call_at(instant, self._happen)

    def _end(self, side: Side) -> FakeTransport:
        side = require_side("side", side)
        if not self._ends:
            raise LocalProtocolError(
                "the link has no ends yet", hint="connect() makes them"
            )
        return self._ends[side]

    def _happen(self) -> None:
        self._handle = None
        try:
            for end in list(self._ends.values()):
                # Again for each: the other's program may have taken long.
                self.model.advance(now=self.loop.time())
                if end.is_ready():
                    end.perform()
        finally:
            self.settle()

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        self.model.advance(now=self.loop.time())
        yield
        self.settle()


class _FakeWriter(asyncio.StreamWriter):
    """A writer that may be left open: nothing of the system's is behind it."""

    def __del__(self) -> None:
        """Warn of nothing."""


def fake_streams(link: FakeLink) -> tuple[Streams, Streams]:
    """
    Join two pairs of streams by a link, like ``asyncio.open_connection`` and its server.

    Args:
        link: A link without ends yet.

    Returns:
        Reader and writer of the left end, and of the right end.
    """
    readers = [asyncio.StreamReader(loop=link.loop) for _ in Side]
    protocols = [asyncio.StreamReaderProtocol(r, loop=link.loop) for r in readers]
    ends = link.connect(lambda: protocols[0], lambda: protocols[1])
    left, right = (
        (reader, _FakeWriter(end, protocol, reader, link.loop))
        for reader, end, protocol in zip(readers, ends, protocols, strict=True)
    )
    return left, right
