"""
A driver in virtual time: a monitor, a peer that lives or dies, and no loop.

It does what a front end does (reads what arrives, looks when it is time, sends
pings, drains) and everything that a front end fears: it may look late, always or
while it is blocked, and it looks before it reads, as some event loops do.
"""

import heapq
from collections.abc import Callable, Sequence

from deadpeer.core.events import Died, DrainDue, Event, PingDue
from deadpeer.core.facts import NO_FACTS, Facts
from deadpeer.core.monitor import Monitor
from deadpeer.policy.heartbeat import Heartbeat

__all__ = ["Driver", "watch"]

NEVER = float("inf")

# A driver that is woken more often has been told to spin.
MOST_TURNS = 20_000


def watch(
    monitor: Monitor, *, until: float, facts: Facts = NO_FACTS
) -> tuple[Event, ...]:
    """
    Look whenever the monitor wants to, punctually, and return what it told.

    Args:
        monitor: Who is driven; nothing arrives, and no ping is sent.
        until: The instant of the last look, in seconds; one is made then.
        facts: What the kernel knows all the time.
    """
    told: list[Event] = []
    for _ in range(MOST_TURNS):
        now = min(monitor.wake_at, until)
        events = monitor.advance(now=now, facts=facts)
        if events == (DrainDue(),) or now == until:
            events = monitor.drained(now=now, facts=facts)
        told += events
        if now == until:
            return tuple(told)
    raise AssertionError(f"still busy at {now}: {told[-5:]}")


class Driver:
    """
    Drive one monitor.

    Args:
        heartbeat: The rules.
        start: The present, in seconds.
        rtt: Seconds in which the peer answers; None for never.
        dies_at: From when on the peer does not answer, in seconds.
        beats: Instants at which bytes arrive unasked, in seconds.
        late: Seconds by which each look is late.
        blocked: Pairs of instants between which nothing is done.
        facts: What the kernel knows at an instant.
    """

    def __init__(
        self,
        heartbeat: Heartbeat,
        *,
        start: float = 0.0,
        rtt: float | None = None,
        dies_at: float = NEVER,
        beats: Sequence[float] = (),
        late: float = 0.0,
        blocked: Sequence[tuple[float, float]] = (),
        facts: Callable[[float], Facts] = lambda _now: Facts(),
    ) -> None:
        self.monitor = Monitor(heartbeat, now=start)
        self.now = start
        self.rtt = rtt
        self.dies_at = dies_at
        self.late = late
        self.blocked = blocked
        self.facts = facts
        self.arriving: list[tuple[float, int]] = [(at, -1) for at in sorted(beats)]
        self.told: list[tuple[float, Event]] = []
        self.last_read_at = start

    def run(self, *, until: float) -> list[Event]:
        """Drive until an instant, and return the changes that were told."""
        for _ in range(MOST_TURNS):
            arrives_at = self.arriving[0][0] if self.arriving else NEVER
            due_at = min(self.monitor.wake_at + self.late, arrives_at)
            if max(due_at, self.now) > until or due_at == NEVER:
                return self.changes
            self.now = self._free(max(due_at, self.now))
            if self.monitor.wake_at + self.late <= self.now:
                self._carry_out(self.monitor.advance(now=self.now))
            self._read()
        raise AssertionError(f"still busy at {self.now}: {self.told[-5:]}")

    @property
    def changes(self) -> list[Event]:
        """What was told, without the requests."""
        return [
            event
            for _, event in self.told
            if not isinstance(event, (PingDue, DrainDue))
        ]

    @property
    def death(self) -> Died | None:
        """The verdict, if there is one."""
        return next((one for one in self.changes if isinstance(one, Died)), None)

    def _free(self, at: float) -> float:
        return max([at, *(end for begin, end in self.blocked if begin <= at < end)])

    def _carry_out(self, events: tuple[Event, ...]) -> None:
        for event in events:
            self.told.append((self.now, event))
            if isinstance(event, PingDue):
                self.monitor.pinged(now=self.now)
                self._be_answered(event.sequence)
            elif isinstance(event, DrainDue):
                self._read()
                facts = self.facts(self.now)
                self._carry_out(self.monitor.drained(now=self.now, facts=facts))

    def _be_answered(self, sequence: int) -> None:
        if self.rtt is not None and self.now + self.rtt / 2 < self.dies_at:
            heapq.heappush(self.arriving, (self.now + self.rtt, sequence))

    def _read(self) -> None:
        while self.arriving and self.arriving[0][0] <= self.now:
            _, sequence = heapq.heappop(self.arriving)
            self.last_read_at = self.now
            if sequence < 0:
                self.monitor.heard(now=self.now)
            else:
                self.monitor.answered(sequence, now=self.now)
