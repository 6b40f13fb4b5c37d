"""
Two kernels and the wires between them, as numbers: the link without a loop.

``now`` is an argument. ``next_at`` says when something will happen, ``advance``
lets it happen at its own instant, however late the call comes. So one model
serves the transports of ``FakeLink`` and simulations that have no event loop.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, Protocol

from deadpeer.errors import ConfigError
from deadpeer.policy.keepalive import require_seconds
from deadpeer.policy.numbers import is_number, require_between
from deadpeer.testing.kernel_model import KernelModel, Segment

__all__ = ["LinkModel", "Shape", "Side", "Timed", "Wire", "require_side"]

# The payload of an Ethernet frame with TCP timestamps, in bytes.
MSS = 1448


class Side(StrEnum):
    """The two ends of a link."""

    LEFT = "left"
    RIGHT = "right"

    @property
    def other(self) -> "Side":
        """The end across."""
        return Side.RIGHT if self is Side.LEFT else Side.LEFT


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """
    How a wire carries bytes one way.

    Args:
        delay: Seconds that each segment takes.
        jitter: Up to how many seconds more, evenly distributed; the order stays.
        bandwidth: Bytes a second; acknowledgements cost nothing, but wait
            behind what is on the wire.
        loss: The share of segments that is lost, 0 to 1.

    Raises:
        ConfigError: A value is out of its range.
    """

    delay: float = 0.0
    jitter: float = 0.0
    bandwidth: float = math.inf
    loss: float = 0.0

    def __post_init__(self) -> None:
        require_seconds("delay", self.delay, zero=True)
        require_seconds("jitter", self.jitter, zero=True)
        if not (is_number(self.bandwidth) and self.bandwidth > 0):
            raise _wrong("bandwidth", self.bandwidth, "bytes a second, more than zero")
        require_between("loss", self.loss, 0, 1)


@dataclass(slots=True, kw_only=True)
class Wire:
    """
    One direction of the link: first in, first out.

    Args:
        shape: How it carries bytes.
        chance: Returns a number from 0 to 1 at each call.
        cut: Whether it swallows everything.
    """

    shape: Shape
    chance: Callable[[], float]
    cut: bool = False
    flying: deque[tuple[float, Segment]] = field(default_factory=deque)
    free_at: float = -math.inf
    last_at: float = -math.inf

    @property
    def next_at(self) -> float:
        """When the next segment arrives, in seconds; infinity if none flies."""
        return self.flying[0][0] if self.flying else math.inf

    def carry(self, segment: Segment, now: float) -> None:
        """
        Take a segment that leaves.

        Args:
            segment: What leaves.
            now: When it does, in seconds.
        """
        if self.cut:
            return
        shape = self.shape
        self.free_at = max(now, self.free_at) + len(segment.data) / shape.bandwidth
        arrives_at = self.free_at + shape.delay
        if shape.jitter:
            arrives_at += shape.jitter * self.chance()
        if shape.loss and self.chance() < shape.loss:
            return
        self.last_at = max(self.last_at, arrives_at)
        self.flying.append((self.last_at, segment))

    def sever(self) -> None:
        """Swallow what flies, and what will be sent."""
        self.cut = True
        self.flying.clear()
        self.free_at = self.last_at = -math.inf


class Timed(Protocol):
    """What does something at an instant that it names: a kernel, or a program."""

    @property
    def timer_at(self) -> float:
        """When ``fire`` is due, in seconds; infinity if never."""

    def fire(self, *, now: float) -> None:
        """
        Do what is due.

        Args:
            now: The present, in seconds.
        """


class LinkModel:
    """
    A TCP connection between two ends, in virtual time.

    Args:
        shape: How both directions carry bytes.
        chance: Returns a number from 0 to 1 at each call, such as
            ``random.Random(1).random``; needed for jitter and loss.
        mss: The largest segment, in bytes.
        send_buffer: What a kernel takes and has not delivered, in bytes.
        receive_buffer: What a kernel keeps until it is read, in bytes.
        now: When the connection is made, in seconds.

    Attributes:
        kernels: The two ends, by side.
        wires: The two directions, by the side that they lead to.

    Raises:
        ConfigError: A size is no whole number above zero, or chance is missing.

    >>> link = LinkModel(Shape(delay=0.05), now=0.0)
    >>> link.kernels[Side.LEFT].write(b"ping", now=0.0)
    4
    >>> link.next_at
    0.05
    >>> link.advance(now=0.05)
    >>> link.kernels[Side.RIGHT].read(100, now=0.05)
    b'ping'
    """

    def __init__(
        self,
        shape: Shape | None = None,
        *,
        chance: Callable[[], float] | None = None,
        mss: int = MSS,
        send_buffer: int = 1 << 16,
        receive_buffer: int = 1 << 17,
        now: float,
    ) -> None:
        sizes = {
            "mss": mss,
            "send_buffer": send_buffer,
            "receive_buffer": receive_buffer,
        }
        for name, size in sizes.items():
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise _wrong(name, size, "a whole number of bytes, one or more")
        shape = shape or Shape()
        self._chance = chance
        self._check(shape)
        self.wires = {
            side: Wire(shape=shape, chance=chance or _no_chance) for side in Side
        }
        self.kernels = {
            side: KernelModel(
                emit=partial(Wire.carry, self.wires[side.other]),
                mss=mss,
                send_buffer=send_buffer,
                receive_buffer=receive_buffer,
                peer_buffer=receive_buffer,
                rtt=2 * shape.delay,
                now=now,
            )
            for side in Side
        }
        self._timed: list[Timed] = list(self.kernels.values())
        self._wires = tuple(self.wires.values())

    @property
    def next_at(self) -> float:
        """When something happens by itself, in seconds; infinity if never."""
        instant = math.inf  # asked so often that a loop pays
        for timed in self._timed:
            instant = min(instant, timed.timer_at)
        for wire in self._wires:
            if wire.flying:
                instant = min(instant, wire.flying[0][0])
        return instant

    def advance(self, *, now: float) -> None:
        """
        Let everything happen that is due, each thing at its own instant.

        Args:
            now: Until when, in seconds, inclusive.
        """
        while (instant := self.next_at) <= now:
            for side in Side:
                # What arrives comes first: it may be the answer.
                if self.wires[side].next_at == instant:
                    _, segment = self.wires[side].flying.popleft()
                    self.kernels[side].arrive(segment, now=instant)
                    break
            else:
                for timed in self._timed:
                    if timed.timer_at == instant:
                        timed.fire(now=instant)

    def attach(self, program: "Timed") -> None:
        """
        Let a program run in the link's own time, whoever else is blocked.

        Args:
            program: What is called at the instants that it names.
        """
        self._timed.append(program)

    def reshape(self, shape: Shape, *, towards: Side | None = None) -> None:
        """
        Change how the wires carry what is sent from now on.

        Args:
            shape: How.
            towards: The side that the one wire leads to; both if None.

        Raises:
            ConfigError: The shape needs chance, and there is none, or no such side.
        """
        self._check(shape)
        for wire in self._towards(towards):
            wire.shape = shape

    def cut(self, *, towards: Side | None = None) -> None:
        """
        Pull the cable: what flies and what is sent is swallowed.

        Args:
            towards: Swallow only what travels to that side; everything if None.

        Raises:
            ConfigError: There is no such side.
        """
        for wire in self._towards(towards):
            wire.sever()

    def mend(self) -> None:
        """Put the cable back; the kernels repeat what was lost in their own time."""
        for wire in self.wires.values():
            wire.cut = False

    def reset(self, *, towards: Side | None = None) -> None:
        """
        Let a box in the middle send resets, at once.

        Args:
            towards: The side that gets one; both if None.

        Raises:
            ConfigError: There is no such side.
        """
        for side in sides(towards):
            self.kernels[side].fail()

    def _towards(self, side: Side | None) -> list[Wire]:
        return [self.wires[one] for one in sides(side)]

    def _check(self, shape: Shape) -> None:
        if (shape.jitter or shape.loss) and self._chance is None:
            raise ConfigError(
                "jitter and loss need chance",
                hint="hand in a seeded source, such as random.Random(1).random",
                field="chance",
            )


def require_side(name: str, value: Any) -> Side:
    """
    Return *value* if it is an end of a link.

    Args:
        name: What the caller's argument is called, for the error.
        value: The end.

    Raises:
        ConfigError: It is none.
    """
    if value not in tuple(Side):
        raise _wrong(name, value, "Side.LEFT or Side.RIGHT")
    return Side(value)


def sides(towards: Side | None) -> list[Side]:
    """
    Return the ends that are meant.

    Args:
        towards: One of them; both if None.

    Raises:
        ConfigError: It is none.
    """
    return list(Side) if towards is None else [require_side("towards", towards)]


def _no_chance() -> float:
    return 1.0


def _wrong(name: str, value: object, want: str) -> ConfigError:
    return ConfigError(
        f"{name}={value!r} is out of range",
        hint=f"give {want}",
        field=name,
        value=value,
    )
