"""
One network, one fault, and the peers of a watcher with heartbeats.

The same course of events as in ``rig``: connections are made, each is as silent
as its cell wants when the fault comes, the watcher says how they are, the
predictions are written down, then the fault. Some of the peers are on a host
beside the server, and live.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any, Self

from deadpeer.errors import LabError
from deadpeer.lab.beating import Beating
from deadpeer.lab.false_time import FalseTime
from deadpeer.lab.faults import apply_fault, drop_silently, return_without_state
from deadpeer.lab.forecast import BACK
from deadpeer.lab.heartbeats.conditions import conditions_for
from deadpeer.lab.heartbeats.selection import THROUGH, is_beside
from deadpeer.lab.loop import READ, Loop
from deadpeer.lab.peer import PORT, Peer
from deadpeer.lab.scenario import Cell, Measurement, Scenario
from deadpeer.lab.terms import HARDSHIPS, Fault, Situation
from deadpeer.lab.topology import BYSTANDER, CLIENT_TOO, SERVER, Topology, set_defaults
from deadpeer.lab.watched import Dialled
from deadpeer.lab.watcher import Watcher
from deadpeer.lab.wire.weather import CALM

__all__ = ["BeatingRig"]

# Seconds for connecting and warming up besides round trips, and how many of
# those it takes.
WARM_UP = 1.0
ROUND_TRIPS = 14

# Before a window is filled, the peer stops reading for so long; filling it takes
# so long, besides round trips. In seconds.
PAUSING = 0.25
FILLING = 0.5
FILLING_ROUND_TRIPS = 12

# How much longer a fault waits for a connection that is not in its situation
# yet, because the machine is busy, and how often it looks; in seconds.
PATIENCE = 5.0
LOOK = 0.02

BLOCKING = (Fault.LOOP_BLOCKED, Fault.LOOP_BLOCKED_LONGER)


class BeatingRig:
    """
    The network of one fault, for heartbeats.

    Args:
        fault: What will happen to it.
        cells: The connections that will see it.
        scenario: What was asked.
        loop: What calls it.

    Attributes:
        rtt: The round trip that was measured, in seconds.
    """

    def __init__(
        self,
        fault: Fault,
        cells: list[Cell],
        scenario: Scenario,
        loop: Loop,
    ) -> None:
        self.fault = fault
        self.loop = loop
        self.cells = cells
        self.plan = plan = conditions_for(fault, scenario, peers=THROUGH)
        self.rtt = 0.0
        self.patient_until = 0.0
        self.struck: Callable[[Fault], None] = lambda _: None
        self.connections: list[Beating] = []
        self.on_status: deque[Callable[[dict[str, Any]], None]] = deque()
        with ExitStack() as owned:
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
                Watcher(
                    self.topology.client, loop=scenario.loop, surroundings=surroundings
                )
            )
            for host in (self.topology.server, self.topology.bystander):
                set_defaults(host, plan.defaults)
            if fault is Fault.REBOOT:
                _ = self.topology.spare
            if plan.boxed and self.topology.wire:
                self.topology.wire.remember(idle=math.inf, resets=plan.resets)
            self.peer = owned.enter_context(Peer(self.topology.server))
            self.bystander = owned.enter_context(Peer(self.topology.bystander))
            self.owned = owned.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take it all down."""
        self.loop.forget(self.watcher.lines.fileno())
        self.owned.close()

    def connect(self, rtt: float, done: Callable[[Measurement], None]) -> None:
        """
        Wait for the watcher, and prepare its connections.

        Args:
            rtt: The round-trip time that was measured, in seconds.
            done: Called with each measurement.
        """
        self.rtt = rtt
        self.watcher.hear()  # it is ready
        self.loop.watch(self.watcher.lines.fileno(), READ, self.hear)
        self.connections = [
            Beating(cell, self.plan, done, name=str(number))
            for number, cell in enumerate(self.cells)
        ]

    # -- the course of events -----------------------------------------------

    def start(self, struck: Callable[[Fault], None], *, delay: float = 0.0) -> float:
        """
        Let it begin.

        Args:
            struck: Called when the fault has happened.
            delay: So many seconds later than it could be.

        Returns:
            When the fault will be, on the monotonic clock, if nobody is late.
        """
        self.struck = struck
        lead = WARM_UP + self.filling + ROUND_TRIPS * self.rtt
        lead += max(connection.cell.phase for connection in self.connections)
        fault_at = time.monotonic() + delay + lead
        self.watcher.dial(map(self.dialled, self.connections))
        for connection in self.connections:
            self.lead(connection, fault_at)
        self.patient_until = fault_at + PATIENCE
        self.loop.at(fault_at - self.head_start - LOOK, self.last_call)
        return fault_at

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

    @property
    def head_start(self) -> float:
        """How long before the fault data is sent that is then in flight."""
        return max((c.writes_before for c in self.connections), default=0.0)

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
        if not ready and time.monotonic() < self.patient_until:
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
