"""A rig whose connections are judged by the kernel, under settings of a socket."""

import math
import time
from collections.abc import Callable
from functools import partial

from deadpeer.lab.connection import Connection
from deadpeer.lab.faults import apply_fault, heal, return_without_state
from deadpeer.lab.forecast import BACK
from deadpeer.lab.peer import Peer
from deadpeer.lab.rig import Rig
from deadpeer.lab.scenario import Measurement
from deadpeer.lab.selection import outage
from deadpeer.lab.terms import Fault, Situation
from deadpeer.lab.topology import Topology
from deadpeer.lab.wire.weather import Weather

__all__ = ["KernelRig"]

# Seconds for connecting and warming up each connection.
EACH = 0.003

# How long filling a window takes besides round trips: the peer acknowledges
# late what it does not read.
FILLING = 0.15
FILLING_ROUND_TRIPS = 8

# How long before that the peer stops reading: what it still reads makes the window
# grow.
PAUSING = 0.25

# How often it is looked whether a connection is in its situation, in seconds.
LOOK = 0.01

# A reader that resumes after an outage does so a little after it.
AFTERWARDS = 0.1


class KernelRig(Rig[Connection]):
    """The network of one fault, for the kernel."""

    def build(self) -> None:
        """Build the network, and start the peer."""
        scenario, boxed = self.scenario, self.fault is Fault.FORGOTTEN
        weather = Weather(delay=scenario.rtt / 2) if boxed else None
        self.topology = self.owned.enter_context(
            Topology(rtt=scenario.rtt, defaults=scenario.defaults, weather=weather)
        )
        if self.fault is Fault.REBOOT:
            _ = self.topology.spare
        if boxed and self.topology.wire:
            self.topology.wire.remember(idle=math.inf)
        self.peer = self.owned.enter_context(Peer(self.topology.server))

    def connect(self, rtt: float, done: Callable[[Measurement], None]) -> None:
        """
        Make the sockets.

        Args:
            rtt: The round-trip time that was measured, in seconds.
            done: Called with each measurement.
        """
        self.rtt = rtt
        for cell in self.cells:
            made = Connection(cell, self.loop, self.topology.client, done)
            self.connections.append(self.owned.enter_context(made))

    # -- the course of events -----------------------------------------------

    @property
    def preparation(self) -> float:
        """What this kind takes to begin besides what every rig takes, in seconds."""
        return EACH * len(self.cells)

    def begin(self) -> None:
        """Let the connections connect, but for those that do so after the fault."""
        for connection in self.connections:
            if connection.cell.situation is not Situation.CONNECTING:
                connection.connect()

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
        return [c for c in self.connections if c.writes_before]

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
