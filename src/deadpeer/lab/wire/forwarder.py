"""
The wire's process: takes frames from one interface and puts them on another.

Packet sockets in, packet sockets out; in between a heap of what travels. It
decides nothing: `Lane` and `FlowTable` do.
"""

import ctypes
import heapq
import itertools
import random
import select
import socket
import struct
import sys
import time
from collections import Counter, deque
from typing import Any

from deadpeer.lab.leash import Lines, Servant, child_channel, relow
from deadpeer.lab.plain import from_plain, to_plain
from deadpeer.lab.wire.flows import FlowTable, Verdict
from deadpeer.lab.wire.frames import VNET, Segment
from deadpeer.lab.wire.lane import Drop, Lane
from deadpeer.lab.wire.precision import Precision
from deadpeer.lab.wire.weather import Weather

__all__ = ["Forwarder"]

# Source: linux/prctl.h. The kernel may let a sleeper oversleep by this much, in
# nanoseconds; its default is 50 µs.
PR_SET_TIMERSLACK = 29

# The largest frame that an interface with segmentation offload hands over, with
# room for its headers.
LARGEST = 1 << 17

# Frames that travel in one direction at once; more are dropped. A bound of
# memory, and not a router's queue, which is the weather's.
TRAVELLING = 10_000

# Frames read from one side before the other gets its turn.
TURN = 64

# How many of the last frames the report on precision is about.
REMEMBERED = 10_000

# Source: asm-generic/socket.h. The kernel's instant of arrival, a timespec, on
# the wall clock.
SO_TIMESTAMPNS = 35
TIMESPEC = struct.Struct("@qq")
STAMP_ROOM = socket.CMSG_SPACE(TIMESPEC.size)


class Forwarder(Servant):
    """
    The loop of the wire's process.

    Args:
        ends: The two packet sockets.
        orders: The way to the lab; its end ends the wire.
        seed: Where chance begins.
    """

    def __init__(
        self, ends: tuple[socket.socket, socket.socket], orders: Lines, seed: int
    ) -> None:
        super().__init__(orders)
        self.ends = ends
        for end in ends:
            end.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        # Chance here is weather and no secret. Each direction has its own, so
        # that what comes one way does not change what is lost on the other.
        self.lanes = tuple(
            Lane(random.Random(f"{seed}/{way}").random)  # noqa: S311
            for way in (0, 1)
        )
        self.box: FlowTable | None = None
        self.travelling: list[tuple[float, int, int, bytes]] = []
        self.load = [0, 0]
        self.count = itertools.count()
        self.came_at = [0.0, 0.0]
        self.counts: Counter[str] = Counter()
        self.late: deque[float] = deque(maxlen=REMEMBERED)
        self.is_running = True

    def run(self) -> None:
        """Forward until the lab is gone."""
        sources: list[socket.socket | Lines] = [*self.ends, self.orders]
        while self.is_running:
            self.deliver()
            timeout = None
            if self.travelling:
                timeout = max(0.0, self.travelling[0][0] - time.monotonic())
            # Not epoll, which counts in milliseconds.
            ready, _, _ = select.select(sources, [], [], timeout)
            for source in ready:
                if source is self.orders:
                    self.is_running = self.obey()
                else:
                    self.take(self.ends.index(source))

    def deliver(self) -> None:
        """Put every frame that has arrived on its way."""
        while self.travelling and self.travelling[0][0] <= time.monotonic():
            due_at, _, way, frame = heapq.heappop(self.travelling)
            self.load[way] -= 1
            self.put(1 - way, frame)
            self.late.append(time.monotonic() - due_at)

    def put(self, end: int, frame: bytes) -> None:
        """Hand a frame to the interface at an end."""
        try:
            self.ends[end].send(frame)
            self.counts["forwarded"] += 1
        except OSError:  # the interface is down, or its queue is full
            self.counts["refused"] += 1

    def take(self, way: int) -> None:
        """Read what has come, and decide when it goes on."""
        ahead = time.time() - time.monotonic()
        for _ in range(TURN):
            try:
                frame, stamps, _, _ = self.ends[way].recvmsg(LARGEST, STAMP_ROOM)
            except OSError:  # nothing more, or the interface is down
                return
            came_at = self.arrival(way, stamps, ahead)
            if self.box and self.is_stopped(self.box, way, frame, came_at):
                self.counts[Drop.FORGOTTEN.value] += 1
                continue
            fate = self.lanes[way].admit(len(frame) - VNET, now=came_at)
            if isinstance(fate, float) and self.load[way] >= TRAVELLING:
                fate = Drop.OVERFLOWED
            if isinstance(fate, Drop):
                self.counts[fate.value] += 1
                continue
            self.load[way] += 1
            # The count keeps frames of the same instant in order.
            heapq.heappush(self.travelling, (fate, next(self.count), way, frame))

    def arrival(self, way: int, stamps: list[Any], ahead: float) -> float:
        """
        Return when the kernel had a frame, on the monotonic clock.

        Args:
            way: Where it came from.
            stamps: What the kernel said beside it.
            ahead: By how much the wall clock is ahead of the monotonic one.
        """
        now = time.monotonic()
        came_at = now
        for _, _, data in stamps:
            seconds, nanoseconds = TIMESPEC.unpack(data[: TIMESPEC.size])
            came_at = seconds + nanoseconds * 1e-9 - ahead
        # Never backwards, also where somebody sets the wall clock.
        self.came_at[way] = min(now, max(came_at, self.came_at[way]))
        return self.came_at[way]

    def is_stopped(
        self, box: FlowTable, way: int, frame: bytes, came_at: float
    ) -> bool:
        """Return whether the box keeps a frame; it may answer it."""
        segment = Segment.read(frame)
        if segment is None:
            return False
        verdict = box.admit(segment.flow, segment.flags, now=came_at)
        if verdict is Verdict.RESET:
            self.put(way, segment.reset())
        return verdict is not Verdict.PASS

    def obeyed(self) -> None:
        """Answer how it went so far."""
        self.orders.send(to_plain(Precision.of(self.late, **self.counts)))

    def change(self, ways: list[int], weather: dict[str, Any]) -> None:
        """Change the weather in some directions."""
        for way in ways:
            self.lanes[way].weather = from_plain(Weather, weather)

    def remember(self, idle: float | None, *, resets: bool) -> None:
        """Put a box on the way that knows connections; None as *idle* is for ever."""
        idle = float("inf") if idle is None else idle
        self.box = FlowTable(idle=idle, resets=resets)

    def forget(self, hosts: list[str]) -> None:
        """Let the box forget the connections of some hosts, or of all."""
        if self.box:
            self.box.forget(*map(bytes.fromhex, hosts))

    def report(self) -> None:
        """Do nothing but answer."""


def main() -> None:
    """Run the wire's process."""
    orders, (near, far, seed) = child_channel(sys.argv)
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    ends = tuple(socket.socket(fileno=relow(int(fd))) for fd in (near, far))
    orders.send({})
    Forwarder((ends[0], ends[1]), orders, int(seed)).run()


if __name__ == "__main__":
    main()
