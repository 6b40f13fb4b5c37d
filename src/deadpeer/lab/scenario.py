"""
What a lab run is made of: faults, situations, settings, cells, measurements.

Pure values. A *cell* is one TCP connection that is brought into one situation
under one setting, and then has one thing done to it. What it should see is
written down in the cell before the fault; what it saw is a *measurement*. All
instants are seconds after the fault; ``math.inf`` is "never".
"""

import math
from dataclasses import dataclass
from typing import Any, Self

from deadpeer.errors import ConfigError
from deadpeer.lab.plain import from_plain, to_plain
from deadpeer.lab.terms import Expectation, Fault, Outcome, Situation
from deadpeer.lab.wire.precision import Precision
from deadpeer.platforms import LINUX, Defaults
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.policy.keepalive import Keepalive
from deadpeer.policy.predict import State

__all__ = [
    "FALSE_TIME",
    "LOOPS",
    "SCHEMA",
    "TOLERANCE",
    "Cell",
    "Measurement",
    "Run",
    "Scenario",
    "Setting",
]

# Raised whenever a field of `Run` changes its meaning or goes away.
SCHEMA = 1

# How far a measurement may lie outside its prediction. The kernel's own
# lateness is part of the prediction; this is for the observer, a Python process
# among others on a small machine: it has to be scheduled, to wake from epoll
# and to serve the cells before this one. Chosen as five times the latency that
# was usual at a load of two busy processes per core; it is far below the
# shortest probe interval, 1 s, so it cannot hide a wrong count of probes.
TOLERANCE = 0.05


# What a watcher with heartbeats can run on.
LOOPS = ("asyncio", "uvloop", "threads")

FALSE_TIME = "libfaketime"
"""In `Scenario.lacks`: there is no library that sets a child's wall clock."""

