"""
Which connections a watcher with heartbeats has in each network.

In every network some peers live and some die: a watcher that accuses nobody is
as useless as one that accuses everybody. Who dies is on the server, and who
lives through it on a host beside it.
"""

from collections.abc import Iterator
from dataclasses import replace

from deadpeer.lab.heartbeats.conditions import Conditions, conditions_for
from deadpeer.lab.heartbeats.forecast import forecast, nominal
from deadpeer.lab.scenario import FALSE_TIME, Cell, Scenario, Setting
from deadpeer.lab.terms import HARDSHIPS, Expectation, Fault, Situation
from deadpeer.policy.keepalive import Keepalive

__all__ = ["HEARTBEAT", "beating_cells", "is_beside"]

# What the setting of these cells is called.
HEARTBEAT = "heartbeat"

# Peers of a kind in one network: those that die by a fault, those that live
# beside it, and those of either kind through which a hardship is seen.
DYING = 5
BESIDE = 5
THROUGH = 10
# A large message is on its way for each of so many; they share the line.
LARGE = 2

# Silence at the fault where nothing else is asked, in seconds.
FRESH = 0.1

# How much longer than its prediction a cell is watched, in seconds.
LINGER = 2.0

DEADLY = (
    Fault.CABLE,
    Fault.SILENT_DROP,
    Fault.LOSS_TO_PEER,
    Fault.LOSS_FROM_PEER,
    Fault.REBOOT,
    Fault.PROCESS_STOPPED,
    Fault.FORGOTTEN,
    Fault.FORGOTTEN_WITH_RESETS,
)
GOODBYES = (Fault.PROCESS_KILLED, Fault.NORMAL_CLOSE)

# What is done while data is under way, or cannot get away; a box that forgets
# or a peer that comes back is asked for an idle connection only.
BUSY = {
    Fault.SILENT_DROP: (Situation.UNACKNOWLEDGED, Situation.ZERO_WINDOW),
    Fault.PROCESS_STOPPED: (Situation.UNACKNOWLEDGED, Situation.ZERO_WINDOW),
    Fault.CABLE: (Situation.UNACKNOWLEDGED, Situation.ZERO_WINDOW),
}


def is_beside(cell: Cell) -> bool:
    """Return whether a cell's peer is the host that nothing is done to."""
    return cell.peer_lives and (
        cell.fault in HARDSHIPS or cell.situation is Situation.BYSTANDER
    )


def beating_cells(scenario: Scenario) -> tuple[Cell, ...]:
    """
    Return the cells of a run with heartbeats, each with its nominal prediction.

    Args:
        scenario: What was asked.

    Returns:
        Cells, without those for which something is lacking.

    Raises:
        ConfigError: The promise is too short for heartbeats.
    """
    faults = [*DEADLY, *GOODBYES, *HARDSHIPS]
    if FALSE_TIME in scenario.lacks:
        faults.remove(Fault.CLOCK_STEPPED)
    return tuple(
        cell
        for fault in faults
        for family in scenario.families
        for cell in _cells(fault, family, scenario)
    )


def _cells(fault: Fault, family: int, scenario: Scenario) -> Iterator[Cell]:
    plan = conditions_for(fault, scenario, peers=THROUGH)
    setting = Setting(
        name=HEARTBEAT,
        keepalive=Keepalive(),
        defaults=plan.defaults,
        heartbeat=plan.heartbeat,
    )
    for situation, count in _population(fault):
        for number in range(count):
            bare = Cell(
                id=f"{fault}/{situation}/{HEARTBEAT}/v{family}/{number + 1}",
                fault=fault,
                situation=situation,
                setting=setting,
                family=family,
                phase=_silence(fault, plan, part=number / count),
                write_at=-plan.before.delay / 2
                if situation is Situation.UNACKNOWLEDGED
                else None,
            )
            yield _predicted(bare, plan)


def _population(fault: Fault) -> Iterator[tuple[Situation, int]]:
    """Yield what connections do under a fault, and how many do it."""
    if fault is Fault.SLOW_LINK:
        yield Situation.SENDING, LARGE
        yield Situation.RECEIVING, LARGE
        yield Situation.CUT_OFF, THROUGH
    elif fault in HARDSHIPS:
        yield Situation.IDLE, THROUGH
        yield Situation.CUT_OFF, THROUGH
    else:
        yield Situation.IDLE, DYING
        for situation in BUSY.get(fault, ()):
            yield situation, 1
        yield Situation.BYSTANDER, BESIDE


def _silence(fault: Fault, plan: Conditions, *, part: float) -> float:
    """Return for how long a connection has been silent at the fault."""
    interval = plan.heartbeat.interval
    if fault in (Fault.LOOP_BLOCKED, Fault.LOOP_BLOCKED_LONGER):
        # Every ping is in flight when the loop is blocked, and not there yet.
        return interval + plan.before.delay / 2
    return FRESH + (interval - 2 * FRESH) * part


def _predicted(cell: Cell, plan: Conditions) -> Cell:
    found = forecast(cell, plan, nominal(cell, plan))
    if found.expectation is Expectation.ALIVE:
        # Long enough for whatever was started to end in a verdict.
        watched = plan.lasts + 2 * plan.heartbeat.detection
    else:
        watched = found.latest
    return replace(found.written_into(cell), observed_for=watched + LINGER)
