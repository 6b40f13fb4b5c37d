"""
Scripts: what happens to a watcher and its peer, as data that anybody can play.

A script knows no event loop and no protocol. Its instants count from the one at
which the watcher says ``Online``. Three kinds of steps: what the peer does, what
befalls the link between them, and what befalls the watcher itself. The last ones
are the driver's to perform: nobody else can block its loop.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from deadpeer.errors import ConfigError
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.policy.keepalive import require_seconds
from deadpeer.policy.numbers import is_number

__all__ = ["Act", "Script", "Step"]


class Act(StrEnum):
    """What a step does; some need an amount."""

    # The peer.
    ANSWER = "answers after"  # questions that come from now on, after so many seconds
    SAY = "says something unasked"
    FREEZE = "stops, as by SIGSTOP"  # its kernel goes on
    THAW = "goes on"
    CLOSE = "closes"
    RESET = "is reset"
    # The link.
    CUT = "the cable is pulled"
    CUT_TO_PEER = "what goes to the peer is lost"
    CUT_TO_WATCHER = "what comes from the peer is lost"
    MEND = "the cable is put back"
    SLOW = "the line takes"  # so many bytes a second
    # The watcher.
    BLOCK = "is blocked for"  # so many seconds
    PAUSE = "stops reading"
    RESUME = "reads again"
    WRITE = "writes"  # so many bytes


OF_LINK = frozenset((Act.CUT, Act.CUT_TO_PEER, Act.CUT_TO_WATCHER, Act.MEND, Act.SLOW))
OF_WATCHER = frozenset((Act.BLOCK, Act.PAUSE, Act.RESUME, Act.WRITE))
DURATIONS = frozenset((Act.ANSWER, Act.BLOCK))
COUNTS = frozenset((Act.SLOW, Act.WRITE))
# Everything that a loopback connection has no place for.
OF_MODEL = OF_LINK | {Act.WRITE}

# After a block, the watcher does nothing of its own accord for so many seconds:
# what it missed comes first, in an order that is the loop's.
BREATH = 0.01


class Step(NamedTuple):
    """
    One thing that happens.

    Attributes:
        at: When, in seconds from ``Online``.
        act: What.
        amount: Seconds for ``ANSWER`` and ``BLOCK``, bytes for ``WRITE``, bytes a
            second for ``SLOW``.
    """

    at: float
    act: Act
    amount: float = 0.0

    def __str__(self) -> str:
        who = (
            "the watcher "
            if self.act in OF_WATCHER
            else ""
            if self.act in OF_LINK
            else "the peer "
        )
        unit = (
            f" {self.amount:g} s"
            if self.act in DURATIONS
            else f" {self.amount:g} bytes"
            if self.act in COUNTS
            else ""
        )
        return f"{self.at:7.3f} s  {who}{self.act}{unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """
    What happens to a peer that is online at second 0, and answers at once.

    Args:
        name: What a reader calls it.
        heartbeat: How the peer is judged.
        steps: What happens, in order of time.
        until: When it is over, in seconds. What is told later does not count.
        delay: Seconds that the link takes, one way.
        precise: Whether it hangs on hundredths of a second.

    Raises:
        ConfigError: The steps are not in order, an amount is no number, nobody
            knows what a step is, or the watcher is to do something while it is
            blocked.

    >>> Script(name="dies", heartbeat=Heartbeat(interval=1, timeout=1), until=5,
    ...        steps=(Step(2.5, Act.FREEZE),)).of_watcher
    ()
    """

    name: str
    heartbeat: Heartbeat
    steps: tuple[Step, ...] = ()
    until: float
    delay: float = 0.01
    precise: bool = False

    def __post_init__(self) -> None:
        require_seconds("until", self.until)
        require_seconds("delay", self.delay, zero=True)
        for step in self.steps:
            if not (isinstance(step, Step) and isinstance(step.act, Act)):
                raise self._wrong(f"cannot do {step!r}", "give Steps that do an Act")
            if not (_can_be(step.at) and _can_be(step.amount)):
                raise self._wrong(f"cannot be: {step!r}", "give numbers, 0 or more")
            if step.act is Act.SLOW and not step.amount:
                raise self._wrong(f"cannot be: {step}", "CUT takes nothing at all")
        for one, two in pairwise(self.steps):
            if two.at < one.at:
                raise self._wrong(f"has {two} behind {one}", "sort them by time")
        for one, two in pairwise(self.of_watcher):
            over_at = one.at + BREATH + one.amount * (one.act is Act.BLOCK)
            if two.at < over_at:
                raise self._wrong(
                    f"has {two}, and the watcher is busy until {over_at:g} s",
                    f"leave {BREATH:g} s between the watcher's own steps",
                )

    def _wrong(self, what: str, hint: str) -> ConfigError:
        return ConfigError(
            f"the script {self.name!r} {what}",
            hint=hint,
            field="steps",
            value=self.steps,
        )

    def __str__(self) -> str:
        lines = [f"script {self.name!r}, {self.heartbeat}, until {self.until:g} s:"]
        lines += [f"  {step}" for step in self.steps] or ["  nothing happens"]
        return "\n".join(lines)

    @property
    def of_watcher(self) -> tuple[Step, ...]:
        """The steps that a driver has to perform itself."""
        return tuple(step for step in self.steps if step.act in OF_WATCHER)

    @property
    def of_others(self) -> tuple[Step, ...]:
        """The steps of the peer and of the link."""
        return tuple(step for step in self.steps if step.act not in OF_WATCHER)

    @property
    def is_virtual(self) -> bool:
        """Whether only virtual time can play it, over a link that is made of numbers."""
        return self.precise or any(step.act in OF_MODEL for step in self.steps)

    def scaled(self, factor: float) -> "Script":
        """
        Return the same script, faster or slower; counts of bytes stay as they are.

        Args:
            factor: The ratio by which every duration is multiplied.

        Raises:
            ConfigError: A heartbeat can be no faster, or *factor* is no number.
        """
        require_seconds("factor", factor)
        before = self.heartbeat
        after = Heartbeat(
            interval=before.interval * factor,
            timeout=before.timeout * factor,
            suspect_after=before.floor * factor,
            one_way=before.one_way,
        )
        steps = [
            Step(at * factor, act, amount * (factor if act in DURATIONS else 1))
            for at, act, amount in self.steps
        ]
        return replace(
            self,
            heartbeat=after,
            steps=tuple(steps),
            until=self.until * factor,
            delay=self.delay * factor,
        )


def _can_be(amount: object) -> bool:
    return is_number(amount) and 0 <= amount < math.inf
