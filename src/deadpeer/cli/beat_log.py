"""What ``listen`` and ``dial`` tell: one line for each thing that happens. Pure."""

from collections.abc import Mapping
from typing import Any

from deadpeer.cli.durations import in_words
from deadpeer.core.breaches import BREACHES
from deadpeer.core.events import (
    Change,
    Closed,
    Died,
    Online,
    Recovered,
    Slept,
    Suspected,
    WatcherLate,
)
from deadpeer.core.rtt import Rtt

__all__ = ["STYLES", "entry_of", "rtt_entry", "rtt_in_words", "sentence"]

STYLES = {
    "online": "green",
    "suspect": "yellow",
    "recovered": "green",
    "dead": "bold red",
    "closed": "cyan",
    "watcher-late": "magenta",
    "slept": "magenta",
}

Entry = dict[str, Any]


def entry_of(change: Change) -> Entry:  # noqa: PLR0911 - a table
    """
    Return a change as the fields of a log.

    Args:
        change: What changed.
    """
    match change:
        case Online():
            return {"event": "online"}
        case Suspected():
            return {"event": "suspect", "evidence": change.evidence}
        case Recovered():
            return {"event": "recovered", "lasted": change.lasted}
        case Died():
            return {
                "event": "dead",
                "reason": change.reason,
                "evidence": change.evidence,
            }
        case Closed():
            return {"event": "closed", "reason": change.reason}
        case WatcherLate():
            return {"event": "watcher-late", "lateness": change.lateness}
        case Slept():
            return {"event": "slept", "duration": change.duration}


def rtt_entry(rtt: Rtt, silence: float) -> Entry:
    """
    Return round trips as the fields of a log.

    Args:
        rtt: What was measured, in seconds.
        silence: Seconds since the peer was heard.
    """
    return {"event": "rtt", "rtt": rtt, "silence": silence}


def sentence(entry: Mapping[str, Any]) -> str:  # noqa: C901, PLR0911 - a table
    """
    Return what is said of an entry to people.

    Args:
        entry: The fields.
    """
    match entry:
        case {"event": "listening", "address": address}:
            return f"listening on {address}"
        case {"event": "dialling", "address": address}:
            return f"dialling {address}"
        case {"event": "retry", "delay": delay, "why": why}:
            return f"{why}; again in {in_words(delay)}"
        case {"event": "dead", "breach": breach}:
            return f"dead: protocol violated: {BREACHES[breach]}"
        case {"event": "suspect" | "dead" as event, "evidence": evidence}:
            reason = entry.get("reason", "an answer is late")
            return f"{event}: {reason}: {evidence}"
        case {"event": "recovered", "lasted": lasted}:
            return f"alive after all; suspected for {in_words(lasted)}"
        case {"event": "closed", "reason": reason}:
            return f"closed: {reason}"
        case {"event": "watcher-late", "lateness": lateness}:
            return f"it was me: this program was late by {in_words(lateness)}"
        case {"event": "slept", "duration": duration}:
            return f"this machine slept for {in_words(duration)}; asking again"
        case {"event": "rtt", "rtt": rtt}:
            return rtt_in_words(rtt)
    return str(entry["event"])


def rtt_in_words(rtt: Rtt | None) -> str:
    """
    Return round trips for people.

    Args:
        rtt: What was measured, or None.

    >>> rtt_in_words(Rtt(last=0.0201, smoothed=0.02, variance=0.001, smallest=0.0195))
    'round trip 20.1 ms (smoothed 20.0, ± 1.0, smallest 19.5)'
    """
    if rtt is None:
        return "no round trip yet"
    last, smoothed, variance, smallest = (
        f"{seconds * 1000:.1f}"
        for seconds in (rtt.last, rtt.smoothed, rtt.variance, rtt.smallest)
    )
    return (
        f"round trip {last} ms (smoothed {smoothed}, ± {variance}, smallest {smallest})"
    )
