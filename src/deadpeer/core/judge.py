"""
The judgement: one pure function over a row of numbers.

Hearing never decides: ``row.heard_at = now`` is all that a received byte costs.
``judge`` is called when a row's ``wake_at`` has come. It answers with an action,
which the driver carries out, and with the instant at which it wants to be
called again, which the caller stores in ``row.wake_at``.

Nobody is accused on a deadline alone. When one has passed, ``judge`` first says
``VERIFY``: the driver lets everything that has arrived be read, asks the kernel
what it knows, and calls again with ``drained`` facts. Source of that idea: Ma et
al., SafeTimer, USENIX ATC 2018.
"""

from math import ceil
from typing import Final

from deadpeer.core.facts import LONG_AGO, NO_FACTS, Facts
from deadpeer.policy.heartbeat import Heartbeat

__all__ = [
    "ALIVE",
    "CLOSED",
    "CONNECTING",
    "DEAD",
    "DIED",
    "LATE_PING",
    "MOMENT",
    "MOST_PATIENCE",
    "NEVER",
    "NOTHING",
    "PING",
    "PUNCTUAL",
    "RECOVERED",
    "SUSPECT",
    "SUSPECTED",
    "UNKNOWN",
    "VERIFY",
    "Row",
    "judge",
    "look_at_quiet_peer",
    "next_look",
]

# Actions.
NOTHING: Final = 0
PING: Final = 1  # send a ping; its deadline runs already, sent or not
VERIFY: Final = 2  # drain, then call again with the facts
RECOVERED: Final = 3  # the suspicion was a mistake
SUSPECTED: Final = 4  # an answer is later than usual
DIED: Final = 5  # the verdict

# States, as numbers that compare quickly: the final ones are the largest.
CONNECTING: Final = 0
ALIVE: Final = 1
SUSPECT: Final = 2
DEAD: Final = 3
CLOSED: Final = 4

NEVER: Final = float("inf")
UNKNOWN: Final = -1

# A wake-up that is later than this, in seconds, is this watcher's own fault:
# timers of an event loop under normal load are late by a few milliseconds.
PUNCTUAL: Final = 0.05

# A ping that leaves so many seconds late, or after this part of a timeout if that is
# less, still counts from when it was due.
LATE_PING: Final = 0.15
MOMENT: Final = 1 / 8
# So questions wait up to a tenth of a second for others. To send a hundred at
# once costs a process half as much as one by one.
COMPANY: Final = 10  # times a second
PATIENT: Final = 1.2  # the least timeout of which a late ping's moment covers that

# While the kernel still delivers the question, its progress is looked at so
# often within one timeout.
LOOKS: Final = 8

# The first look comes so early in a timeout, however large the margin is:
# progress is what the second one sees.
FIRST_LOOK: Final = 3 / 4

# So many timeouts are granted to a line that is slow to repeat what it lost.
MOST_PATIENCE: Final = 2

SEQUENCES: Final = 1 << 16


class Row:
    """
    What is remembered of one peer: numbers only, so that columns can hold them.

    Args:
        heard_at: When it was last heard, in seconds.

    Attributes:
        state: A number: ``CONNECTING``, ``ALIVE``, ``SUSPECT``, ``DEAD``, ``CLOSED``.
        heard_at: When a byte was last heard, in seconds.
        asked_at: When the latest question became due, in seconds. The question
            is open while nothing was heard since.
        counts_at: From when on the timeout counts, in seconds; moves on where
            the peer is not to blame for the wait.
        wake_at: When to judge next, in seconds.
        pinged_at: When the ping was handed over, in seconds.
        sequence: The number of the latest question, 0 to 65535.
        margin: Seconds after which an unanswered question is suspicious.
        srtt: Smoothed round trip in seconds; negative while unknown.
        rttvar: Mean deviation of the round trip, in seconds.
        rtt_last: The latest round trip, in seconds.
        rtt_min: The smallest round trip, in seconds.
        acked: The peer's acknowledgements at the last look, in bytes.
        delivered: The segments that it had at the last look.
        covers: The count of acknowledged bytes that covers the question;
            ``UNKNOWN`` until it was looked at.
        suspected_at: When the latest suspicion began, in seconds.
        stretched: Seconds that this watcher was late since it asked, and what
            it granted for that.
        slept: Seconds of suspension since the peer was heard.
    """

    __slots__ = (
        "acked",
        "asked_at",
        "counts_at",
        "covers",
        "delivered",
        "heard_at",
        "margin",
        "pinged_at",
        "rtt_last",
        "rtt_min",
        "rttvar",
        "sequence",
        "slept",
        "srtt",
        "state",
        "stretched",
        "suspected_at",
        "wake_at",
    )

    def __init__(self, *, heard_at: float, margin: float, state: int = ALIVE) -> None:
        self.state = state
        self.heard_at = heard_at
        self.margin = margin
        self.asked_at = LONG_AGO
        self.counts_at = LONG_AGO
        self.wake_at = NEVER
        self.pinged_at = LONG_AGO
        self.sequence = 0
        self.srtt = -1.0
        self.rttvar = 0.0
        self.rtt_last = 0.0
        self.rtt_min = NEVER
        self.acked = UNKNOWN
        self.covers = UNKNOWN
        self.delivered = UNKNOWN
        self.suspected_at = NEVER
        self.stretched = 0.0
        self.slept = 0.0

    @property
    def covered(self) -> bool:
        """Whether the peer's kernel has the latest question, as far as was looked."""
        return self.acked >= self.covers > UNKNOWN


