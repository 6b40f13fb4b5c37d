"""
One peer under judgement: a row with a name, and events for what changes.

::

    monitor = Monitor(Heartbeat(interval=20, timeout=10), now=0.0)
    monitor.wake_at                  # 20.0: call advance then
    monitor.advance(now=20.0)        # (PingDue(sequence=1),)
    monitor.answered(1, now=20.1)
    monitor.wake_at                  # 21.0; nothing will be said then
"""

from collections.abc import Callable
from typing import Final

from deadpeer.core import judge as codes
from deadpeer.core.detectors.answers import Answers
from deadpeer.core.detectors.base import Detector
from deadpeer.core.events import (
    Closed,
    Died,
    DrainDue,
    Event,
    Evidence,
    Online,
    PingDue,
    Reason,
    Recovered,
    Slept,
    Suspected,
    WatcherLate,
)
from deadpeer.core.facts import LONG_AGO, NO_FACTS, Facts
from deadpeer.core.judge import Row, judge
from deadpeer.core.rtt import Rtt, smoothed
from deadpeer.core.states import CODES, Cause, State, follow
from deadpeer.policy.heartbeat import Heartbeat

__all__ = ["Monitor", "died_of"]

NOTHING_NEW: Final[tuple[Event, ...]] = ()

# Which part of the variance above the average is still usual. RFC 6298, K.
USUAL: Final = 4


class Monitor:
    """
    Judge one peer; needs to be told the time and what happens.

    Args:
        heartbeat: When to ask, suspect and give up.
        now: The present, in seconds on a monotonic clock; silence counts from here.
        connecting: Whether the connection is still being made: nothing is
            judged before ``opened``.
        detector: An adaptive detector that sets the margin of suspicion, as an
            empty prototype; None is last-seen with a margin of
            max(floor, max(last, smoothed) + 4·variance) of the round trips.

    Attributes:
        heartbeat: The rules; may be replaced when both ends have agreed.
        row: The numbers.
    """

    __slots__ = ("_answers", "heartbeat", "row")

    def __init__(
        self,
        heartbeat: Heartbeat,
        *,
        now: float,
        connecting: bool = False,
        detector: Detector | None = None,
    ) -> None:
        self.heartbeat = heartbeat
        self._answers = None if detector is None else Answers(detector)
        state = codes.CONNECTING if connecting else codes.ALIVE
        self.row = Row(heard_at=now, margin=heartbeat.floor, state=state)
        if not connecting:
            self.row.wake_at = now + heartbeat.interval

    @property
    def state(self) -> State:
        """What is known of the peer."""
        return CODES[self.row.state]

    @property
    def detector(self) -> Detector | None:
        """The adaptive detector, or None."""
        return None if self._answers is None else self._answers.detector

    @property
    def wake_at(self) -> float:
        """When to call ``advance`` next, in seconds; infinite for never."""
        return self.row.wake_at

    @property
    def rtt(self) -> Rtt | None:
        """The round trips so far, or None without an answered ping."""
        row = self.row
        if row.srtt < 0:
            return None
        return Rtt(
            last=row.rtt_last,
            smoothed=row.srtt,
            variance=row.rttvar,
            smallest=row.rtt_min,
        )

    def opened(self, *, now: float) -> tuple[Event, ...]:
        """
        Tell that the connection stands; judging begins.

        Args:
            now: The present, in seconds.
        """
        if self.row.state != codes.CONNECTING:
            return NOTHING_NEW
        self._move(Cause.OPENED)
        self.row.heard_at = now
        self.row.margin = self.heartbeat.floor  # of what was agreed meanwhile
        self.row.wake_at = now + self.heartbeat.interval
        return (Online(now),)

    def heard(self, *, now: float) -> None:
        """
        Tell that bytes arrived, any bytes.

        Args:
            now: When, in seconds.
        """
        row = self.row
        row.heard_at = now
        if row.state == codes.SUSPECT:
            row.wake_at = now  # the good news need not wait for a deadline

    def pinged(self, *, now: float, covers: int | None = None) -> None:
        """
        Tell that the ping was handed over.

        Args:
            now: When, in seconds.
            covers: The count of acknowledged bytes at which the peer's kernel
                has it, or None if that was not asked.
        """
        self.row.pinged_at = now
        if covers is not None:
            self.row.covers = covers

    def answered(self, sequence: int, *, now: float) -> None:
        """
        Tell that a ping was answered; this is life, and a round-trip time.

        An answer to an older ping is life only, and so is one that this watcher
        may have read too late (Karn's rule, RFC 6298, section 3).

        Args:
            sequence: The number that came back.
            now: When, in seconds.
        """
        row = self.row
        if sequence == row.sequence and row.pinged_at > LONG_AGO:
            if row.stretched == 0.0 and not row.slept:
                self._measure(row, now - row.pinged_at)
            row.pinged_at = LONG_AGO  # a second answer tells nothing
        row.heard_at = now
        if row.state == codes.SUSPECT:
            row.wake_at = now  # the good news need not wait for a deadline

    def _measure(self, row: Row, sample: float) -> None:
        # Once a heartbeat: comparisons, since min and max cost three times as much.
        rules = self.heartbeat
        row.rtt_last = sample
        if sample < row.rtt_min:  # noqa: PLR1730
            row.rtt_min = sample
        row.srtt, row.rttvar = smoothed(row.srtt, row.rttvar, sample)
        if self._answers is not None:
            margin = self._answers.margin(sample, interval=rules.interval)
        else:
            usual = sample if sample > row.srtt else row.srtt  # noqa: FURB136
            margin = usual + USUAL * row.rttvar
        if margin < rules.floor:  # noqa: PLR1730
            margin = rules.floor
        row.margin = margin if margin < rules.timeout else rules.timeout  # noqa: FURB136

    def advance(self, *, now: float, facts: Facts = NO_FACTS) -> tuple[Event, ...]:
        """
        Judge; to be called when ``wake_at`` has come.

        Args:
            now: The present, in seconds.
            facts: What the driver knows.

        Returns:
            Requests to the driver and what changed; mostly nothing.
        """
        row = self.row
        stretched = row.stretched
        action, wake_at = judge(self.heartbeat, row, now=now, facts=facts)
        late_since, row.wake_at = row.wake_at, wake_at
        if action == codes.PING and not facts.slept:
            return (PingDue(row.sequence),)
        if action == codes.NOTHING and row.stretched <= stretched and not facts.slept:
            return NOTHING_NEW
        news: list[Event] = []
        if facts.slept > 0 and row.state in (codes.ALIVE, codes.SUSPECT):
            news.append(Slept(now, facts.slept))
        if row.stretched > stretched:
            news.append(WatcherLate(now, max(facts.lateness, now - late_since)))
        tell = TELL.get(action)
        if tell is not None:
            news.append(tell(self, now, facts))
        return tuple(news)

    def drained(self, *, now: float, facts: Facts = NO_FACTS) -> tuple[Event, ...]:
        """
        Tell that everything which had arrived was read; a verdict may follow.

        Args:
            now: The present, in seconds.
            facts: What the driver knows.
        """
        return self.advance(now=now, facts=facts._replace(drained=True))

    def failed(
        self, reason: Reason, *, now: float, facts: Facts = NO_FACTS
    ) -> tuple[Event, ...]:
        """
        Tell that the connection broke: the kernel's error, or a breach of the protocol.

        Args:
            reason: What it means.
            now: The present, in seconds.
            facts: What the driver knows.
        """
        if not self._move(Cause.FAILED):
            return NOTHING_NEW
        self.row.wake_at = codes.NEVER
        return (Died(now, reason, self.evidence(now=now, facts=facts)),)

    def close(self, reason: str = "", *, now: float) -> tuple[Event, ...]:
        """
        Tell that one side closed in good order.

        Args:
            reason: What was said.
            now: The present, in seconds.
        """
        if not self._move(Cause.LEFT):
            return NOTHING_NEW
        self.row.wake_at = codes.NEVER
        return (Closed(now, reason),)

    def evidence(self, *, now: float, facts: Facts = NO_FACTS) -> Evidence:
        """
        Return what a verdict would rest on.

        Args:
            now: The present, in seconds.
            facts: What the driver knows.
        """
        row = self.row
        asked = row.asked_at > row.heard_at
        known = row.acked != codes.UNKNOWN
        return Evidence(
            heard_at=row.heard_at,
            silence=now - row.heard_at,
            asked_at=row.asked_at if asked else None,
            waited=now - row.asked_at if asked else 0.0,
            counted=max(0.0, now - row.counts_at) if asked else 0.0,
            timeout=self.heartbeat.timeout,
            sequence=None if self.heartbeat.one_way else row.sequence,
            rtt=self.rtt,
            lateness=row.stretched,
            covered=row.covered if asked and known else None,
            outstanding=facts.outstanding,
            unanswered=facts.unanswered,
            slept=row.slept if asked else 0.0,
        )

    def _move(self, cause: Cause) -> bool:
        before = CODES[self.row.state]
        after = follow(before, cause)
        self.row.state = CODES.index(after)
        return after is not before


