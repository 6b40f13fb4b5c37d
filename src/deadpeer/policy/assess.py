"""What settings promise: every state's bound, the traffic, and what to know."""

import math
from dataclasses import dataclass

from deadpeer.platforms import LINUX, Defaults, Platform
from deadpeer.policy.keepalive import Keepalive, require_seconds
from deadpeer.policy.middleboxes import forgetful
from deadpeer.policy.predict import Bound, State, predict, unanswered_probes

__all__ = ["Assessment", "Traffic", "assess"]

HOUR = 3600.0

# An empty segment: IP header, TCP header and the timestamp option, which Linux
# sends by default (RFC 7323). Link-layer framing comes on top.
IPV4_BYTES = 20 + 20 + 12
IPV6_BYTES = 40 + 20 + 12

# Radios of phones stay awake for seconds after each packet; Go's default of
# 15 s has been reported as draining batteries (golang/go#48622).
RESTLESS = 60.0

# How many kinds of box a warning names; the reference lists them all.
NAMED = 3

# TCP_RTO_MAX of Linux' include/net/tcp.h, in seconds.
LONGEST_RTO = 120.0

# More than what any system does by itself, and too long to go unsaid.
LONG = 10 * 60.0


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
        warnings=tuple(
            _warnings(keepalive, effective, bounds, traffic, platform, defaults.hz)
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


def _warnings(
    keepalive: Keepalive,
    effective: Keepalive,
    bounds: tuple[Bound, ...],
    traffic: Traffic,
    platform: Platform,
    hz: int | None,
) -> list[str]:
    found = [*_about_idle(effective, platform, hz), *_about_data(effective, bounds)]
    if platform.probes_yield and keepalive.probes and effective.user_timeout:
        found.append(
            f"probes={keepalive.probes} does not count: {platform.title} goes by the"
            " user timeout where one is set"
        )
    if keepalive.rto_max and keepalive.rto_max < LONGEST_RTO:
        # Linux tcp_timer.c, tcp_rtx_probe0_timed_out().
        low, high = keepalive.rto_max, 2 * keepalive.rto_max
        found.append(
            "rto_max needs Linux 6.15; a peer that takes back window it had offered"
            f" is given up after {low:g} to {high:g} s of silence"
        )
    if effective.on:
        found += _about_middleboxes(traffic.every)
        if traffic.every < RESTLESS:
            found.append(
                f"a probe every {traffic.every:.3g} s keeps the radio of a"
                " battery-powered peer awake"
            )
    return found


def _about_middleboxes(every: float) -> list[str]:
    boxes = forgetful(every)
    if not boxes:
        return []
    named = ", ".join(f"{box.name} ({box.idle_timeout:g} s)" for box in boxes[:NAMED])
    more = len(boxes) - NAMED
    others = f" and {more} more kinds of box" if more > 0 else ""
    return [
        f"a first probe after {every:.5g} s is too late for {named}{others}:"
        " they forget the connection before"
    ]


def _about_idle(effective: Keepalive, platform: Platform, hz: int | None) -> list[str]:
    if not effective.on:
        return ["SO_KEEPALIVE is off: the death of an idle peer is never noticed"]
    found = []
    least, _ = unanswered_probes(effective, platform=platform, hz=hz)
    if least == 1:
        found.append(
            "one lost probe ends a live connection;"
            " RFC 1122 (4.2.3.6) forbids taking it for a death"
        )
    if (effective.interval or 0) > (effective.idle or 0):
        found.append("interval is longer than idle, so it also spaces answered probes")
    return found


def _about_data(effective: Keepalive, bounds: tuple[Bound, ...]) -> list[str]:
    found = []
    in_flight = next(b for b in bounds if b.state is State.UNACKNOWLEDGED)
    closed = next(b for b in bounds if b.state is State.ZERO_WINDOW)
    if effective.user_timeout:
        found.append(
            f"a live peer that reads nothing for {effective.user_timeout:g} s,"
            " so that its window stays closed, is ended too"
        )
    elif math.isinf(in_flight.latest):
        found.append(
            "no setting here bounds a death while data is in flight; use heartbeats"
        )
    elif in_flight.latest > LONG:
        found.append(
            "without a user timeout keepalive stops while data is in flight: a death"
            f" is then noticed after up to {in_flight.latest:.0f} s"
        )
    if effective.user_timeout and closed.survives < in_flight.survives:
        # Linux tcp_timer.c, tcp_probe_timer().
        found.append(
            "behind a closed window the system's tcp_retries2 counts beside the user"
            f" timeout: an outage of more than {closed.survives:.3g} s may end a live"
            " peer there"
        )
    if effective.user_timeout and math.isinf(closed.latest):
        found.append("a death behind a closed window is bounded by no setting here")
    return found
