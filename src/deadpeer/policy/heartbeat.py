"""
The value: how a peer is asked whether it lives, and how long it may think.

Two numbers and one promise: a peer that has been silent for *interval* is
asked, and one that has not answered *timeout* later is dead. So a death is
known within ``interval + timeout`` of the last byte that was heard.
"""

import math
from dataclasses import dataclass, field
from typing import Self

from deadpeer.errors import ConfigError
from deadpeer.policy.keepalive import require_seconds
from deadpeer.policy.mistakes import SHORTEST
from deadpeer.policy.numbers import LONGEST, require_bool
from deadpeer.policy.quality import Link, configure

__all__ = ["Heartbeat"]

# TCP repairs a loss by a retransmission after RTO = RTT + max(200 ms, 4·RTTVAR)
# and doubles it (RFC 6298 with Linux' floor, include/net/tcp.h, TCP_RTO_MIN). A
# timeout that lets a heartbeat be lost twice in a row waits 1 + 2 of these, and
# then one round trip for the answer.
RTO_MIN = 0.2
LOSSES = 3

# The part of a promise that goes into waiting for the answer.
SHARE = 1 / 3

# Heartbeats within the time after which a box forgets a connection.
REMINDERS = 3

# The margin's floor where nothing is asked for: RFC 6298's first timeout, 1 s,
# but never more than half of the time that an answer may take.
FLOOR = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """
    When a peer is asked, suspected and given up; inert until a driver uses it.

    Args:
        interval: Seconds of silence after which the peer is asked. Whatever it
            sends counts as an answer, so a busy connection is never asked.
        timeout: Seconds from the question until death, if nothing is heard.
        suspect_after: The least number of seconds from the question until the
            peer is *suspect*, an early warning that can be taken back. The
            margin grows above this floor with the measured round trips, up to
            *timeout*. None is a second, or half of *timeout* if that is less.
        one_way: Ask nothing. The peer has promised to send something in every
            *interval*, and is dead after *timeout* more.

    Attributes:
        floor: *suspect_after* as it is in force, in seconds.

    Raises:
        ConfigError: A value is no number of seconds, too small, or more than
            thirty years.

    >>> Heartbeat(interval=20, timeout=10).detection
    30.0
    """

    interval: float = 20.0
    timeout: float = 10.0
    suspect_after: float | None = None
    one_way: bool = False
    floor: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("interval", "timeout"):
            _require(name, getattr(self, name))
            object.__setattr__(self, name, float(getattr(self, name)))
        floor = min(FLOOR, self.timeout / 2)
        if self.suspect_after is not None:
            _require("suspect_after", self.suspect_after)
            floor = min(float(self.suspect_after), self.timeout)
        require_bool(
            "one_way",
            self.one_way,
            hint="True asks nothing and waits for beats that the peer promised",
        )
        object.__setattr__(self, "floor", floor)

    @property
    def detection(self) -> float:
        """Seconds after the last byte heard, within which a death is known."""
        return self.interval + self.timeout

    @classmethod
    def within(cls, seconds: float, *, rtt: float = 0.0) -> Self:
        """
        Return the heartbeat that knows a death within so many seconds.

        A third of the time is for the answer, and more where that would be less
        than two lost packets cost: 3·(RTT + 200 ms) + RTT.

        Args:
            seconds: From the last byte heard until the verdict.
            rtt: The largest usual round trip in seconds.

        Raises:
            ConfigError: So short a promise would end connections that live.

        Source:
            RFC 6298, section 2 (the timeout) and 5.5 (its doubling); Linux
            include/net/tcp.h, ``TCP_RTO_MIN`` (200 ms).

        >>> Heartbeat.within(30)
        Heartbeat(interval=20.0, timeout=10.0, suspect_after=None, one_way=False)
        """
        require_seconds("seconds", seconds, most=LONGEST)
        require_seconds("rtt", rtt, zero=True, most=LONGEST)
        repair = LOSSES * (rtt + RTO_MIN) + rtt
        timeout = max(seconds * SHARE, repair)
        interval = seconds - timeout
        shortest = max(RTO_MIN, 2 * rtt)
        # A sum that is off by one part in 10^16 is no reason to refuse.
        if interval < shortest * (1 - 1e-9):
            least = math.ceil((repair + shortest) * 1000) / 1000
            raise ConfigError(
                f"within {seconds} s at a round trip of {rtt} s a live peer that "
                "loses two packets in a row would be called dead",
                hint=f"the smallest promise here is {least} s",
                field="seconds",
                value=seconds,
            )
        return cls(interval=interval, timeout=timeout)

    @staticmethod
    def lan() -> "Heartbeat":
        """Return what suits one building: 2 s of silence, 1 s for the answer."""
        return LAN

    @staticmethod
    def wan() -> "Heartbeat":
        """Return what suits the internet: 20 s of silence, 10 s for the answer."""
        return WAN

    @staticmethod
    def mobile() -> "Heartbeat":
        """
        Return what spares a telephone's radio: 210 s of silence, 30 s for the answer.

        Each packet wakes the radio for seconds, and carriers' NATs keep an idle
        TCP connection for some minutes.

        Source:
            Tencent mars, ``stn/src/smart_heartbeat.cc`` and ``config.h``: its
            shortest interval in the background is 3.5 minutes.
        """
        return MOBILE

    @classmethod
    def behind_balancer(cls, idle_timeout: float = 60.0) -> Self:
        """
        Return what keeps a load balancer or NAT from forgetting the connection.

        Args:
            idle_timeout: Seconds of idleness after which the box forgets. 60 is
                the default of AWS' application load balancers; see
                docs/reference/middleboxes.md for others.

        Raises:
            ConfigError: *idle_timeout* is no number of seconds, or so short that
                nothing is quick enough.

        >>> Heartbeat.behind_balancer(350).interval
        20.0
        """
        require_seconds("idle_timeout", idle_timeout)
        if idle_timeout < REMINDERS * SHORTEST:
            raise ConfigError(
                f"no heartbeat is so fast that idle_timeout={idle_timeout!r} s never ends",
                hint=f"give {REMINDERS * SHORTEST:g} s or more",
                field="idle_timeout",
                value=idle_timeout,
            )
        # One late heartbeat does not let it forget.
        return cls(interval=min(20.0, idle_timeout / REMINDERS), timeout=10.0)

    @classmethod
    def for_quality(
        cls,
        *,
        link: Link,
        detect_within: float,
        mistakes_at_most: str | float,
        mistakes_last_at_most: float | None = None,
    ) -> Self:
        """
        Return the cheapest heartbeat that keeps a wish about its quality.

        Args:
            link: The measured link.
            detect_within: Seconds from a death until it is known (T_D).
            mistakes_at_most: How often a live peer may be called dead, such as
                ``"1/week"``, or as a rate in 1/s (1/T_MR).
            mistakes_last_at_most: Seconds that a mistake may last (T_M), or
                None for any.

        Raises:
            ConfigError: It can't be had on this link; says what comes nearest.

        Source:
            Chen, Toueg and Aguilera, On the Quality of Service of Failure
            Detectors, IEEE Transactions on Computers 51(5), 2002.
        """
        found = configure(
            link=link,
            detect_within=detect_within,
            mistakes_at_most=mistakes_at_most,
            mistakes_last_at_most=mistakes_last_at_most,
        )
        return cls(interval=found.interval, timeout=found.timeout)


def _require(name: str, value: float) -> None:
    require_seconds(name, value, most=LONGEST)
    if value < SHORTEST:
        raise ConfigError(
            f"{name}={value!r} is less than {SHORTEST} s",
            hint="a heartbeat that fast measures the scheduler, not the peer",
            field=name,
            value=value,
        )


LAN = Heartbeat(interval=2.0, timeout=1.0)
WAN = Heartbeat(interval=20.0, timeout=10.0)
MOBILE = Heartbeat(interval=210.0, timeout=30.0)