def died_of(row: Row, facts: Facts) -> Reason:
    """
    Return the reason for a verdict of silence.

    Args:
        row: The peer.
        facts: What the driver knew when it was given.
    """
    if row.slept > 0:
        return Reason.SUSPENDED
    undelivered = row.acked != codes.UNKNOWN and not row.covered
    # Its kernel has answered since the question, to a probe of the closed
    # window say; a pulled cable leaves data unacknowledged, too.
    lives = facts.acked_at >= row.asked_at and not facts.unanswered
    if undelivered and lives and not facts.paused:
        return Reason.BACKPRESSURED
    return Reason.SILENT


def _ping(monitor: Monitor, _now: float, _facts: Facts) -> Event:
    return PingDue(monitor.row.sequence)


def _drain(_monitor: Monitor, _now: float, _facts: Facts) -> Event:
    return DrainDue()


def _suspected(monitor: Monitor, now: float, facts: Facts) -> Event:
    return Suspected(now, monitor.evidence(now=now, facts=facts))


def _recovered(monitor: Monitor, now: float, _facts: Facts) -> Event:
    return Recovered(now, now - monitor.row.suspected_at)


def _died(monitor: Monitor, now: float, facts: Facts) -> Event:
    evidence = monitor.evidence(now=now, facts=facts)
    return Died(now, died_of(monitor.row, facts), evidence)


TELL: dict[int, Callable[[Monitor, float, Facts], Event]] = {
    codes.PING: _ping,
    codes.VERIFY: _drain,
    codes.SUSPECTED: _suspected,
    codes.RECOVERED: _recovered,
    codes.DIED: _died,
}
