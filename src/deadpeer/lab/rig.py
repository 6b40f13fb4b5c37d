"""
One network, one fault, and all the connections that see it.

The course of events: connections are made and warmed up; each is led into its
situation so that it is there, for a known time, when the fault comes; each one's
prediction is written down; then the fault; then they are watched, each until its
own observation ends.
"""

import math
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

from deadpeer.lab.connection import Connection
from deadpeer.lab.faults import apply_fault, heal, return_without_state
from deadpeer.lab.forecast import BACK
from deadpeer.lab.loop import Loop
from deadpeer.lab.peer import Peer
from deadpeer.lab.scenario import Cell, Measurement, Scenario
from deadpeer.lab.selection import outage
from deadpeer.lab.terms import Fault, Situation
from deadpeer.lab.topology import Topology
from deadpeer.lab.wire.weather import Weather

__all__ = ["Rig"]

# Seconds for connecting and warming up besides round trips, and for each
# connection.
WARM_UP = 1.0
EACH = 0.003

# Round trips that connecting, warming up and filling a window take, with some
# to spare.
ROUND_TRIPS = 14

# How long filling a window takes besides round trips: the peer acknowledges
# late what it does not read.
FILLING = 0.15
FILLING_ROUND_TRIPS = 8

# How long before that the peer stops reading: what it still reads makes the window
# grow.
PAUSING = 0.25

# How much longer a fault waits for a connection that is not in its situation yet,
# because the machine is busy, and how often it looks; in seconds.
PATIENCE = 5.0
LOOK = 0.01

# A reader that resumes after an outage does so a little after it.
AFTERWARDS = 0.1


class Rig:
    """
    The network of one fault.

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
        self.cells = cells
        self.scenario = scenario
        self.loop = loop
        self.rtt = 0.0
        self.patient_until = 0.0
        self.struck: Callable[[Fault], None] = lambda _: None
        self.connections: list[Connection] = []
        boxed = fault is Fault.FORGOTTEN
        weather = Weather(delay=scenario.rtt / 2) if boxed else None
        self.topology = Topology(
            rtt=scenario.rtt, defaults=scenario.defaults, weather=weather
        )
        try:
            if fault is Fault.REBOOT:
                _ = self.topology.spare
            if boxed and self.topology.wire:
                self.topology.wire.remember(idle=math.inf)
            self.peer = Peer(self.topology.server)
        except BaseException:
            self.topology.close()
            raise

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
        for connection in self.connections:
            connection.close()
        self.peer.close()
        self.topology.close()

    def connect(self, rtt: float, done: Callable[[Measurement], None]) -> None:
        """
        Make the sockets.

        Args:
            rtt: The round-trip time that was measured, in seconds.
            done: Called with each measurement.
        """
        self.rtt = rtt
        self.connections = [
            Connection(cell, self.loop, self.topology.client, done)
            for cell in self.cells
        ]

    # -- the course of events -----------------------------------------------

    def start(self, struck: Callable[[Fault], None], *, delay: float = 0.0) -> float:
        """
        Let it begin.

        Args:
            struck: Called when the fault has happened.
            delay: So many seconds later than it could be, so that not all
                networks are struck at once.

        Returns:
            When the fault will be, on the monotonic clock, if nobody is late.
        """
        self.struck = struck
        phases = [connection.cell.phase for connection in self.connections]
        lead = WARM_UP + max(phases) + ROUND_TRIPS * self.rtt
        fault_at = time.monotonic() + delay + lead + EACH * len(phases)
        for connection in self.connections:
            if connection.cell.situation is not Situation.CONNECTING:
                connection.connect()
            self.lead(connection, fault_at)
        self.patient_until = fault_at + PATIENCE
        self.loop.at(fault_at - self.head_start, self.last_call)
        return fault_at

    def lead(self, connection: Connection, fault_at: float) -> None:
        """Plan how a connection gets into its situation."""
        cell = connection.cell
        # What is asked now is heard one round trip later.
        heard_at = fault_at - cell.phase - self.rtt
        match cell.situation:
            case Situation.CONNECTING:
                pass
            case Situation.READER_PAUSES:
                self.loop.at(fault_at - PAUSING, partial(self.pause, connection))
            case Situation.WE_SHUT_DOWN:
                self.loop.at(heard_at, connection.shut_down)
            case Situation.PEER_SHUT_DOWN:
                self.loop.at(heard_at, lambda: self.peer.shut_down(connection.name))
            case Situation.ZERO_WINDOW:
                full_at = heard_at - FILLING - FILLING_ROUND_TRIPS * self.rtt
                self.loop.at(full_at - PAUSING, partial(self.pause, connection))
                self.loop.at(full_at, connection.fill)
            case _:
                self.loop.at(heard_at, connection.ask)

    def pause(self, connection: Connection) -> None:
        """Have the peer read no more of a connection."""
        self.peer.pause(connection.name)

    @property
    def early(self) -> list[Connection]:
        """The connections that write before the fault."""
        return [c for c in self.connections if (c.cell.write_at or 0.0) < 0]

    @property
    def head_start(self) -> float:
        """How long before the fault they do, in seconds."""
        return max((-(c.cell.write_at or 0.0) for c in self.early), default=0.0)

    @property
    def is_patient(self) -> bool:
        """Whether there is still time to wait for the slowest."""
        return time.monotonic() < self.patient_until

    def last_call(self) -> None:
        """Wait until everyone is in its situation; then go on."""
        if self.is_patient and not all(c.is_settled() for c in self.connections):
            self.loop.at(time.monotonic() + LOOK, self.last_call)
            return
        for connection in self.early:
            connection.write()
        self.loop.at(time.monotonic() + self.head_start, self.strike)

    def strike(self) -> None:
        """Write the predictions down, do it, and watch."""
        acknowledged = [
            c for c in self.early if not (c.is_over or c.has_data_in_flight())
        ]
        if acknowledged and self.is_patient:
            # This process was not woken in time; again.
            self.last_call()
            return
        now = time.monotonic()
        for connection in self.connections:
            connection.predict(fault_at=now, rtt=self.rtt)
        began = time.monotonic()
        apply_fault(self.fault, self.topology, self.peer)
        for connection in self.connections:
            connection.fault_at = began
            self.follow(connection)
        self.afterwards(began)
        self.struck(self.fault)

    def follow(self, connection: Connection) -> None:
        """Plan what a connection does after the fault."""
        cell, began = connection.cell, connection.fault_at
        self.loop.at(began + cell.observed_for, connection.conclude)
        connection.require_settled()
        if cell.situation is Situation.CONNECTING:
            connection.connect()
        if cell.write_at is not None and cell.write_at >= 0:
            self.loop.at(began + cell.write_at, connection.write)
        if cell.situation is Situation.READER_PAUSES:
            connection.fill()
            self.loop.at(
                began + (cell.pause or 0.0), lambda: self.peer.read_on(connection.name)
            )

    def afterwards(self, began: float) -> None:
        """Plan what heals by itself."""
        if self.fault is Fault.REBOOT:
            self.loop.at(began + BACK[0], lambda: return_without_state(self.topology))
        if self.fault is Fault.OUTAGE:
            self.loop.at(began + outage(self.scenario), self.recover)

    def recover(self) -> None:
        """End the outage; the readers read on."""
        heal(self.topology)
        for connection in self.connections:
            if connection.cell.situation is Situation.ZERO_WINDOW:
                resume = partial(self.peer.read_on, connection.name)
                self.loop.at(time.monotonic() + AFTERWARDS, resume)
