"""
A guarded connection to a peer that answers, in virtual time.

``p`` is the question and ``a`` the answer; any other byte is data.
"""

import asyncio
from typing import Any

from deadpeer.aio.guarding import guard
from deadpeer.core.events import Died
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.testing import FakeLink

# One second of silence, one for the answer.
QUICK = Heartbeat(interval=1.0, timeout=1.0)
# What the promise leaves for timers and for reading first, in seconds.
SLACK = 0.05


class Answering(asyncio.Protocol):
    """The peer: answers each question."""

    def connection_made(self, transport):
        self.transport = transport
        self.taken = 0

    def data_received(self, data):
        self.taken += len(data)
        if data.count(b"p"):
            self.transport.write(b"a" * data.count(b"p"))


class Watching(asyncio.Protocol):
    """This end: tells its guard what it hears."""

    guard: Any = None
    tells_of_loss = False

    def connection_made(self, transport):
        self.transport = transport
        self.taken = 0

    def data_received(self, data):
        self.taken += len(data)
        if self.guard is not None:
            self.guard.heard()
            for _ in range(data.count(b"a")):
                self.guard.answered()

    def connection_lost(self, error):
        if self.tells_of_loss:
            self.guard.lost(error)


class Pair:
    """A link with its two ends, and a guard over the left one."""

    def __init__(self, heartbeat=QUICK, *, link=None, ask=None, **options):
        self.link = FakeLink(delay=0.1) if link is None else link
        self.near: Any = Watching()
        self.far: Any = Answering()
        self.left: Any
        self.right: Any
        self.left, self.right = self.link.connect(lambda: self.near, lambda: self.far)
        self.seen: list[Any] = []
        self.asked: list[int] = []
        self.heartbeat = heartbeat
        self.guard: Any = guard(
            self.left,
            heartbeat=heartbeat,
            send_ping=None if heartbeat.one_way else ask or self.ask,
            on_change=self.seen.append,
            **options,
        )
        self.near.guard = self.guard

    def ask(self, number):
        self.asked.append(number)
        self.left.write(b"p")

    @property
    def kinds(self):
        return [type(change).__name__ for change in self.seen]

    @property
    def death(self):
        """The verdict as an event; fails the test if there is none."""
        (died,) = [change for change in self.seen if isinstance(change, Died)]
        return died

    def was_found_in_time(self):
        """Whether the peer is dead, and was called so as early as was promised."""
        late = self.death.at - self.death.evidence.heard_at - self.heartbeat.detection
        return -self.heartbeat.detection < late <= SLACK