def judge(
    rules: Heartbeat, row: Row, *, now: float, facts: Facts = NO_FACTS
) -> tuple[int, float]:
    """
    Decide what to do about one peer, and when to look again.

    Args:
        rules: The heartbeat that was agreed.
        row: The peer. Its question and state are brought up to date;
            ``wake_at`` is the caller's to store.
        now: The present, in seconds on a monotonic clock.
        facts: What the driver knows.

    Returns:
        The action, and the instant in seconds at which to call again.
    """
    if row.state != ALIVE and row.state != SUSPECT:  # noqa: PLR1714 - twice a heartbeat
        return NOTHING, NEVER
    if facts.arrived_at >= row.asked_at:
        # Bytes that nobody has read yet. What came before the question is left
        # as it was heard, since the kernel's instants are a tick or two off.
        row.heard_at = max(row.heard_at, min(facts.arrived_at, now))
    if facts.slept > 0:
        # Silence during a sleep says nothing, and the peer may have left.
        row.slept += facts.slept
        return ask_after_sleep(rules, row, now=now)
    if row.heard_at >= row.asked_at:
        return look_at_quiet_peer(rules, row, now=now)
    if not facts.drained:
        return look_at_open_question(rules, row, now=now, lateness=facts.lateness)
    # Draining may have taken its time, or was done before anybody asked for it.
    stretch(rules, row, now=now, lateness=now - row.wake_at)
    return accuse(rules, row, now=now, facts=facts)


def look_at_quiet_peer(rules: Heartbeat, row: Row, *, now: float) -> tuple[int, float]:
    """
    Ask a peer if it is time to; nothing is asked of it, or it was answered.

    Args:
        rules: As for ``judge``.
        row: As for ``judge``; of a peer that is alive or suspect.
        now: The present, in seconds.

    Returns:
        The action, and the instant in seconds at which to call again.
    """
    due_at = row.heard_at + rules.interval
    if row.state == SUSPECT:
        row.state = ALIVE
        return RECOVERED, due_at
    if now < due_at:
        return NOTHING, next_look(rules, row.heard_at)
    row.slept = 0.0
    # Promised beats are due when they are due; a ping, when we can send it. If that
    # is a moment late, the moment is not added to the promise.
    moment = min(LATE_PING, rules.timeout * MOMENT)
    is_due_then = rules.one_way or now <= due_at + moment
    return ask(rules, row, due_at=due_at if is_due_then else now, now=now)


def next_look(rules: Heartbeat, heard_at: float) -> float:
    """
    Return when to look at a peer that owes nothing, in seconds.

    Args:
        rules: As for ``judge``.
        heard_at: When it was last heard, in seconds.
    """
    due_at = heard_at + rules.interval
    if rules.timeout < PATIENT or rules.interval < PATIENT or rules.one_way:
        return due_at
    # A quotient may be rounded to less: nobody is asked early, nor looked at in vain.
    return max(due_at, ceil(due_at * COMPANY) / COMPANY)


def ask_after_sleep(rules: Heartbeat, row: Row, *, now: float) -> tuple[int, float]:
    """Begin anew: a ping now, or the whole time in which a beat is promised."""
    action, wake_at = ask(rules, row, due_at=now, now=now)
    if rules.one_way:
        row.counts_at += rules.interval
        wake_at += rules.interval
    return action, wake_at


def ask(rules: Heartbeat, row: Row, *, due_at: float, now: float) -> tuple[int, float]:
    """
    Open a question. Since it was due time counts, whether the ping leaves or not.

    A full send buffer must not stop the clock (one library's keepalive never
    fires on a peer that reads nothing, since it waits for the buffer first).
    """
    row.asked_at = row.counts_at = due_at
    row.covers = row.acked = row.delivered = UNKNOWN
    row.stretched = 0.0
    row.pinged_at = LONG_AGO  # no answer can belong to it yet
    # Not after an interval, either: heard right away, it is due again by then.
    # Once a heartbeat: comparisons, since min costs three times as much.
    wait = rules.timeout * FIRST_LOOK
    if row.margin < wait:  # noqa: PLR1730
        wait = row.margin
    if rules.interval < wait:  # noqa: PLR1730
        wait = rules.interval
    if rules.one_way:
        return NOTHING, due_at + wait
    row.sequence = (row.sequence + 1) % SEQUENCES
    # Before that there is nothing to see: it waited for company, and leaves now.
    return PING, now + wait


