"""
Which cells a run has: the default selection, the whole matrix, a filter.

Every cell is one connection and all run side by side, so the number of them
costs little; what costs time is the longest observation.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from deadpeer.errors import ConfigError
from deadpeer.lab.forecast import nominal_facts, with_forecast
from deadpeer.lab.heartbeats.selection import beating_cells
from deadpeer.lab.scenario import Cell, Scenario, Setting
from deadpeer.lab.terms import Fault, Situation
from deadpeer.platforms import LINUX
from deadpeer.policy.assess import assess
from deadpeer.policy.keepalive import Keepalive
from deadpeer.policy.planner import plan
from deadpeer.policy.predict import unanswered_probes
from deadpeer.policy.search import OUTAGE

__all__ = [
    "DEADLY",
    "DYING",
    "GLIMPSED",
    "WRITE_EVERY",
    "choose_cells",
    "outage",
    "settings_for",
]

# Writes after the fault, in seconds between one connection's and the next's.
WRITE_EVERY = 0.5

# Silence at the fault where nothing else is asked: the worst case for keepalive
# is a peer that dies just after it was heard. Long enough to let the exchange
# come to rest.
FRESH = 0.1

# For how long the window is closed at the fault; filling it takes some round
# trips before.
CLOSED = 0.3

# At how many moments of the keepalive cycle an outage begins.
OUTAGE_PHASES = 8

# The part of the stated longest pause that a reader takes.
PAUSE = 0.9

DYING = (
    Situation.CONNECTING,
    Situation.IDLE,
    Situation.UNACKNOWLEDGED,
    Situation.IDLE_THEN_WRITE,
    Situation.WE_SHUT_DOWN,
    Situation.PEER_SHUT_DOWN,
    Situation.ZERO_WINDOW,
)
DEADLY = (
    Fault.CABLE,
    Fault.SILENT_DROP,
    Fault.LOSS_TO_PEER,
    Fault.LOSS_FROM_PEER,
    Fault.REBOOT,
    Fault.OWN_NIC_DOWN,
)

# What only an answer of the peer's program finds out, or a box on the way undoes:
# tried where the kernel's timers differ.
BEHIND_ITS_BACK = (Fault.PROCESS_STOPPED, Fault.FORGOTTEN)
AT_REST_OR_NOT = (Situation.IDLE, Situation.UNACKNOWLEDGED)

# Heartbeats in a run that is not about them: what they see like the kernel, what
# they alone see, and what they have to see through; none takes longer than the
# kernel's own rows.
GLIMPSED = (
    Fault.CABLE,
    Fault.PROCESS_STOPPED,
    Fault.FORGOTTEN,
    Fault.LOOP_BLOCKED_LONGER,
)

# What heartbeats are compared with in a run that is about them.
COMPARED = (Fault.CABLE, Fault.SILENT_DROP, *BEHIND_ITS_BACK)

# A peer that has already shut down its direction has nothing left to say.
GOODBYES = (Situation.IDLE, Situation.WE_SHUT_DOWN, Situation.ZERO_WINDOW)


def outage(scenario: Scenario) -> float:
    """Return how long, in seconds, the cut of a live control lasts."""
    return scenario.within * OUTAGE


def settings_for(scenario: Scenario) -> tuple[Setting, ...]:
    """
    Return the settings that a run compares.

    Args:
        scenario: What was asked; its promise is planned here.

    Raises:
        ConfigError: The promise cannot be kept at this round-trip time.
        UnsupportedError: Linux has no option for it.
    """
    defaults = scenario.defaults

    def setting(name: str, keepalive: Keepalive, promise: float | None) -> Setting:
        judged = assess(keepalive, rtt=scenario.rtt, defaults=defaults)
        return Setting(
            name=name,
            keepalive=keepalive,
            defaults=defaults,
            promise=promise,
            longest_pause=judged.longest_pause,
        )

    nothing = setting("nothing", Keepalive(), None)
    if scenario.custom is not None:
        return nothing, setting("custom", scenario.custom.rounded(), scenario.within)
    known = {n: o for n, o in LINUX.options.items() if n not in scenario.lacks}
    try:
        planned = plan(
            within=scenario.within,
            rtt=scenario.rtt or None,
            platform=replace(LINUX, options=known),
            defaults=defaults,
            allow_stalled_reader=scenario.allow_stalled_reader,
        ).keepalive
    except ConfigError:
        if scenario.heartbeats:
            return (nothing,)  # a promise that the kernel alone cannot keep
        raise
    # The kernel counts probes only where there is no user timeout: give it the
    # number that the plan comes to.
    least, _ = unanswered_probes(planned.over(defaults), hz=defaults.hz)
    probes = math.ceil(least)
    probing = Keepalive(idle=planned.idle, interval=planned.interval, probes=probes)
    patient, patience = "user timeout", Keepalive(user_timeout=planned.user_timeout)
    if not planned.user_timeout:
        patient, patience = "rto max", Keepalive(rto_max=planned.rto_max)
    return (
        nothing,
        setting("system", Keepalive(on=True), None),
        setting("keepalive", probing, None),
        setting(patient, patience, None),
        setting("plan", planned, scenario.within),
    )


def choose_cells(scenario: Scenario) -> tuple[Cell, ...]:
    """
    Return the cells of a run, each with its prediction as far as it is known.

    Args:
        scenario: What was asked. Each entry of its *only* is one or more words
            with commas between, of which a cell must match one; it must do so
            for every entry. A word is a fault, a situation or a setting, or
            any part of a cell's name.

    Returns:
        Cells in the order in which they are best read.

    Raises:
        ConfigError: The promise cannot be kept, or nothing matches.
    """
    cells = (*_of_the_kernel(scenario), *_of_heartbeats(scenario))
    chosen = tuple(cell for cell in cells if _matches(cell, scenario.only))
    if not chosen:
        raise ConfigError(
            f"no cell matches {' and '.join(map(repr, scenario.only))}",
            hint="`deadpeer lab --list --full` shows them all",
            field="only",
            value=scenario.only,
        )
    return chosen


def _of_the_kernel(scenario: Scenario) -> Iterator[Cell]:
    choice = _Choice(scenario=scenario, settings=settings_for(scenario))
    if scenario.heartbeats:
        cells = choice.compared()
    elif scenario.full or scenario.only:
        cells = choice.matrix()
    else:
        cells = choice.default()
    for cell in cells:
        yield with_forecast(cell, nominal_facts(cell, scenario.rtt))


def _of_heartbeats(scenario: Scenario) -> Iterator[Cell]:
    wanted = scenario.heartbeats
    if wanted is None and scenario.custom:
        wanted = False  # other settings of the kernel are put to the test
    if wanted is False:
        return
    every = wanted or scenario.full or bool(scenario.only)
    for cell in beating_cells(scenario):
        if every or cell.fault in GLIMPSED:
            yield cell


def _matches(cell: Cell, only: Iterable[str]) -> bool:
    name = cell.id.lower()
    own = {str(cell.fault).lower(), str(cell.situation), cell.setting.name}
    names = {*map(str.lower, Fault), *map(str, Situation), cell.setting.name}

    def match(word: str) -> bool:
        word = word.strip().lower()
        # "idle" means idle, and not also "idle then a write".
        return word in own if word in names else word in name

    return all(any(match(word) for word in words.split(",")) for words in only)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    """The cells that a scenario and its settings allow."""

    scenario: Scenario
    settings: tuple[Setting, ...]

    @property
    def protected(self) -> Setting:
        return self.settings[-1]

    def default(self) -> Iterator[Cell]:
        """What shows the point at a glance: everything fails but the plan."""
        for family in self.scenario.families:
            for setting in self.settings:
                for situation in DYING:
                    yield from self.dying(Fault.CABLE, situation, setting, family)
            yield from self.rest(family, (Situation.IDLE, Situation.UNACKNOWLEDGED))

    def rest(self, family: int, situations: tuple[Situation, ...]) -> Iterator[Cell]:
        for fault in DEADLY[1:]:
            for situation in situations:
                yield self.cell(fault, situation, self.protected, family)
        yield from self.behind_its_back(self.protected, family)
        for fault in (Fault.PROCESS_KILLED, Fault.NORMAL_CLOSE):
            yield self.cell(fault, Situation.IDLE, self.protected, family)
        yield from self.live(family)

    def matrix(self) -> Iterator[Cell]:
        """Everything that makes sense."""
        for family in self.scenario.families:
            for setting in self.settings:
                for fault in DEADLY:
                    for situation in DYING:
                        yield from self.dying(fault, situation, setting, family)
                yield from self.behind_its_back(setting, family)
                for fault in (Fault.PROCESS_KILLED, Fault.NORMAL_CLOSE):
                    for situation in GOODBYES:
                        yield self.cell(fault, situation, setting, family)
            yield from self.live(family)

    def compared(self) -> Iterator[Cell]:
        """What heartbeats are compared with: the least and the best settings."""
        for family in self.scenario.families:
            for setting in dict.fromkeys((self.settings[0], self.protected)):
                for fault in COMPARED:
                    for situation in AT_REST_OR_NOT:
                        yield self.cell(fault, situation, setting, family)

    def behind_its_back(self, setting: Setting, family: int) -> Iterator[Cell]:
        for fault in BEHIND_ITS_BACK:
            for situation in AT_REST_OR_NOT:
                yield self.cell(fault, situation, setting, family)

    def dying(
        self, fault: Fault, situation: Situation, setting: Setting, family: int
    ) -> Iterator[Cell]:
        protected = setting is self.protected
        if situation is Situation.IDLE_THEN_WRITE:
            count = int(self.scenario.within / WRITE_EVERY) if protected else 1
            for n in range(1, count + 1):
                at = n * WRITE_EVERY
                yield self.cell(fault, situation, setting, family, write_at=at)
            return
        yield self.cell(fault, situation, setting, family)
        if situation is Situation.IDLE and protected:
            for part in (0.3, 0.6, 0.9):
                phase = self.cycle * part
                yield self.cell(fault, situation, setting, family, phase=phase)

    def live(self, family: int) -> Iterator[Cell]:
        setting = self.protected
        for n in range(OUTAGE_PHASES):
            phase = FRESH + self.cycle * n / OUTAGE_PHASES
            yield self.cell(Fault.OUTAGE, Situation.IDLE, setting, family, phase=phase)
        for part in (0.0, 0.5):
            at = outage(self.scenario) * part
            yield self.cell(
                Fault.OUTAGE, Situation.UNACKNOWLEDGED, setting, family, write_at=at
            )
        yield self.cell(Fault.OUTAGE, Situation.ZERO_WINDOW, setting, family)
        yield self.cell(Fault.NONE, Situation.READER_PAUSES, setting, family)
        yield self.cell(Fault.NONE, Situation.IDLE, setting, family)

    @property
    def cycle(self) -> float:
        """Seconds from one probe of an idle, live connection to the next."""
        keepalive = self.protected.keepalive.over(self.scenario.defaults)
        return max(keepalive.idle or 0.0, keepalive.interval or 0.0)

    def cell(
        self,
        fault: Fault,
        situation: Situation,
        setting: Setting,
        family: int,
        *,
        phase: float = FRESH,
        write_at: float | None = None,
    ) -> Cell:
        name = [str(fault), str(situation), setting.name, f"v{family}"]
        if phase != FRESH:
            name.append(f"{phase:.2g}s")
        if write_at is not None:
            name.append(f"+{write_at:g}s")
        pause = self.pause(setting) if situation is Situation.READER_PAUSES else None
        if situation is Situation.ZERO_WINDOW:
            phase = CLOSED
        elif fault is Fault.LOSS_TO_PEER:
            # Our last acknowledgement has to get there first, or the peer would
            # send again what it was for, and be heard.
            phase = max(phase, FRESH + self.scenario.rtt)
        if situation is Situation.UNACKNOWLEDGED and write_at is None:
            # Under way at the fault where there is a way; with no round trip to
            # speak of, data is acknowledged before any fault can be done.
            write_at = -self.scenario.rtt / 4
        return Cell(
            id="/".join(name),
            fault=fault,
            situation=situation,
            setting=setting,
            family=family,
            phase=phase,
            write_at=write_at,
            pause=pause,
            observed_for=self.observation(fault, pause),
        )

    def pause(self, setting: Setting) -> float:
        return min(PAUSE * setting.longest_pause, 1.5 * self.scenario.within)

    def observation(self, fault: Fault, pause: float | None) -> float:
        within, rtt = self.scenario.within, self.scenario.rtt
        if pause is not None:
            return pause + 1.0 + 10 * rtt
        if fault is Fault.NONE:
            return 3 * within
        if fault is Fault.OUTAGE:
            # What the outage started ends within the promise, or never.
            return outage(self.scenario) + within
        if fault.says_goodbye:
            return 2.0 + 4 * rtt
        # A margin beyond the promise: settings that fail have to be seen failing.
        return 1.3 * within + 2.0
