"""What settings promise: every state's bound, the traffic, and what to know."""

import math
from dataclasses import dataclass

from deadpeer.platforms import LINUX, Defaults, Platform
from deadpeer.policy.keepalive import Keepalive, require_seconds
from deadpeer.policy.predict import Bound, State, predict
from deadpeer.policy.remarks import remarks

__all__ = ["Assessment", "Traffic", "assess"]

HOUR = 3600.0

# An empty segment: IP header, TCP header and the timestamp option, which Linux
# sends by default (RFC 7323). Link-layer framing comes on top.
IPV4_BYTES = 20 + 20 + 12
IPV6_BYTES = 40 + 20 + 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """
    What keepalive costs on an idle, live connection.

    Args:
        every: Seconds between probes; ``math.inf`` if there are none.
        packets: Packets an hour, probes and answers.
        ipv4_bytes: Bytes an hour on IPv4, from the IP header on.
        ipv6_bytes: The same on IPv6.
    """

    every: float
    packets: float
    ipv4_bytes: float
    ipv6_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """
    What settings promise on one path.

    Args:
        keepalive: The settings that were judged.
        effective: The same, the system's filled in where they leave a gap.
        platform: The name of the platform's row.
        rtt: The round-trip time that was reckoned with, in seconds.
        bounds: One for each state, in the order of ``State``.
        traffic: What the probes cost.
        longest_pause: How long, in seconds, a live peer may leave its window
            closed before it is ended; ``math.inf`` if for ever.
        warnings: What a careful engineer would say about these settings.
    """

    keepalive: Keepalive
    effective: Keepalive
    platform: str
    rtt: float
    bounds: tuple[Bound, ...]
    traffic: Traffic
    longest_pause: float
    warnings: tuple[str, ...]

    def bound(self, state: State) -> Bound:
        """
        Return the bound for one state.

        Args:
            state: What the connection is doing when its peer dies.
        """
        return next(bound for bound in self.bounds if bound.state is state)

    @property
    def worst(self) -> float:
        """The latest detection over all states and changes of state, in seconds."""
        return max(bound.latest for bound in self.bounds)

    @property
    def survives(self) -> float:
        """
        The outage, in seconds, that every established connection survives.

        A connect that gives up has killed nobody; its own bound says when.
        """
        established = (b for b in self.bounds if b.state is not State.CONNECTING)
        return min(bound.survives for bound in established)


def assess(
    keepalive: Keepalive,
    *,
    rtt: float = 0.0,
    defaults: Defaults | None = None,
    platform: Platform = LINUX,
) -> Assessment:
    """
    Judge settings: when is a death reported, and what does that cost.

    Args:
        keepalive: The settings of a socket; ``Keepalive()`` is a socket that
            sets nothing, ``Keepalive(on=True)`` one that trusts the system.
        rtt: The round-trip time of the path, in seconds.
        defaults: The system's settings; the platform's own if None.
        platform: The row to reckon with.

    Returns:
        Bounds in seconds for each state, traffic, and warnings.

    Raises:
        ConfigError: *rtt* is not a duration.

    >>> assess(Keepalive(on=True)).worst > 7875
    True
    """
    require_seconds("rtt", rtt, zero=True)
    defaults = platform.defaults if defaults is None else defaults
    effective = keepalive.over(defaults)
    bounds = tuple(
        predict(keepalive, state, rtt=rtt, defaults=defaults, platform=platform)
        for state in State
    )
    traffic = _traffic(effective, rtt)
    return Assessment(
        keepalive=keepalive,
        effective=effective,
        platform=platform.name,
        rtt=rtt,
        bounds=bounds,
        traffic=traffic,
        longest_pause=effective.user_timeout or math.inf,
        warnings=remarks(
            keepalive,
            effective=effective,
            bounds=bounds,
            every=traffic.every,
            platform=platform,
            hz=defaults.hz,
        ),
    )


def _traffic(effective: Keepalive, rtt: float) -> Traffic:
    if not effective.on or effective.idle is None or effective.interval is None:
        return Traffic(every=math.inf, packets=0.0, ipv4_bytes=0.0, ipv6_bytes=0.0)
    # The silence is counted from the answer, one round trip after the probe.
    every = max(effective.idle + rtt, effective.interval)
    packets = 2 * HOUR / every
    return Traffic(
        every=every,
        packets=packets,
        ipv4_bytes=packets * IPV4_BYTES,
        ipv6_bytes=packets * IPV6_BYTES,
    )
