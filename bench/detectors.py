"""
A day of one-second heartbeats through each detector, in virtual time.

The beats are synthetic, drawn from a seed: each kind of trouble alone, so that
the table shows which one a detector minds. ``--beats`` and ``--seed`` change
them, ``--floor`` the smallest margin.

Then the same day through a ``Monitor`` with each detector, as a driver lives it: a
ping each second, its answer a bit later, and whatever looks the monitor asks for.

Exit codes: 0 if each detector took less than two seconds of a processor for the day; 1 if not.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable

from child import positive

from deadpeer.core.detectors import (
    Bertier,
    Chen,
    Detector,
    Fixed,
    PhiExponential,
    PhiNormal,
    TwoWindow,
)
from deadpeer.core.events import DrainDue, PingDue
from deadpeer.core.monitor import Monitor
from deadpeer.errors import ConfigError
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.testing.replay import replay
from deadpeer.testing.traces import Weather, synthesize

DAY = 86_400

TARGET = 2.0  # seconds of a processor for a day of one detector

WEATHERS = {
    "quiet": Weather(),
    "jitter": Weather(jitter=0.1),
    "loss in bursts": Weather(loss=0.001, burst_loss=0.5, burst_every=600, burst=5),
    "the same over TCP": Weather(
        loss=0.001, burst_loss=0.5, burst_every=600, burst=5, resend_after=0.25
    ),
    "sender stalls": Weather(stall_every=3600, stall=2),
    "route changes": Weather(step_every=1800, step=0.5),
    "bufferbloat": Weather(bloat_every=600, bloat_for=20, bloat=3),
}

Maker = Callable[[float], Detector]
DETECTORS: dict[str, Maker] = {
    "fixed": lambda floor: Fixed(interval=1, margin=floor, floor=floor),
    "2W-FD": lambda floor: TwoWindow(interval=1, margin=floor, floor=floor),
    "Chen NFD-E": lambda floor: Chen(interval=1, margin=floor, floor=floor),
    "Bertier": lambda floor: Bertier(interval=1, floor=floor),
    "φ normal": lambda floor: PhiNormal(interval=1, floor=floor),
    "φ exponential": lambda floor: PhiExponential(interval=1, floor=floor),
}


# Seconds that an answer takes: mostly so many, and up to so many more.
USUAL, MORE = 0.05, 0.1


def watched(detector: Detector | None, *, pings: int, seed: int) -> tuple[float, int]:
    """Return the seconds that it took to watch a peer, and how many looks."""
    chance = random.Random(seed)
    # One second from ping to ping: an interval counts from the answer.
    heartbeat = Heartbeat(interval=1 - USUAL - MORE / 2, timeout=1)
    answers = [USUAL + MORE * chance.random() for _ in range(pings)]
    began = time.process_time()
    monitor = Monitor(heartbeat, now=0.0, detector=detector)
    looks = answered = told = 0
    while answered < pings:
        now = monitor.wake_at
        looks += 1
        for event in monitor.advance(now=now):
            if isinstance(event, PingDue):
                monitor.pinged(now=now)
                monitor.answered(event.sequence, now=now + answers[answered])
                answered += 1
            elif isinstance(event, DrainDue):
                told += len(monitor.drained(now=now))
            else:
                told += 1
    took = time.process_time() - began
    assert not told, "a peer that answers each ping is not worth a word"
    return took, looks


def watch_all(*, pings: int, seed: int) -> float:
    """Print how long a day took through a monitor; return the longest, in seconds."""
    slowest = 0.0
    print(f"\n| through a monitor, {pings} answered pings | took | a ping | looks |")
    print("| --- | ---: | ---: | ---: |")
    makers: dict[str, Maker | None] = {"none: last seen": None, **DETECTORS}
    for name, make in makers.items():
        detector = None if make is None else make(0.5)
        took, looks = watched(detector, pings=pings, seed=seed)
        slowest = max(slowest, took)
        print(f"| {name} | {took:.2f} s | {took / pings * 1e6:.1f} µs | {looks} |")
    return slowest


def fixed(margin: float) -> Maker:
    """Return what makes a detector with a margin of so many seconds."""
    return lambda floor: Fixed(interval=1, margin=margin, floor=min(floor, margin))


def main(arguments: list[str]) -> int:
    """Print one table for each kind of weather, and one for monitors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beats", type=positive, default=DAY)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--floor", type=float, default=1.0)
    parser.add_argument(
        "--margins", nargs="*", type=float, default=[], help="of more fixed ones"
    )
    asked = parser.parse_args(arguments)
    more = {f"fixed, {margin:g} s": fixed(margin) for margin in asked.margins}
    makers = DETECTORS | more
    try:
        for make in makers.values():
            make(asked.floor)
    except ConfigError as refused:
        parser.error(str(refused))
    slowest = 0.0
    print(f"{asked.beats} synthetic beats, floor {asked.floor:g} s, seed {asked.seed}")
    for weather, how in WEATHERS.items():
        chance = random.Random(asked.seed)
        trace = synthesize(how, beats=asked.beats, chance=chance)
        print(f"\n| {weather} | took | mistakes | T_D mean | T_D worst | T_M | P_A |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        for name, make in makers.items():
            began = time.process_time()
            told = replay(make(asked.floor), trace)
            took = time.process_time() - began
            slowest = max(slowest, took)
            print(
                f"| {name} | {took:.2f} s | {told.mistakes}"
                f" | {told.detection:.2f} s | {told.worst_detection:.1f} s"
                f" | {told.length:.2f} s | {told.accuracy:.5f} |"
            )
    slowest = max(slowest, watch_all(pings=asked.beats, seed=asked.seed))
    print(f"\nthe slowest took {slowest:.2f} s, of {TARGET:g} s that it may take")
    return int(slowest > TARGET)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
