"""
The judgement of an onlooker: no byte is ours, only the kernel's evidence counts.

A peer is *suspect* once two of the kernel's own packets went unanswered, and dead
once that has lasted for the timeout. Whatever comes back, be it only the
acknowledgement of a probe, is life. A silence alone accuses nobody: on an idle
connection without probes a dead peer and a quiet one look the same.

What this cannot see: a stopped or hung program, whose kernel goes on answering.

Source: RFC 1122, section 4.2.3.6 (one lost probe is no verdict).
"""

from deadpeer.core.events import (
    Change,
    Closed,
    Died,
    Evidence,
    Online,
    Reason,
    Recovered,
    Suspected,
)
from deadpeer.core.facts import NO_FACTS, Facts
from deadpeer.core.states import Cause, State, follow
from deadpeer.errors import ConfigError
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.policy.keepalive import Keepalive
from deadpeer.policy.timers import lateness

__all__ = ["LOOKS", "Onlooker", "probing"]

NEVER = float("inf")

# Looks within one timeout. What goes unanswered from one look to the next is
# seen well before its time is up, and the look after that is set for it exactly.
LOOKS = 4

# Seconds: what is left of a timeout may be too little to move a float on.
SHORTEST = 0.001

# One lost probe is no verdict.
FEWEST_PROBES = 2


class Onlooker:
    """
    Judge one connection by what its kernel tells.

    Args:
        heartbeat: *timeout* is how long the kernel's packets may go unanswered;
            *interval* is after how much silence there has to be one.
        now: The present, in seconds on a monotonic clock.

    Attributes:
        state: What is known of the peer.
        heard_at: When its kernel was last heard, in seconds.
        wake_at: When to look next, in seconds; infinite for never.
    """

    __slots__ = ("_suspected_at", "heard_at", "heartbeat", "state", "wake_at")

    def __init__(self, heartbeat: Heartbeat, *, now: float) -> None:
        self.heartbeat = heartbeat
        self.state = State.CONNECTING
        self.heard_at = now
        self.wake_at = NEVER
        self._suspected_at = NEVER

    def opened(self, *, now: float) -> tuple[Change, ...]:
        """
        Begin to judge.

        Args:
            now: The present, in seconds.
        """
        if not self._move(Cause.OPENED):
            return ()
        self.heard_at = self.wake_at = now
        return (Online(now),)

    def look(self, *, now: float, facts: Facts) -> tuple[Change, ...]:
        """
        Judge; to be called when ``wake_at`` has come.

        Args:
            now: The present, in seconds.
            facts: What the kernel tells at this moment.
        """
        if self.state not in (State.ALIVE, State.SUSPECT):
            return ()
        timeout = self.heartbeat.timeout
        self.heard_at = max(self.heard_at, facts.arrived_at, facts.acked_at)
        self.wake_at = now + timeout / LOOKS
        if facts.unanswered >= timeout:
            return self.failed(Reason.SILENT, now=now, facts=facts)
        if facts.unanswered <= 0:
            if self._move(Cause.HEARD):
                return (Recovered(now, now - self._suspected_at),)
            return ()
        left = max(timeout - facts.unanswered, SHORTEST)
        self.wake_at = min(self.wake_at, now + left)
        if not self._move(Cause.SILENT):
            return ()
        self._suspected_at = now
        return (Suspected(now, self.evidence(now=now, facts=facts)),)

    def failed(
        self, reason: Reason, *, now: float, facts: Facts = NO_FACTS
    ) -> tuple[Change, ...]:
        """
        Tell that the connection broke.

        Args:
            reason: What the kernel's error means.
            now: The present, in seconds.
            facts: What the kernel told last.
        """
        if not self._move(Cause.FAILED):
            return ()
        self.wake_at = NEVER
        return (Died(now, reason, self.evidence(now=now, facts=facts)),)

    def close(self, reason: str = "", *, now: float) -> tuple[Change, ...]:
        """
        Tell that the connection ended in good order, or that nobody looks any more.

        Args:
            reason: What was said.
            now: The present, in seconds.
        """
        if not self._move(Cause.LEFT):
            return ()
        self.wake_at = NEVER
        return (Closed(now, reason),)

    def evidence(self, *, now: float, facts: Facts = NO_FACTS) -> Evidence:
        """
        Return what a verdict would rest on.

        Args:
            now: The present, in seconds.
            facts: What the kernel tells.
        """
        return Evidence(
            heard_at=self.heard_at,
            silence=now - self.heard_at,
            timeout=self.heartbeat.timeout,
            outstanding=facts.outstanding,
            unanswered=facts.unanswered,
        )

    def _move(self, cause: Cause) -> bool:
        before = self.state
        self.state = follow(before, cause)
        return self.state is not before


def probing(heartbeat: Heartbeat) -> Keepalive:
    """
    Return the keepalive that makes the evidence for a heartbeat.

    The first probe comes so early that even late timers leave two of them
    unanswered within ``interval + timeout``; the kernel's own verdict comes
    behind ours. Kernels count whole seconds.

    Args:
        heartbeat: When a death has to be known.

    Raises:
        ConfigError: The kernel cannot probe so fast.

    Source:
        Linux tcp(7), tcp_keepalive_*; kernel/time/timer.c for the lateness.

    >>> probing(Heartbeat(interval=20, timeout=10))
    Keepalive(idle=17, interval=2, probes=6)
    """
    pause = max(1, int(heartbeat.timeout / LOOKS))
    idle = int(heartbeat.interval)
    while idle > 1 and idle + lateness(float(idle)) > heartbeat.interval:
        idle -= 1
    second = pause + lateness(float(pause)) + lateness(float(max(1, idle)))
    if idle < 1 or second > heartbeat.timeout:
        raise ConfigError(
            f"no kernel probes as fast as interval={heartbeat.interval:.4g}, "
            f"timeout={heartbeat.timeout:.4g}",
            hint="it counts whole seconds, its timers are late, and it takes two "
            "probes: interval >= 1 and timeout >= 2 + interval / 6 (as within=6 and "
            "more), or a heartbeat of your protocol's own",
            field="heartbeat",
            value=heartbeat,
        )
    probes = max(FEWEST_PROBES, int(heartbeat.timeout / pause) + 1)
    return Keepalive(idle=idle, interval=pause, probes=probes)
