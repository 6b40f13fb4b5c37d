"""
A driver on the smallest event loop there is: select, one socket, one monitor.

    python examples/select_loop/select_loop.py 127.0.0.1 7000

asks a peer that answers each line ``ping 7`` with ``pong 7``, and prints what
becomes of it.
"""

import select
import socket
import sys
import time
from collections.abc import Callable

from deadpeer.core.events import Change, DrainDue, Event, PingDue, Reason
from deadpeer.core.facts import Facts
from deadpeer.core.monitor import Monitor
from deadpeer.core.states import State
from deadpeer.kernel.traffic import read_traffic
from deadpeer.policy.heartbeat import Heartbeat


class SelectLoop:
    def __init__(
        self, sock: socket.socket, heartbeat: Heartbeat, tell: Callable[[Change], None]
    ) -> None:
        self.sock, self.tell = sock, tell
        self.reading, self.rest, self.unsent = True, b"", bytearray()
        sock.settimeout(0)
        now = time.monotonic()
        self.monitor = Monitor(heartbeat, now=now, connecting=True)
        self.carry_out(self.monitor.opened(now=now))

    @property
    def is_open(self) -> bool:
        return self.monitor.state in (State.ALIVE, State.SUSPECT)

    def run(self, *, until: float) -> None:
        """Watch until an instant of time.monotonic, or until the peer is gone."""
        while self.is_open and (now := time.monotonic()) < until:
            self.wait(min(until, self.monitor.wake_at) - now)
            if self.monitor.wake_at <= (now := time.monotonic()):
                self.carry_out(self.monitor.advance(now=now))

    def wait(self, seconds: float) -> None:
        """Wait for the socket, then read and write what it has and takes."""
        reads = [self.sock] if self.reading else []
        writes = [self.sock] if self.unsent else []
        ready, room, _ = select.select(reads, writes, [], max(0.0, min(seconds, 3600)))
        try:
            if ready:
                self.heard(self.sock.recv(65536))
            if room and self.is_open:
                del self.unsent[: self.sock.send(self.unsent)]
        except BlockingIOError:
            pass  # it had, a moment ago
        except OSError:
            self.carry_out(self.monitor.failed(Reason.RESET, now=time.monotonic()))

    def heard(self, data: bytes) -> None:
        now = time.monotonic()
        if not data:
            self.carry_out(self.monitor.close(now=now))
            return
        self.monitor.heard(now=now)  # any byte is life
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"pong "):
                self.monitor.answered(int(line[5:]), now=now)

    def carry_out(self, events: tuple[Event, ...]) -> None:
        for event in events:
            if isinstance(event, PingDue):
                self.monitor.pinged(now=time.monotonic())  # due, sent or not
                self.unsent += b"ping %d\n" % event.sequence
            elif isinstance(event, DrainDue):
                self.wait(0)  # read first, then let it judge
                now = time.monotonic()
                self.carry_out(self.monitor.drained(now=now, facts=self.facts(now)))
            else:
                self.tell(event)

    def facts(self, now: float) -> Facts:
        """What the kernel knows: on Linux, that is more than silence."""
        known = read_traffic(self.sock, now=now)
        outstanding = known.outstanding
        return Facts(
            paused=not self.reading,
            arrived_at=known.arrived_at,
            acked=known.acked,
            acked_at=known.acked_at,
            delivered=known.delivered,
            repair=known.repair,
            outstanding=None if outstanding is None else outstanding + len(self.unsent),
            unanswered=known.unanswered,
        )


def main() -> None:
    host, port = sys.argv[1:]
    with socket.create_connection((host, int(port))) as sock:
        watched = SelectLoop(sock, Heartbeat(interval=2, timeout=1), print)
        watched.run(until=float("inf"))


if __name__ == "__main__":
    main()