def look_at_open_question(
    rules: Heartbeat, row: Row, *, now: float, lateness: float
) -> tuple[int, float]:
    """Wait on, or have the driver drain before anything is said."""
    if now < row.wake_at:
        return NOTHING, row.wake_at
    stretch(rules, row, now=now, lateness=max(lateness, now - row.wake_at))
    return VERIFY, now + PUNCTUAL


def stretch(rules: Heartbeat, row: Row, *, now: float, lateness: float) -> None:
    """
    Grant the peer the time that this watcher lost.

    No more than was left of the timeout when it should have looked, and no more
    than one timeout in all. What was late here may be late in this machine's
    network, too. Source of the idea: Dadgar, Phillips and Currey, Lifeguard,
    arXiv 1707.00788.
    """
    if lateness <= PUNCTUAL:
        return
    # So a block of any length puts the verdict off by no more than its length.
    left = rules.timeout - (row.wake_at - row.counts_at)
    # Always late is no excuse for ever, and what was lost is used up, too: who is
    # always late by a second would otherwise lose one for each that is granted.
    extra = min(lateness, left, rules.timeout - row.stretched)
    before = row.counts_at
    if extra > 0:
        row.counts_at = max(before, now + extra - rules.timeout)
    row.stretched += max(lateness, row.counts_at - before)


def accuse(
    rules: Heartbeat, row: Row, *, now: float, facts: Facts
) -> tuple[int, float]:
    """Everything was read and still nothing was heard: is it the peer's fault?"""
    if facts.paused:
        return accuse_by_the_kernel(rules, row, now=now, facts=facts)
    look_at = now + min(rules.interval, rules.timeout / LOOKS)
    is_first_look = row.acked == UNKNOWN
    if not rules.one_way:  # otherwise nothing of ours has to be delivered first
        follow_delivery(row, now=now, facts=facts)
    on_its_way = row.acked != UNKNOWN and not row.covered
    dead_at = row.counts_at + rules.timeout
    if on_its_way:
        # A line so slow that one lost segment takes longer to repeat than the
        # timeout: its silence says nothing yet.
        left_at = max(row.counts_at, row.pinged_at)
        latest = row.counts_at + rules.timeout * MOST_PATIENCE
        dead_at = max(dead_at, min(left_at + facts.repair + PUNCTUAL, latest))
    if now >= dead_at:
        row.state = DEAD
        return DIED, NEVER
    wake_at = min(dead_at, look_at) if on_its_way else dead_at
    if row.state == SUSPECT or (on_its_way and is_first_look):
        return NOTHING, wake_at  # whether it gets on, the next look will tell
    suspect_at = row.counts_at + row.margin
    if now < suspect_at:
        return NOTHING, min(wake_at, suspect_at, now + rules.interval)
    row.state = SUSPECT
    row.suspected_at = now
    return SUSPECTED, wake_at


def accuse_by_the_kernel(
    rules: Heartbeat, row: Row, *, now: float, facts: Facts
) -> tuple[int, float]:
    """The answer may lie in the buffer that we do not read: what does the kernel say?"""
    if facts.unanswered >= rules.timeout:
        row.state = DEAD
        return DIED, NEVER
    row.counts_at = now
    is_on_its_way = rules.one_way or facts.outstanding or facts.unanswered
    if now >= row.asked_at + rules.interval and not is_on_its_way:
        # A program that has no time to read lives, and its peer has to hear
        # that; and a kernel that has nothing to deliver makes no evidence.
        return ask(rules, row, due_at=now, now=now)
    return NOTHING, now + min(rules.interval, rules.timeout / LOOKS)


def follow_delivery(row: Row, *, now: float, facts: Facts) -> None:
    """
    Move the deadline on while the question is still on its way to the peer.

    While the peer's kernel goes on acknowledging and has not covered the
    question, the line is slow and the peer not to blame. Once it is covered,
    the timeout runs; the usual time of delivery is part of it.
    """
    if facts.acked is None or row.covered:
        return
    if row.covers == UNKNOWN:
        # The first look: what waits now is the question and what is before it.
        row.covers = facts.acked + (facts.outstanding or 0)
    acked_at = now if facts.acked_at == LONG_AGO else min(facts.acked_at, now)
    delivered = UNKNOWN if facts.delivered is None else facts.delivered
    if facts.acked >= row.covers:
        # What it waited for company before it left is part of the timeout, too.
        usual = row.margin + max(0.0, row.pinged_at - row.asked_at)
        row.counts_at = max(row.counts_at, acked_at - usual)
    elif facts.acked > row.acked >= 0 or delivered > row.delivered >= 0:
        # While one lost segment is repeated, those behind it arrive: on a line of
        # 1 Mbit/s shared by four the count of bytes stood still for 2.8 s.
        row.counts_at = max(row.counts_at, acked_at)
    row.acked = facts.acked
    row.delivered = delivered
