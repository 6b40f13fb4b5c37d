"""
The process that does a run: it builds the networks, and is gone afterwards.

A run has a process of its own, because entering namespaces, becoming somebody
in one, and dying with everything that was made are things to do to oneself and
not to the program that asked.
"""

import resource
import sys
import time
from collections import defaultdict
from contextlib import ExitStack
from typing import Any

from deadpeer.errors import DeadPeerError
from deadpeer.lab.beating_rig import BeatingRig
from deadpeer.lab.kernel_rig import KernelRig
from deadpeer.lab.leash import Lines, child_channel
from deadpeer.lab.loop import READ, Loop
from deadpeer.lab.pilot import round_trips
from deadpeer.lab.plain import from_plain, to_plain
from deadpeer.lab.privileges import become_able
from deadpeer.lab.scenario import Cell, Measurement, Scenario
from deadpeer.lab.terms import Fault
from deadpeer.lab.wire.precision import Precision

__all__ = ["Worker"]

# What a prediction puts into a cell.
WRITTEN = ("expectation", "earliest", "latest", "why")

# How often the parent hears how far it is, in seconds.
BEAT = 0.25


# Seconds from one network's fault to the next one's: doing one takes some 20 ms,
# and what the others have to say should not wait for it.
APART = 0.075


class Worker:
    """
    A run in the making.

    Args:
        lines: The way to the process that asked for it.
        scenario: What was asked.
        cells: What is to be measured.
    """

    def __init__(self, lines: Lines, scenario: Scenario, cells: list[Cell]) -> None:
        self.lines = lines
        self.scenario = scenario
        self.cells = cells
        self.missing = len(cells)
        self.loop = Loop()
        self.started_at = time.monotonic()
        self.ends_at = self.started_at

    def run(self) -> None:
        """Build, strike, watch, take down."""
        self.loop.watch(self.lines.fileno(), READ, self.hear)
        self.beat()
        with ExitStack() as owned:
            owned.callback(self.loop.close)
            rigs = self.build()
            for rig in rigs:
                owned.enter_context(rig)
            clients = [rig.topology.client for rig in rigs]
            times = round_trips(clients, versions=self.scenario.families)
            for rig, rtt in zip(rigs, times, strict=True):
                rig.connect(rtt, self.measured)
            for number, rig in enumerate(rigs):
                fault_at = rig.start(self.struck, delay=number * APART)
                longest = max(c.cell.observed_for for c in rig.connections)
                self.ends_at = max(self.ends_at, fault_at + longest)
            self.say("built")
            self.loop.run(lambda: not self.missing)
            wires = [rig.topology.wire for rig in rigs if rig.topology.wire]
            precision = Precision.together(wire.report() for wire in wires)
            self.say("precision", plain=to_plain(precision))

    def build(self) -> list[KernelRig | BeatingRig]:
        """Return the networks, one for each fault and kind of judge."""
        groups: dict[tuple[Fault, bool], list[Cell]] = defaultdict(list)
        for cell in self.cells:
            groups[cell.fault, cell.setting.heartbeat is not None].append(cell)
        rigs: list[KernelRig | BeatingRig] = []
        try:
            for (fault, beats), cells in groups.items():
                kind: type[KernelRig | BeatingRig] = BeatingRig if beats else KernelRig
                rigs.append(kind(fault, cells, self.scenario, self.loop))
        except BaseException:
            for rig in rigs:
                rig.close()
            raise
        return rigs

    def struck(self, fault: Fault) -> None:
        """Pass on that a fault has happened."""
        self.say("struck", str(fault))

    def measured(self, found: Measurement) -> None:
        """Pass a measurement on."""
        self.missing -= 1
        plain = to_plain(found)
        # Of the cell, only what was written into it goes back.
        cell = plain.pop("cell")
        written = {name: cell[name] for name in WRITTEN}
        fault = str(found.cell.fault)
        self.say("measured", fault, id=cell["id"], written=written, plain=plain)

    def beat(self) -> None:
        """Say how far it is, again and again."""
        self.say("beat")
        self.loop.at(time.monotonic() + BEAT, self.beat)

    def say(self, what: str, fault: str = "", **more: Any) -> None:
        """Send an event."""
        now = time.monotonic()
        self.lines.send(
            {
                "what": what,
                "fault": fault,
                "elapsed": now - self.started_at,
                "total": self.ends_at - self.started_at,
                **more,
            }
        )

    def hear(self, events: int) -> None:
        """End when nobody waits for the result any more."""
        del events
        if self.lines.receive() is None:
            sys.exit(1)


def raise_limits() -> None:
    """Allow as many open descriptors as this user may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> None:
    """Run the process: one order in, events out."""
    lines, _ = child_channel(sys.argv)
    try:
        order = lines.wait()
        if order is None:
            return
        rootless = become_able()
        lines.send({"what": "able", "rootless": rootless})
        raise_limits()
        cells = from_plain(tuple[Cell, ...], order["cells"])
        Worker(lines, from_plain(Scenario, order["scenario"]), list(cells)).run()
        lines.send({"what": "end"})
    except DeadPeerError as error:
        kind = type(error).__name__
        lines.send(
            {
                "what": "error",
                "kind": kind,
                "message": error.message,
                "hint": error.hint,
            }
        )


if __name__ == "__main__":
    main()
