"""
One network, one fault, and all the connections that see it.

The course of events: connections are made and warmed up; each is led into its
situation so that it is there, for a known time, when the fault comes; each one's
prediction is written down; then the fault; then they are watched, each until its
own observation ends.
"""

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
from deadpeer.lab.scenario import Cell, Fault, Measurement, Scenario, Situation
from deadpeer.lab.selection import outage
from deadpeer.lab.topology import Topology

__all__ = ["Rig"]

# Seconds for connecting and warming up besides round trips, and for each
# connection.
WARM_UP = 0.7
EACH = 0.003

# Round trips that connecting, warming up and filling a window take, with some
# to spare.
ROUND_TRIPS = 14

# How long filling a window takes besides round trips: the peer acknowledges
# late what it does not read.
FILLING = 0.15
FILLING_ROUND_TRIPS = 8

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
        self.connections: list[Connection] = []
        self.topology = Topology(rtt=scenario.rtt, defaults=scenario.defaults)
        try:
            if fault is Fault.REBOOT:
                _ = self.topology.spare
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

    def start(self, *, delay: float = 0.0) -> float:
        """
        Let it begin.

        Args:
            delay: So many seconds later than it could be, so that not all
                networks are struck at once.

        Returns:
            When the fault will be, on the monotonic clock.
        """
        phases = [connection.cell.phase for connection in self.connections]
        lead = WARM_UP + max(phases) + ROUND_TRIPS * self.rtt
        fault_at = time.monotonic() + delay + lead + EACH * len(phases)
        for connection in self.connections:
            if connection.cell.situation is not Situation.CONNECTING:
                connection.connect()
            self.lead(connection, fault_at)
        self.loop.at(fault_at, self.strike)
        return fault_at

    def lead(self, connection: Connection, fault_at: float) -> None:
        """Plan how a connection gets into its situation."""
        cell = connection.cell
        # What is asked now is heard one round trip later.
        heard_at = fault_at - cell.phase - self.rtt
        match cell.situation:
            case Situation.CONNECTING | Situation.READER_PAUSES:
                pass
            case Situation.WE_SHUT_DOWN:
                self.loop.at(heard_at, connection.shut_down)
            case Situation.PEER_SHUT_DOWN:
                self.loop.at(heard_at, lambda: self.peer.shut_down(connection.name))
            case Situation.ZERO_WINDOW:
                before = FILLING + FILLING_ROUND_TRIPS * self.rtt
                self.loop.at(heard_at - before, lambda: self.stall(connection))
            case _:
                self.loop.at(heard_at, connection.ask)
        if cell.write_at is not None and cell.write_at < 0:
            self.loop.at(fault_at + cell.write_at, connection.write)

    def stall(self, connection: Connection) -> None:
        """Close a connection's window: the peer reads no more, and we send."""
        self.peer.pause(connection.name)
        connection.fill()

    def strike(self) -> None:
        """Write the predictions down, do it, and watch."""
        now = time.monotonic()
        for connection in self.connections:
            connection.predict(fault_at=now, rtt=self.rtt)
        began = time.monotonic()
        apply_fault(self.fault, self.topology, self.peer)
        for connection in self.connections:
            connection.fault_at = began
            self.follow(connection)
        self.afterwards(began)

    def follow(self, connection: Connection) -> None:
        """Plan what a connection does after the fault."""
        cell, began = connection.cell, connection.fault_at
        self.loop.at(began + cell.observed_for, connection.conclude)
        if not connection.is_ready:
            connection.finish_unready()
        if cell.situation is Situation.CONNECTING:
            connection.connect()
        if cell.write_at is not None and cell.write_at >= 0:
            self.loop.at(began + cell.write_at, connection.write)
        if cell.situation is Situation.READER_PAUSES:
            self.stall(connection)
            self.loop.at(
                began + (cell.pause or 0.0), lambda: self.peer.resume(connection.name)
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
                resume = partial(self.peer.resume, connection.name)
                self.loop.at(time.monotonic() + AFTERWARDS, resume)
