"""What to know about settings besides their bounds: the warnings."""

import math

from deadpeer.platforms import Platform
from deadpeer.policy.keepalive import Keepalive
from deadpeer.policy.middleboxes import forgetful
from deadpeer.policy.predict import Bound, State, unanswered_probes

__all__ = ["remarks"]

# Radios of phones stay awake for seconds after each packet; Go's default of
# 15 s has been reported as draining batteries (golang/go#48622).
RESTLESS = 60.0

# How many kinds of box a warning names; the reference lists them all.
NAMED = 3

# TCP_RTO_MAX of Linux' include/net/tcp.h, in seconds.
LONGEST_RTO = 120.0

# More than what any system does by itself, and too long to go unsaid.
LONG = 10 * 60.0


def remarks(
    keepalive: Keepalive,
    *,
    effective: Keepalive,
    bounds: tuple[Bound, ...],
    every: float,
    platform: Platform,
    hz: int | None,
) -> tuple[str, ...]:
    """
    Return what a careful engineer would say about settings, a sentence each.

    Args:
        keepalive: The settings as they were given.
        effective: The same, the system's filled in.
        bounds: One for each state.
        every: Seconds between the probes of an idle, live connection.
        platform: The row that was reckoned with.
        hz: The kernel's ticks a second, None if not known.
    """
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
        found += _about_middleboxes(every)
        if every < RESTLESS:
            found.append(
                f"a probe every {every:.3g} s keeps the radio of a"
                " battery-powered peer awake"
            )
    return tuple(found)


def _about_middleboxes(every: float) -> list[str]:
    boxes = forgetful(every)
    if not boxes:
        return []
    named = ", ".join(f"{box.name} ({box.idle_timeout:g} s)" for box in boxes[:NAMED])
    more = len(boxes) - NAMED
    others = f" and {more} more kinds of box" if more > 0 else ""
    late = f"a first probe after {every:.5g} s is too late for {named}{others}"
    return [f"{late}: they forget the connection before"]


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
