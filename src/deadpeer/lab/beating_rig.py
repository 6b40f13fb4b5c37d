"""
One network, one fault, and the peers of a watcher with heartbeats.

The watcher says how its connections are before predictions are written down. Some
of the peers are on a host beside the server, and live.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from deadpeer.errors import LabError
from deadpeer.lab.beating import Beating
from deadpeer.lab.false_time import FalseTime
from deadpeer.lab.faults import apply_fault, drop_silently, return_without_state
from deadpeer.lab.forecast import BACK
from deadpeer.lab.heartbeats.conditions import conditions_for
from deadpeer.lab.heartbeats.selection import THROUGH, is_beside
from deadpeer.lab.loop import READ
from deadpeer.lab.peer import PORT, Peer
from deadpeer.lab.rig import Rig
from deadpeer.lab.scenario import Measurement
from deadpeer.lab.terms import HARDSHIPS, Fault, Situation
from deadpeer.lab.topology import BYSTANDER, CLIENT_TOO, SERVER, Topology, set_defaults
from deadpeer.lab.watched import Dialled
from deadpeer.lab.watcher import Watcher
from deadpeer.lab.wire.weather import CALM

__all__ = ["BeatingRig"]

# Before a window is filled, the peer stops reading for so long; filling it takes
# so long, besides round trips. In seconds.
PAUSING = 0.25
FILLING = 0.5
FILLING_ROUND_TRIPS = 12

# How often it is looked whether a connection is in its situation, in seconds.
LOOK = 0.02

BLOCKING = (Fault.LOOP_BLOCKED, Fault.LOOP_BLOCKED_LONGER)


class BeatingRig(Rig[Beating]):
    """
    The network of one fault, for heartbeats.

    Attributes:
        plan: What it goes through.
    """

    notice = LOOK

    def build(self) -> None:
        """Build the network, and start the watcher and the peers."""
        scenario, owned = self.scenario, self.owned
        self.plan = plan = conditions_for(self.fault, scenario, peers=THROUGH)
        self.on_status: deque[Callable[[dict[str, Any]], None]] = deque()
        lies = {plan.before, plan.weather} != {CALM} or plan.boxed
        self.topology = owned.enter_context(
            Topology(weather=plan.before if lies else None, defaults=plan.defaults)
        )
        surroundings = {}
        if plan.step:
            self.wall_clock = owned.enter_context(FalseTime())
            surroundings = dict(self.wall_clock.surroundings)
        # It starts while the rest is built.
        self.watcher = owned.enter_context(
            Watcher(self.topology.client, loop=scenario.loop, surroundings=surroundings)
        )
        for host in (self.topology.server, self.topology.bystander):
            set_defaults(host, plan.defaults)
        if self.fault is Fault.REBOOT:
            _ = self.topology.spare
        if plan.boxed and self.topology.wire:
            self.topology.wire.remember(idle=math.inf, resets=plan.resets)
        self.peer = owned.enter_context(Peer(self.topology.server))
        self.bystander = owned.enter_context(Peer(self.topology.bystander))

    def connect(self, rtt: float, done: Callable[[Measurement], None]) -> None:
        """
        Wait for the watcher, and prepare its connections.

        Args:
            rtt: The round-trip time that was measured, in seconds.
            done: Called with each measurement.
        """
        self.rtt = rtt
        self.watcher.hear()  # it is ready
        lines = self.watcher.lines.fileno()
        self.loop.watch(lines, READ, self.hear)
        self.owned.callback(self.loop.forget, lines)
        self.connections = [
            Beating(cell, self.plan, done, name=str(number))
            for number, cell in enumerate(self.cells)
        ]

    # -- the course of events -----------------------------------------------

    @property
    def preparation(self) -> float:
        """What this kind takes to begin besides what every rig takes, in seconds."""
        return self.filling

    def begin(self) -> None:
        """Have the watcher connect."""
        self.watcher.dial(map(self.dialled, self.connections))

    def dialled(self, connection: Beating) -> Dialled:
        """Return whom the watcher connects to for a cell."""
        cell = connection.cell
        beside = is_beside(cell)
        return Dialled(
            name=connection.name,
            address=(BYSTANDER if beside else SERVER)[cell.family],
            port=PORT,
            source=CLIENT_TOO[cell.family] if beside else "",
            heartbeat=self.plan.heartbeat,
        )

    @property
    def filling(self) -> float:
        """How long pausing a reader and filling its window takes, in seconds."""
        return 2 * PAUSING + FILLING + FILLING_ROUND_TRIPS * self.rtt

    def lead(self, connection: Beating, fault_at: float) -> None:
        """Plan how a connection gets into its situation."""
        name = connection.name
        # What is asked now is heard one round trip later.
        ask_at = fault_at - connection.cell.phase - self.rtt
        if connection.cell.situation is Situation.ZERO_WINDOW:
            ask_at = fault_at - self.filling
            self.loop.at(ask_at + PAUSING + self.rtt, partial(self.peer.pause, name))
            self.loop.at(ask_at + 2 * PAUSING, partial(self.watcher.fill, name))
        self.loop.at(ask_at, partial(self.watcher.question, name))

    def last_call(self) -> None:
        """Ask whether everyone is in its situation."""
        self.look(self.go_on)

    def go_on(self, status: dict[str, Any]) -> None:
        """Wait a little longer, or write what is to be in flight."""
        ready = all(status[c.name]["ready"] for c in self.connections if not c.is_over)
        if not ready and self.is_patient:
            self.loop.at(time.monotonic() + LOOK, self.last_call)
            return
        self.write(before=True)
        strike_at = time.monotonic() + self.head_start
        self.loop.at(strike_at, lambda: self.look(self.strike))

    def write(self, *, before: bool) -> None:
        """Send what is to be in flight, before the fault or right after it."""
        for connection in self.connections:
            if connection.cell.situation is Situation.UNACKNOWLEDGED and before == bool(
                connection.writes_before
            ):
                self.watcher.send(connection.name, 1)

    def strike(self, status: dict[str, Any]) -> None:
        """Write the predictions down, do it, and watch."""
        began = time.monotonic()
        for connection in self.connections:
            connection.predict(status[connection.name], fault_at=began, rtt=self.rtt)
        self.do()
        self.write(before=False)
        for connection in self.connections:
            until = began + connection.cell.observed_for
            self.loop.at(until, partial(self.conclude, connection))
            if connection.cell.situation is Situation.SENDING:
                self.watcher.send(connection.name, self.share(connection))
            if connection.cell.situation is Situation.RECEIVING:
                self.bystander.pour(connection.name, self.share(connection))
        self.struck(self.fault)

    def share(self, connection: Beating) -> int:
        """Return how much of the large message a connection carries."""
        same = [
            c for c in self.connections if c.cell.situation is connection.cell.situation
        ]
        return connection.expect(self.plan.message // len(same))

    def do(self) -> None:
        """Do what the fault's name says, and plan its end."""
        plan, ends_at = self.plan, time.monotonic() + self.plan.lasts
        if plan.weather != plan.before and self.topology.wire:
            self.topology.wire.change(plan.weather)
        if self.fault is Fault.WATCHER_STOPPED:
            self.watcher.stop()
            self.loop.at(ends_at, self.watcher.resume)
        if self.fault in BLOCKING:
            self.watcher.block(plan.lasts)
        if plan.step:
            self.wall_clock.step(plan.step)
            self.loop.at(ends_at, partial(self.wall_clock.step, -plan.step))
        if self.fault in HARDSHIPS:
            drop_silently(self.topology, self.peer)
        else:
            apply_fault(self.fault, self.topology, self.peer)
        if self.fault is Fault.REBOOT:
            back_at = time.monotonic() + BACK[0]
            self.loop.at(back_at, partial(return_without_state, self.topology))

    def conclude(self, connection: Beating) -> None:
        """End an observation; a live peer has to have been heard."""
        if not connection.is_over:
            self.look(lambda status: connection.conclude(status[connection.name]))

    # -- what the watcher says ----------------------------------------------

    def look(self, then: Callable[[dict[str, Any]], None]) -> None:
        """Have the watcher say how its connections are, and go on with that."""
        self.on_status.append(then)
        self.watcher.look()

    def hear(self, events: int) -> None:
        """
        Take what the watcher says.

        Raises:
            LabError: It is gone.
        """
        del events
        messages = self.watcher.lines.receive()
        if messages is None:
            raise LabError("the lab's watcher ended before its time")
        for news in messages:
            if news["what"] == "status":
                self.on_status.popleft()(news["peers"])
            else:
                self.connections[int(news["name"])].ended(news)
