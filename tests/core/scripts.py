"""
Scripts: what happens to one peer, call by call, and what is made of it.

A script knows nothing of who plays it. Whoever judges peers can play it: a
``Player`` is told each call and says what came of it, and two players must say
the same. Here are two, the bare row of numbers and the monitor; a table of many
rows joins by becoming a ``Player``.
"""

from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import NamedTuple, Protocol

from hypothesis import strategies as st

from deadpeer.core import judge as codes
from deadpeer.core.events import (
    Died,
    DrainDue,
    Event,
    PingDue,
    Recovered,
    Suspected,
)
from deadpeer.core.facts import LONG_AGO, Facts
from deadpeer.core.judge import Row, judge
from deadpeer.core.monitor import Monitor
from deadpeer.core.rtt import smoothed
from deadpeer.policy.heartbeat import Heartbeat

__all__ = [
    "Call",
    "MonitorPlayer",
    "Player",
    "RowPlayer",
    "Script",
    "Step",
    "Told",
    "heartbeats",
    "play",
    "scripts",
]


class Call(StrEnum):
    """What may happen to a peer, and whether it waits for the wake-up."""

    HEARD = "heard"
    ANSWERED = "answered"
    PINGED = "pinged"
    LOOK = "look"  # now, be it due or not
    WAKE = "wake"  # when it is due
    DRAINED = "drained"


class Step(NamedTuple):
    """One call, so many seconds after the one before (or after it was due)."""

    call: Call
    after: float
    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What happens to a peer that is heard for the first time at ``start``."""

    heartbeat: Heartbeat
    start: float
    steps: list[Step]


class Told(NamedTuple):
    """What came of one call."""

    call: Call
    now: float
    action: int
    wake_at: float
    state: int
    sequence: int


class Player(Protocol):
    """Whoever judges one peer."""

    def heard(self, *, now: float) -> None: ...

    def answered(self, *, now: float) -> None: ...

    def pinged(self, *, now: float) -> None: ...

    def judged(self, *, now: float, facts: Facts) -> int: ...

    def seen(self) -> tuple[float, int, int]:
        """Return wake-up, state and sequence."""
        ...


class RowPlayer:
    """The judge and a row, and what a driver has to do around them."""

    def __init__(self, heartbeat: Heartbeat, *, start: float) -> None:
        self.rules = heartbeat
        self.row = Row(heard_at=start, margin=heartbeat.floor)
        self.row.wake_at = start + heartbeat.interval

    def heard(self, *, now: float) -> None:
        self.row.heard_at = now
        if self.row.state == codes.SUSPECT:
            self.row.wake_at = now

    def answered(self, *, now: float) -> None:
        row, rules = self.row, self.rules
        if row.pinged_at > LONG_AGO and row.stretched == row.slept == 0:
            sample = now - row.pinged_at
            row.srtt, row.rttvar = smoothed(row.srtt, row.rttvar, sample)
            usual = max(sample, row.srtt) + 4 * row.rttvar
            row.margin = min(rules.timeout, max(rules.floor, usual))
        row.pinged_at = LONG_AGO
        self.heard(now=now)

    def pinged(self, *, now: float) -> None:
        self.row.pinged_at = now

    def judged(self, *, now: float, facts: Facts) -> int:
        action, self.row.wake_at = judge(self.rules, self.row, now=now, facts=facts)
        return action

    def seen(self) -> tuple[float, int, int]:
        return self.row.wake_at, self.row.state, self.row.sequence


ACTIONS: dict[type[Event], int] = {
    PingDue: codes.PING,
    DrainDue: codes.VERIFY,
    Recovered: codes.RECOVERED,
    Suspected: codes.SUSPECTED,
    Died: codes.DIED,
}


class MonitorPlayer:
    """The monitor; its events are read back as the judge's actions."""

    def __init__(self, heartbeat: Heartbeat, *, start: float) -> None:
        self.monitor = Monitor(heartbeat, now=start)

    def heard(self, *, now: float) -> None:
        self.monitor.heard(now=now)

    def answered(self, *, now: float) -> None:
        self.monitor.answered(self.monitor.row.sequence, now=now)

    def pinged(self, *, now: float) -> None:
        self.monitor.pinged(now=now)

    def judged(self, *, now: float, facts: Facts) -> int:
        events = self.monitor.advance(now=now, facts=facts)
        done = [ACTIONS[type(event)] for event in events if type(event) in ACTIONS]
        assert len(done) < 2
        return done[0] if done else codes.NOTHING

    def seen(self) -> tuple[float, int, int]:
        row = self.monitor.row
        return self.monitor.wake_at, row.state, row.sequence


def play(script: Script, player: Player) -> list[Told]:
    """Tell a player the whole script, and return what came of each call."""
    trace = []
    now = script.start
    for call, after, facts in script.steps:
        wake_at = player.seen()[0]
        if call is Call.WAKE and now < wake_at < codes.NEVER:
            now = wake_at
        now += after
        action = codes.NOTHING
        if call is Call.HEARD:
            player.heard(now=now)
        elif call is Call.ANSWERED:
            player.answered(now=now)
        elif call is Call.PINGED:
            player.pinged(now=now)
        else:
            at = facts._replace(
                arrived_at=now - facts.arrived_at,
                acked_at=now - facts.acked_at,
                drained=call is Call.DRAINED,
            )
            action = player.judged(now=now, facts=at)
        trace.append(Told(call, now, action, *player.seen()))
    return trace


def heartbeats(*, one_way: bool | None = None) -> st.SearchStrategy[Heartbeat]:
    """Heartbeats, from a LAN's to a telephone's."""
    return st.builds(
        Heartbeat,
        interval=st.sampled_from([0.25, 0.5, 1.0, 2.0, 6.5, 20.0, 100.0]),
        timeout=st.sampled_from([0.25, 0.75, 1.0, 3.0, 10.0, 50.0]),
        suspect_after=st.sampled_from([None, None, 0.125, 1.0, 7.5, 60.0]),
        one_way=st.booleans() if one_way is None else st.just(one_way),
    )


# Facts as a script has them: their instants are ages, in seconds.
FACTS = [
    Facts(
        paused=paused,
        arrived_at=arrived,
        acked=acked,
        acked_at=heard,
        outstanding=outstanding,
        unanswered=unanswered,
        lateness=late,
        slept=slept,
    )
    for paused, arrived, acked, heard, outstanding, unanswered, late, slept in product(
        (False, True),
        (codes.NEVER, codes.NEVER, 0.125, 30.0),
        (None, 0, 100, 300),
        (codes.NEVER, 0.0, 1.0),
        (None, 0, 250),
        (0.0, 1.0, 100.0),
        (0.0, 0.0, 0.0625, 5.0),
        (0.0, 0.0, 0.0, 60.0),
    )
]
GAPS = (0.0, 0.0, 0.0, 0.03125, 0.25, 1.0, 7.5, 100.0)


def scripts() -> st.SearchStrategy[Script]:
    """Anything that may happen to a peer, in any order."""
    step = st.builds(
        Step, st.sampled_from(Call), st.sampled_from(GAPS), st.sampled_from(FACTS)
    )
    return st.builds(
        Script,
        heartbeat=heartbeats(),
        start=st.integers(0, 1000).map(float),
        steps=st.lists(step, max_size=25),
    )
