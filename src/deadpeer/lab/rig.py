"""
One network, one fault, and all the connections that see it.

The course of events: connections are made and warmed up; each is led into its
situation so that it is there, for a known time, when the fault comes; each one's
prediction is written down; then the fault; then they are watched, each until its
own observation ends. Who judges the connections makes two kinds of rig.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Generic, TypeVar

from deadpeer.lab.closing import Closing
from deadpeer.lab.loop import Loop
from deadpeer.lab.scenario import Cell, Measurement, Scenario
from deadpeer.lab.terms import Fault
from deadpeer.lab.topology import Topology
from deadpeer.lab.trial import Trial

__all__ = ["Rig"]

T = TypeVar("T", bound=Trial)

# Seconds for connecting and warming up besides round trips.
WARM_UP = 1.0

# Round trips that connecting, warming up and filling a window take, with some
# to spare.
ROUND_TRIPS = 14

# How much longer a fault waits for a connection that is not in its situation yet,
# because the machine is busy, in seconds.
PATIENCE = 5.0


class Rig(Closing, Generic[T]):
    """
    The network of one fault.

    Args:
        fault: What will happen to it.
        cells: The connections that will see it.
        scenario: What was asked.
        loop: What calls it.

    Attributes:
        rtt: The round trip that was measured, in seconds.
        topology: The network itself.
        owned: What is taken down with it, the last first.
    """

    topology: Topology
    # How long the last call itself takes, in seconds.
    notice = 0.0

    def __init__(
        self, fault: Fault, cells: list[Cell], scenario: Scenario, loop: Loop
    ) -> None:
        self.fault = fault
        self.cells = cells
        self.scenario = scenario
        self.loop = loop
        self.rtt = 0.0
        self.patient_until = 0.0
        self.struck: Callable[[Fault], None] = lambda _: None
        self.connections: list[T] = []
        self.owned = ExitStack()
        with ExitStack() as undo:
            undo.callback(self.close)
            self.build()
            undo.pop_all()

    def close(self) -> None:
        """Take it all down."""
        self.owned.close()

    # What each kind has to offer.

    def build(self) -> None:
        """Build the network, and all that is to be taken down with it."""
        raise NotImplementedError

    def connect(self, rtt: float, done: Callable[[Measurement], None]) -> None:
        """
        Make the connections, without connecting them.

        Args:
            rtt: The round-trip time that was measured, in seconds.
            done: Called with each measurement.
        """
        raise NotImplementedError

    def begin(self) -> None:
        """Let the connections connect."""
        raise NotImplementedError

    def lead(self, connection: T, fault_at: float) -> None:
        """Plan how a connection gets into its situation."""
        raise NotImplementedError

    def last_call(self) -> None:
        """Wait until everyone is in its situation; then go on to the fault."""
        raise NotImplementedError

    @property
    def preparation(self) -> float:
        """What this kind takes to begin besides what every rig takes, in seconds."""
        raise NotImplementedError

    # What is the same.

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
        lead = WARM_UP + self.preparation + ROUND_TRIPS * self.rtt
        lead += max(connection.cell.phase for connection in self.connections)
        fault_at = time.monotonic() + delay + lead
        self.begin()
        for connection in self.connections:
            self.lead(connection, fault_at)
        self.patient_until = fault_at + PATIENCE
        self.loop.at(fault_at - self.head_start - self.notice, self.last_call)
        return fault_at

    @property
    def head_start(self) -> float:
        """How long before the fault data is sent that is then in flight, in seconds."""
        return max((c.writes_before for c in self.connections), default=0.0)

    @property
    def is_patient(self) -> bool:
        """Whether there is still time to wait for the slowest."""
        return time.monotonic() < self.patient_until
