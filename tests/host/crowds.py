"""
Many connections of one program, of which some peers die and others live.

The dead: idle with keepalive, with data in flight, with the window closed. The live:
idle, with keepalive, slow readers, and those that read nothing at all.
"""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.loopback import fill

from deadpeer.lab.faults import pull_cable
from deadpeer.lab.topology import BYSTANDER, SERVER, Topology

__all__ = ["Crowd", "crowd"]

PORT = 7003
SLOW = 64  # bytes that a slow reader takes at a time
ROOM = 4096  # what a buffer is asked to hold, so that windows close quickly


@dataclass
class Crowd:
    """
    Both ends of every connection, by the fate of the peer.

    ``netns`` is what the command line is told for the namespace of this end.
    """

    network: Topology
    netns: str
    dying: list[tuple[socket.socket, socket.socket]] = field(default_factory=list)
    living: list[tuple[socket.socket, socket.socket]] = field(default_factory=list)

    def pull(self) -> None:
        """Pull the cable of those that are to die, and leave them data to send."""
        pull_cable(self.network, None)
        for near, _ in self.dying[1::3]:
            near.send(b"x")

    def read_slowly(self) -> None:
        """Let every slow reader take a little."""
        for _, far in self.living[2::4]:
            with contextlib.suppress(BlockingIOError):
                far.recv(SLOW)

    def until(self, condition: Callable[[], bool], patience: float) -> bool:
        """Wait for something to become true, reading slowly meanwhile."""
        give_up_at = time.monotonic() + patience
        while not condition():
            if time.monotonic() > give_up_at:
                return False
            self.read_slowly()
            time.sleep(0.05)
        return True


@contextlib.contextmanager
def crowd(*, dying: int, living: int) -> Iterator[Crowd]:
    """Connect them all."""
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(Topology())
        made = Crowd(network=network, netns=f"/proc/self/fd/{network.client.fd}")
        for host, name, many, ends in (
            (network.server, SERVER, dying, made.dying),
            (network.bystander, BYSTANDER, living, made.living),
        ):
            with host.entered():
                listener = stack.enter_context(socket.socket())
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
                listener.bind((name[4], PORT))
                listener.listen(many)
            with network.client.entered():
                for _ in range(many):
                    near = stack.enter_context(socket.socket())
                    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
                    near.connect((name[4], PORT))
                    far = stack.enter_context(listener.accept()[0])
                    far.settimeout(0)
                    ends.append((near, far))
        for near, _ in (*made.dying[0::3], *made.living[1::4]):
            near.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        for near, _ in (*made.dying[2::3], *made.living[2::4], *made.living[3::4]):
            fill(near)
        yield made
