"""
The simulated driver: what every driver has to be like, in one plain loop.

A ``Monitor``, a ``LinkModel`` and the far end of a script; no event loop, no
sockets, no clock. It is punctual up to the granularity of timers that it is
given, and reads everything before it lets anybody be accused.
"""

import math
from collections import deque

from deadpeer.core import judge as codes
from deadpeer.core.events import Change, DrainDue, Event, PingDue, Reason
from deadpeer.core.facts import Facts
from deadpeer.core.monitor import Monitor
from deadpeer.core.wheel import Wheel
from deadpeer.policy.keepalive import require_seconds
from deadpeer.testing.far_end import FarEnd, FarOnLink, Lines
from deadpeer.testing.link_model import LinkModel, Shape, Side
from deadpeer.testing.scripts import Act, Script, Step

__all__ = ["simulate"]

AT_ONCE = 1 << 20

# A driver that is woken more often in one script has been told to spin.
MOST_TURNS = 100_000


def simulate(
    script: Script, *, tick: float = 0.0, looks_first: bool = False
) -> tuple[Change, ...]:
    """
    Return what a driver has to tell, with instants from second 0 of the script.

    Args:
        script: What happens.
        tick: How coarse the driver's timers are, in seconds: it looks at the next
            whole multiple of this. 0 is exact.
        looks_first: What to do first when there is something to read and a look is
            due, too: after a block, mostly. Event loops differ in that.

    Raises:
        AssertionError: The monitor never stops asking to be called.
        ConfigError: *tick* is no duration.
    """
    require_seconds("tick", tick, zero=True)
    return Simulated(script, tick=tick, looks_first=looks_first).run()


class Simulated:
    """
    One run of a script.

    Args:
        script: What happens.
        tick: How coarse the timers are, in seconds.
        looks_first: Whether it looks before it reads when both are due.
    """

    def __init__(self, script: Script, *, tick: float, looks_first: bool) -> None:
        self.script = script
        self.tick = tick
        self.looks_first = looks_first
        self.now = 0.0
        self.link = LinkModel(Shape(delay=script.delay), now=0.0)
        self.kernel = self.link.kernels[Side.LEFT]
        self.monitor = Monitor(script.heartbeat, now=0.0, connecting=True)
        self.steps = deque(script.of_watcher)
        self.speech = Lines()
        self.waiting = bytearray()  # what the kernel has no room for
        self.paused = False
        self.told: list[Change] = []
        far = FarEnd(script)
        FarOnLink(far, self.link, now=0.0)
        far.begin(now=0.0)

    def run(self) -> tuple[Change, ...]:
        """Play the script to its end, and return what was told."""
        self._carry_out(self.monitor.opened(now=0.0))
        for _ in range(MOST_TURNS):
            look_at = self._look_at()
            step_at = self.steps[0].at if self.steps else math.inf
            instant = min(look_at, step_at, self.link.next_at)
            self.now = max(self.now, instant)
            if self.now >= self.script.until:
                return tuple(self.told)
            self._turn(look_at, step_at)
        raise AssertionError(f"still busy at {self.now} s: {self.script}")

    def _turn(self, look_at: float, step_at: float) -> None:
        self.link.advance(now=self.now)
        if self.looks_first and look_at <= self.now:
            self._carry_out(self.monitor.advance(now=self.now))
        self._read()
        self._flush()
        if step_at <= self.now:
            self._do(self.steps.popleft())
        elif not self.looks_first and self._look_at() <= self.now:
            self._carry_out(self.monitor.advance(now=self.now))

    def _look_at(self) -> float:
        at = self.monitor.wake_at
        if at == math.inf or not self.tick:
            return at
        wheel = Wheel[None](tick=self.tick)
        wheel.add(None, at=at)
        return wheel.next_at

    def _do(self, step: Step) -> None:
        match step.act:
            case Act.BLOCK:
                self.now += step.amount
            case Act.PAUSE:
                self.paused = True
            case Act.RESUME:
                self.paused = False
                self._read()
            case Act.WRITE:
                self._write(self.speech.filling(int(step.amount)))

    # What the peer sent.

    def _read(self) -> None:
        if self.paused or self.monitor.row.state > codes.SUSPECT:
            return
        kernel, monitor, now = self.kernel, self.monitor, self.now
        if kernel.unread:
            data = kernel.read(AT_ONCE, now=now)
            monitor.heard(now=now)
            for number in self.speech.answers(data):
                monitor.answered(number, now=now)
            if monitor.row.state == codes.SUSPECT:
                self._carry_out(monitor.advance(now=now))
        if kernel.failed:
            self._carry_out(monitor.failed(Reason.RESET, now=now))
        elif kernel.eof:
            self._carry_out(monitor.close(now=now))

    def _write(self, data: bytes) -> None:
        if self.kernel.failed and not self.waiting:
            self._carry_out(self.monitor.failed(Reason.RESET, now=self.now))
            return
        self.waiting += data
        self._flush()

    def _flush(self) -> None:
        if self.waiting:
            taken = self.kernel.write(self.waiting, now=self.now)
            del self.waiting[:taken]

    # What the monitor requests.

    def _carry_out(self, events: tuple[Event, ...]) -> None:
        for event in events:
            if isinstance(event, PingDue):
                self.monitor.pinged(now=self.now)
                self._write(self.speech.question(event.sequence))
            elif isinstance(event, DrainDue):
                self._read()
                facts = self._facts()
                self._carry_out(self.monitor.drained(now=self.now, facts=facts))
            else:
                self.told.append(event)

    def _facts(self) -> Facts:
        kernel = self.kernel
        return Facts(
            paused=self.paused,
            arrived_at=kernel.arrived_at,
            acked=kernel.acked,
            acked_at=kernel.acked_at,
            delivered=kernel.delivered,
            repair=kernel.repair,
            outstanding=kernel.outstanding + len(self.waiting),
            unanswered=kernel.unanswered(now=self.now),
        )
