"""
A peer that is judged on an event loop: carries out what the monitor requests.

Theory of operation. The warden wakes it when its instant has come. A ping is
sent by whoever knows the protocol. When the monitor wants everything read before
it says anything, the loop gets a few turns for that, and the kernel is asked
for what is still unread; then the facts are handed in, and what changed is told.
"""

import asyncio
from typing import Any, Final

from deadpeer.aio.evidence import gather
from deadpeer.aio.warden import Ward, Warden, warden_of
from deadpeer.core import judge as codes
from deadpeer.core.compiling import mypyc_attr
from deadpeer.core.events import Change, DrainDue, Event, Evidence, PingDue
from deadpeer.core.facts import NO_FACTS, Facts
from deadpeer.core.judge import look_at_quiet_peer
from deadpeer.core.monitor import Monitor
from deadpeer.core.rtt import Rtt
from deadpeer.core.states import State

__all__ = ["Judged"]

# Turns of the loop in which what has arrived is read before anybody is accused.
# asyncio runs timers after reading, uvloop before; a task that awaits a stream
# runs one turn after the bytes came, and a library on top of it one more.
FEWEST_TURNS: Final = 3
# A reader that takes more turns than this has stopped reading, as we see it.
MOST_TURNS: Final = 32


@mypyc_attr(allow_interpreted_subclasses=True)
class Judged(Ward):
    """
    One peer of one loop.

    Args:
        monitor: Who judges.
        loop: Whose timer is used.
    """

    __slots__ = ("_draining", "monitor", "warden")

    def __init__(self, monitor: Monitor, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.monitor = monitor
        self.warden: Warden = warden_of(loop)
        # The turns that are left for reading, and since when it is read.
        self._draining: tuple[int, float] | None = None

    # What the protocol has to offer.

    def _ask(self, sequence: int, now: float) -> None:
        """Hand a ping to the transport and tell the monitor."""
        raise NotImplementedError

    def _changed(self, change: Change) -> None:
        """Something changed."""
        raise NotImplementedError

    def _judged_transport(self) -> Any:
        """Return the transport, or None if there is none any more."""
        raise NotImplementedError

    # What a program asks.

    @property
    def state(self) -> State:
        """What is known of the peer."""
        return self.monitor.state

    @property
    def rtt(self) -> Rtt | None:
        """Round trips so far, in seconds, or None without an answered ping."""
        return self.monitor.rtt

    def evidence(self) -> Evidence:
        """Return what is known right now, as a verdict would show it."""
        now = self.warden.clock()
        return self.monitor.evidence(now=now, facts=self._facts(now))

    # What the warden asks.

    def _arm(self) -> None:
        """Have the warden call when the monitor wants to look."""
        at = self.monitor.row.wake_at
        if at != self.armed_at:
            self.warden.wake(self, at=at)

    def due(self, now: float) -> None:
        """
        Look at the peer.

        Args:
            now: The present, in seconds.
        """
        self._look(now)
        self._arm()

    def _look(self, now: float) -> None:
        monitor = self.monitor
        row = monitor.row
        if row.heard_at >= row.asked_at and row.state == codes.ALIVE:
            # Nothing is open: no news can come of it, so that part of the judge
            # is asked directly. Nearly every look at every peer ends here.
            action, row.wake_at = look_at_quiet_peer(monitor.heartbeat, row, now=now)
            if action == codes.PING:
                self._ask(row.sequence, now)
        else:
            self._carry_out(monitor.advance(now=now))

    def slept(self, duration: float, now: float) -> None:
        """
        Tell the monitor that the machine was suspended.

        Args:
            duration: For how many seconds.
            now: The present, in seconds.
        """
        facts = Facts(slept=duration)
        self._carry_out(self.monitor.advance(now=now, facts=facts))
        self._arm()

    def hear(self, now: float) -> None:
        """
        Bytes came.

        Args:
            now: When, in seconds.
        """
        row = self.monitor.row
        row.heard_at = now
        if row.state == codes.SUSPECT:
            self._carry_out(self.monitor.advance(now=now))
            self._arm()

    def _carry_out(self, events: tuple[Event, ...]) -> None:
        """Do what is requested and tell what changed."""
        for event in events:
            if isinstance(event, PingDue):
                # Who was told of something before it may have closed meanwhile.
                if self.monitor.row.state <= codes.SUSPECT:
                    self._ask(event.sequence, self.warden.clock())
            elif isinstance(event, DrainDue):
                self._start_to_drain()
            else:
                self._changed(event)

    # Drain before the verdict.

    def _facts(self, now: float) -> Facts:
        """Return what transport and kernel know."""
        transport = self._judged_transport()
        return NO_FACTS if transport is None else gather(transport, now=now)[0]

    def _start_to_drain(self) -> None:
        if self._draining is None:
            self._drain_on(MOST_TURNS, self.warden.clock())

    def _drain_on(self, turns_left: int, since: float) -> None:
        self._draining = turns_left, since
        asyncio.get_running_loop().call_soon(self._drain)

    def _drain(self) -> None:
        assert self._draining is not None  # noqa: S101 - who calls has set it
        turns_left, since = self._draining
        turns_left -= 1
        if turns_left > MOST_TURNS - FEWEST_TURNS:
            self._drain_on(turns_left, since)
            return
        self._draining = None
        transport = self._judged_transport()
        if transport is None or self.monitor.row.state > codes.SUSPECT:
            return
        now = self.warden.clock()
        if now - since > codes.PUNCTUAL:
            # The loop was blocked meanwhile: what arrived then has to be read
            # too. Once, or a loop that is always slow would accuse nobody.
            self._drain_on(MOST_TURNS, codes.NEVER)
            return
        facts, unread = gather(transport, now=now)
        if turns_left and unread and not facts.paused:
            self._drain_on(turns_left, since)
            return
        if unread:  # nobody reads: it may have said that it lives
            facts = facts._replace(paused=True)
        self._carry_out(self.monitor.drained(now=now, facts=facts))
        self._arm()
