"""
What a watcher with heartbeats should see, reckoned before the fault.

One promise, and what bends it: death is known when *interval* and *timeout* have
passed since the last byte that was heard, and 50 ms later at the most. A watcher
that stood still knows later; a peer that says goodbye, or a box that resets, is
known sooner. Who lives, lives.
"""

import math
from dataclasses import dataclass

from deadpeer.core.judge import MOST_PATIENCE
from deadpeer.lab.forecast import (
    BACK,
    GOODBYE,
    NEVER,
    STRETCH,
    Forecast,
    goodbye,
    said,
)
from deadpeer.lab.heartbeats.conditions import Conditions
from deadpeer.lab.scenario import Cell
from deadpeer.lab.terms import Expectation, Fault, Situation
from deadpeer.policy.predict import Span
from deadpeer.policy.timers import retransmission_timeout

__all__ = ["SLACK", "Heard", "forecast", "nominal"]

# How late a verdict may be that was due, in seconds: part of the promise.
SLACK = 0.05

# A kernel acknowledges what it was sent so late at the most, in seconds, and a
# box that forgot in between answers that with a reset. Source: net/tcp.h,
# TCP_DELACK_MAX.
DELAYED = 0.2

# Blocking or stopping a process begins so much before or after the fault itself,
# in seconds: one is done after the other.
APART = 0.1

# What a packet takes at least where the link takes no time, in seconds.
MOMENT = 1e-5

STANDING_STILL = (
    Fault.WATCHER_STOPPED,
    Fault.LOOP_BLOCKED,
    Fault.LOOP_BLOCKED_LONGER,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """
    What is known of a connection just before the fault.

    Args:
        last: When its last byte is heard, in seconds after the fault, earliest
            and latest. An answer may still be on its way.
        delivered: When the peer's kernel last acknowledges anything, in seconds
            after the fault; None if nothing of ours is on its way.
        rtt: The measured round trip, in seconds.
    """

    last: Span
    delivered: Span | None = None
    rtt: float = 0.0


def nominal(cell: Cell, plan: Conditions) -> Heard:
    """
    Return what is known of a cell as it is planned, before anything is measured.

    Args:
        cell: The cell; its *phase* is the silence at the fault.
        plan: What it goes through.
    """
    delay = plan.before.delay
    # One that was asked so long ago that the ping is there may still answer.
    may_answer = cell.phase - plan.heartbeat.interval >= max(delay, MOMENT)
    last = (-cell.phase, 2 * delay if may_answer else -cell.phase)
    return Heard(last=last, rtt=2 * delay)


def forecast(cell: Cell, plan: Conditions, heard: Heard) -> Forecast:
    """
    Return what a cell should see.

    Args:
        cell: The cell; its own prediction is not looked at.
        plan: What it goes through.
        heard: What is known of its connection.
    """
    interval, timeout = plan.heartbeat.interval, plan.heartbeat.timeout
    asks = f"asked after {interval:.3g} s, {timeout:.3g} s to answer"
    if cell.peer_lives:
        why = f"the peer lives; {asks}"
        return said(Expectation.ALIVE, NEVER, why)
    if cell.fault.says_goodbye:
        return goodbye(heard.rtt)
    silent = silence(plan, heard)
    match cell.fault:
        case Fault.FORGOTTEN_WITH_RESETS:
            told = reset_on_the_way(cell, plan, heard)
            span = told[0], min(told[1], silent[1])
            why = "the box resets the ping"
        case Fault.REBOOT:
            back = reset_by_the_peer(cell, plan, heard)
            span = min(silent[0], back[0]), min(silent[1], back[1])
            why = "no answer, or the peer resets"
        case fault if fault in STANDING_STILL:
            span, why = after_standing_still(plan, heard), "no answer after we woke"
        case _:
            span, why = silent, "no answer to the ping"
    span = max(0.0, span[0]), span[1]
    return said(Expectation.DEAD, span, f"{why}; {asks}")


def silence(plan: Conditions, heard: Heard) -> Span:
    """Return when a peer that is silent from now on is given up."""
    least, most = (at + plan.heartbeat.detection for at in heard.last)
    if heard.delivered:
        # As long as the kernel delivers, the ping may be on its way behind it.
        timeout = plan.heartbeat.timeout
        if plan.weather.bandwidth < math.inf:
            timeout *= MOST_PATIENCE  # its repetitions may take so long
        most = max(most, heard.delivered[1] + timeout)
    return least, most + SLACK


def asked(plan: Conditions, heard: Heard) -> Span:
    """Return when the ping is due that will not be answered."""
    least, most = (at + plan.heartbeat.interval for at in heard.last)
    return least, most


def after_standing_still(plan: Conditions, heard: Heard) -> Span:
    """
    Return when a watcher that stood still gives up a peer that died meanwhile.

    It reads what came, asks where it had not, and grants its own lateness: up to
    one timeout from when it woke, and no more.
    """
    least, most = silence(plan, heard)
    woke = plan.lasts
    due, _ = asked(plan, heard)
    if least > woke + APART and due > woke + APART:
        return least, most  # nothing was due meanwhile
    # What was due before it stopped may be found at once.
    first = max(least, woke - APART)
    return first, max(most, woke + APART + plan.heartbeat.timeout + SLACK)


def reset_on_the_way(cell: Cell, plan: Conditions, heard: Heard) -> Span:
    """Return when a box that forgot the connection resets it."""
    least, most = asked(plan, heard)
    if heard.last[1] > -DELAYED or cell.situation is not Situation.IDLE:
        least = 0.0
    return least, max(0.0, most) + heard.rtt + GOODBYE


def reset_by_the_peer(cell: Cell, plan: Conditions, heard: Heard) -> Span:
    """
    Return when a peer that lost its state resets the connection.

    The ping is sent again and again; the first that is sent after its return is
    surely reset, and what waited at a router may be as soon as it is back.
    """
    least, most = asked(plan, heard)
    if cell.situation is not Situation.IDLE:
        least = 0.0
    _, timeout = retransmission_timeout(heard.rtt, plan.defaults)
    surely = most
    while surely < BACK[1]:
        surely += timeout * STRETCH
        timeout = min(2 * timeout, plan.defaults.rto_max)
    return max(BACK[0], least), surely + heard.rtt + GOODBYE
