"""
A wire that takes its time: delay, jitter, loss, reordering and cuts.

A process of its own between two network interfaces. It takes whole frames from
one (a packet socket), keeps each for as long as it is told to, and puts it on
the other; so it needs neither ``netem`` in the kernel nor ``/dev/net/tun``,
which ordinary users often may not open.
"""

import ctypes
import heapq
import itertools
import os
import random
import select
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from deadpeer.lab.leash import Child, Lines, child_channel, relow
from deadpeer.lab.namespaces import Namespace

__all__ = ["Forwarder", "Way", "Wire", "packet_socket"]

# Source: linux/if_ether.h, linux/socket.h, linux/if_packet.h.
ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_VNET_HDR = 15
PACKET_IGNORE_OUTGOING = 23

# Source: linux/prctl.h. The kernel may let a sleeper oversleep by this much, in
# nanoseconds; its default is 50 µs.
PR_SET_TIMERSLACK = 29

# The largest frame that an interface with segmentation offload hands over, with
# room for its headers.
LARGEST = 1 << 17

# Frames waiting in one direction; more are dropped, as by a router's queue.
LIMIT = 1000

# Frames read from one side before the other gets its turn.
BURST = 64

# How many of the last frames the report on precision is about.
REMEMBERED = 10_000


@dataclass(slots=True, kw_only=True)
class Way:
    """
    What happens to frames in one direction.

    Args:
        delay: Seconds that each is kept.
        jitter: Up to so many seconds more or less, in order.
        loss: The part that is dropped, 0 to 1.
        reorder: The part that overtakes all that wait, 0 to 1.
        cut: Drop everything.
    """

    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    reorder: float = 0.0
    cut: bool = False


def packet_socket(namespace: Namespace, link: str) -> socket.socket:
    """
    Return a socket for the whole frames of one interface.

    Each frame comes and goes with the header of virtual network cards, which
    says what the sender left to the hardware (checksums, segmentation); passed
    on unchanged, it lets the other end finish the work.

    Source:
        packet(7); PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING (Linux 4.20).
    """
    with namespace.entered():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    sock.bind((link, ETH_P_ALL))
    sock.setblocking(False)  # noqa: FBT003
    return sock


class Wire(Child):
    """
    A running wire between two interfaces of a namespace.

    Args:
        namespace: Where both interfaces are.
        near: The name of one.
        far: The name of the other.
        delay: Seconds that a frame takes, each way.
    """

    def __init__(
        self, namespace: Namespace, near: str, far: str, *, delay: float = 0.0
    ) -> None:
        with (
            packet_socket(namespace, near) as one,
            packet_socket(namespace, far) as other,
        ):
            fds = one.fileno(), other.fileno()
            super().__init__("deadpeer.lab.wire", pass_fds=fds, arguments=map(str, fds))
        self.hear()  # it runs
        self.change(delay=delay)

    def change(self, *, ways: tuple[int, ...] = (0, 1), **values: float) -> None:
        """
        Change what happens to frames from now on.

        Args:
            ways: 0 for near to far, 1 for far to near.
            values: Fields of `Way`.
        """
        self.ask(ways=ways, values=values)

    def report(self) -> dict[str, Any]:
        """
        Return how well it keeps time.

        Returns:
            ``p50``, ``p99``, ``worst``: how late frames were put on their way,
            in seconds; ``forwarded`` and ``dropped`` frames.
        """
        return self.ask()


class Forwarder:
    """
    The loop of the wire's process.

    Args:
        ends: The two packet sockets' descriptors.
        orders: The way to the lab; its end ends the wire.
    """

    def __init__(self, ends: tuple[int, int], orders: Lines) -> None:
        self.ends = ends
        self.orders = orders
        self.sources = [*ends, orders.fileno()]
        self.ways = (Way(), Way())
        self.waiting: list[tuple[float, int, int, bytes]] = []
        self.queued = [0, 0]
        self.count = itertools.count()
        self.last_due = [0.0, 0.0]
        self.forwarded = 0
        self.dropped = 0
        self.late: deque[float] = deque(maxlen=REMEMBERED)
        self.is_running = True
        # Chance here is weather and no secret.
        self.random = random.Random()  # noqa: S311

    def run(self) -> None:
        """Forward until the lab is gone."""
        while self.is_running:
            self.deliver()
            timeout = None
            if self.waiting:
                timeout = max(0.0, self.waiting[0][0] - time.monotonic())
            # Not epoll, which counts in milliseconds.
            ready, _, _ = select.select(self.sources, [], [], timeout)
            for source in ready:
                if source in self.ends:
                    self.take(self.ends.index(source))
                else:
                    self.obey()

    def deliver(self) -> None:
        """Put every frame that is due on its way."""
        while self.waiting and self.waiting[0][0] <= time.monotonic():
            due, _, way, frame = heapq.heappop(self.waiting)
            self.queued[way] -= 1
            self.late.append(time.monotonic() - due)
            self.put(way, frame)

    def put(self, way: int, frame: bytes) -> None:
        """Hand a frame to the interface at the other end."""
        try:
            os.write(self.ends[1 - way], frame)
            self.forwarded += 1
        except OSError:  # the interface is down, or its queue is full
            self.dropped += 1

    def take(self, way: int) -> None:
        """Read what has come, and decide when it goes on."""
        rules = self.ways[way]
        for _ in range(BURST):
            try:
                frame = os.read(self.ends[way], LARGEST)
            except OSError:  # nothing more, or the interface is down
                return
            if self.is_lost(way):
                self.dropped += 1
            elif rules.delay or rules.jitter or self.queued[way]:
                self.keep(way, frame)
            else:
                self.put(way, frame)

    def is_lost(self, way: int) -> bool:
        """Return whether the next frame goes no further."""
        rules = self.ways[way]
        unlucky = rules.loss and self.random.random() < rules.loss
        return bool(rules.cut or unlucky or self.queued[way] >= LIMIT)

    def keep(self, way: int, frame: bytes) -> None:
        """Let a frame wait for its time."""
        rules, now = self.ways[way], time.monotonic()
        if rules.reorder and self.random.random() < rules.reorder:
            due = now
        else:
            extra = self.random.uniform(-rules.jitter, rules.jitter)
            due = max(now, self.last_due[way], now + rules.delay + extra)
            self.last_due[way] = due
        self.queued[way] += 1
        # The count keeps frames of the same instant in order.
        heapq.heappush(self.waiting, (due, next(self.count), way, frame))

    def obey(self) -> None:
        """Do what the lab wants."""
        messages = self.orders.receive()
        if messages is None:
            self.is_running = False
            return
        for message in messages:
            for way in message.get("ways", ()):
                for name, value in message["values"].items():
                    setattr(self.ways[way], name, value)
            self.orders.send(self.precision())

    def precision(self) -> dict[str, Any]:
        """Return how late frames were, and how many went which way."""
        late = sorted(self.late) or [0.0]
        return {
            "p50": late[len(late) // 2],
            "p99": late[len(late) * 99 // 100],
            "worst": late[-1],
            "forwarded": self.forwarded,
            "dropped": self.dropped,
        }


def main() -> None:
    """Run the wire's process."""
    orders, fds = child_channel(sys.argv)
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    near, far = (relow(int(fd)) for fd in fds)
    orders.send({})
    Forwarder((near, far), orders).run()


if __name__ == "__main__":
    main()