# Situations that say by themselves whether the peer lives, whatever is done.
FATES = {Situation.BYSTANDER: True, Situation.CUT_OFF: False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """
    One way to set up a socket.

    Args:
        name: ``nothing``, ``system``, ``keepalive``, ``user timeout``, ``plan``,
            ``custom`` or ``heartbeat``.
        keepalive: What is set on the socket.
        defaults: The system's settings under it.
        promise: Seconds within which a death must be reported whatever the
            prediction says; None if nothing was promised.
        longest_pause: How long, in seconds, a reader may pause; ``math.inf``
            for ever.
        heartbeat: What the application does besides, if it does.
    """

    name: str
    keepalive: Keepalive
    defaults: Defaults
    promise: float | None = None
    longest_pause: float = math.inf
    heartbeat: Heartbeat | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """
    One connection: what it is, what is done to it, and what should come of it.

    Args:
        id: Unique in a run, readable: ``cable/idle/plan/v4``.
        fault: What is done.
        situation: What the connection is doing at that moment.
        setting: How its socket is set up.
        family: 4 or 6.
        phase: Seconds of silence at the fault.
        write_at: When the application writes, in seconds after the fault (or
            before it, if negative); None if it does not.
        pause: For how many seconds the reader pauses; None if it does not.
        observed_for: Seconds after the fault until the observation ends.
        expectation: What should come of it.
        earliest: The earliest report, in seconds after the fault.
        latest: The latest.
        why: What decides, in a few words.
    """

    id: str
    fault: Fault
    situation: Situation
    setting: Setting
    family: int = 4
    phase: float = 0.0
    write_at: float | None = None
    pause: float | None = None
    observed_for: float = 0.0
    expectation: Expectation = Expectation.ALIVE
    earliest: float = math.inf
    latest: float = math.inf
    why: str = ""

    @property
    def state(self) -> State:
        """What the policy layer calls the situation."""
        return self.situation.state

    @property
    def peer_lives(self) -> bool:
        """Whether this is a live control: nothing may be reported."""
        if self.situation in FATES:
            return FATES[self.situation]
        return self.fault.peer_lives


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """
    What a cell saw.

    Args:
        cell: The cell, with the prediction as it stood before the fault.
        outcome: What came of it.
        at: When it was reported, in seconds after the fault; None if never.
        error: The error as ``errno`` names it, ``EOF``, or empty.
        probes: Unanswered keepalive or window probes at the end, as the kernel
            counts them (``tcpi_probes``).
        retransmits: Unanswered retransmissions at the end (``tcpi_retransmits``).
        ok: Whether the measurement lies within the prediction.
        note: What is wrong if it does not, in a sentence.
    """

    cell: Cell
    outcome: Outcome
    at: float | None = None
    error: str = ""
    probes: int = 0
    retransmits: int = 0
    ok: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """
    What is asked of a run.

    Args:
        within: The promise, in seconds.
        rtt: The round-trip time of the client's hop, in seconds; 0 is a plain
            cable, more goes through a wire of the lab's own.
        families: IPv4 (4), IPv6 (6) or both.
        only: Words that each chosen cell must match, see ``choose_cells``.
        full: The whole matrix, not the default selection.
        heartbeats: Whether heartbeats are tried beside the kernel's settings:
            True tries all of them and only the settings that they are compared
            with, False none, None some.
        loop: What the watcher of the heartbeats runs on, one of `LOOPS`.
        custom: Settings to judge by the same promise, in place of the plan.
        allow_stalled_reader: Plan with ``TCP_RTO_MAX_MS``.
        defaults: The system's settings that the lab's client has.
        lacks: What the machine that is measured on lacks: settings, by our
            names, for which the kernel has no option, and the plan does without
            them; and `FALSE_TIME`.

    Raises:
        ConfigError: A family is neither 4 nor 6, a duration is negative, or
            there is no such loop.
    """

    within: float = 10.0
    rtt: float = 0.0
    families: tuple[int, ...] = (4,)
    only: tuple[str, ...] = ()
    full: bool = False
    heartbeats: bool | None = None
    loop: str = LOOPS[0]
    custom: Keepalive | None = None
    allow_stalled_reader: bool = False
    defaults: Defaults = LINUX.defaults
    lacks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.families or not set(self.families) <= {4, 6}:
            raise ConfigError(
                f"families={self.families!r} are not IP versions",
                hint="give 4, 6 or both",
                field="families",
                value=self.families,
            )
        if self.loop not in LOOPS:
            raise ConfigError(
                f"loop={self.loop!r} is no loop",
                hint=f"give one of {', '.join(LOOPS)}",
                field="loop",
                value=self.loop,
            )
        for name in ("within", "rtt"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(
                    f"{name}={value!r} is not a duration",
                    hint="give seconds as a finite number, zero or more",
                    field=name,
                    value=value,
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """
    A whole run: where, when, under which promise, and every measurement.

    Args:
        schema: The version of this record's form.
        kernel: The release of the kernel that was measured.
        scenario: What was asked for.
        settings: The settings that were compared.
        rootless: Whether user namespaces stood in for root.
        started: The time of day at the start, ISO 8601 with zone.
        took: Seconds from start to end.
        measurements: One for each cell.
        precision: How well the lab's own wires kept time; None if there was
            nothing but plain cable.
    """

    schema: int = SCHEMA
    kernel: str
    scenario: Scenario
    settings: tuple[Setting, ...]
    rootless: bool
    started: str
    took: float
    measurements: tuple[Measurement, ...]
    precision: Precision | None = None

    @property
    def ok(self) -> bool:
        """Whether there is a measurement, and each lies within its prediction."""
        return bool(self.measurements) and all(m.ok for m in self.measurements)

    def to_json(self) -> dict[str, Any]:
        """Return the run as plain data for ``json.dumps``; "never" becomes null."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """
        Return the run that `to_json` wrote.

        Raises:
            ConfigError: The data has another form, or another version of it.
        """
        version = data.get("schema") if isinstance(data, dict) else None
        if version != SCHEMA:
            raise ConfigError(
                f"this record has schema {version!r}, not {SCHEMA}",
                hint="read it with the version of deadpeer that wrote it",
                field="schema",
                value=version,
            )
        return from_plain(cls, data)
