"""
What a heartbeat and an idle connection cost, beside other libraries.

Each round serves every subject once, in a process of its own, with the same number
of peers at the same pace. CPU is the server's alone, from one ping sent to its
answer received; memory is its resident set with all peers less that with none,
each after a garbage collection. Of several rounds the median counts.

Exit codes: 0 if deadpeer kept its targets; 1 if not; 3 if it was not measured.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from child import Lost, raise_file_limit, start
from pace import Pace
from subjects import OURS, SUBJECTS
from swarm import Swarm
from tables import build, machine, table, versions
from watcher import LOOPS

TARGET_CPU = 15.0  # µs a heartbeat
TARGET_MEMORY = {"deadpeer": 2048, "deadpeer-iter": 4096}  # bytes a connection

WARM_UP = 20  # connections made and left before memory is read: all is imported

DEFAULTS = ("websockets", "aiohttp", "deadpeer", "deadpeer-iter", "floor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """
    One subject in one round.

    Args:
        cpu_us: Microseconds of the server's CPU for each heartbeat.
        memory: Bytes of the server's resident set for each connection.
        heartbeats: How many were answered while the CPU was measured.
    """

    cpu_us: float
    memory: float
    heartbeats: int


def sample(subject: str, options: argparse.Namespace) -> Sample:
    """Serve, connect, let it settle, measure, leave."""
    pace = Pace(interval=options.interval, timeout=options.interval)
    process, control = start(subject, loop=options.loop, pace=pace, names_peers=False)
    try:
        with control:
            swarm = Swarm(control)
            try:
                return measure(swarm, options)
            finally:
                swarm.close()
    finally:
        control.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def measure(swarm: Swarm, options: argparse.Namespace) -> Sample:
    swarm.greet(30)
    swarm.connect(WARM_UP, over=0)
    swarm.run(options.interval * 1.2)
    swarm.drop()
    until = time.monotonic() + 10
    while (empty := swarm.ask("memory"))["count"]:
        if time.monotonic() > until:
            raise Lost(f"{empty['count']} connections outlived their peers")
        swarm.run(0.1)
    swarm.connect(options.connections, over=options.interval)
    swarm.run(options.interval * 1.5)
    full = swarm.ask("memory")
    swarm.answered = 0
    before = swarm.ask("cpu")
    swarm.answered = 0
    swarm.run(options.seconds)
    after = swarm.ask("cpu")
    heartbeats = swarm.answered
    if swarm.lost or after["count"] != options.connections:
        raise Lost(f"{options.connections - after['count']} healthy peers were lost")
    if not heartbeats:
        raise Lost(f"no heartbeat in {options.seconds:g} s")
    return Sample(
        cpu_us=(after["cpu"] - before["cpu"]) / heartbeats * 1e6,
        memory=(full["memory"] - empty["memory"]) / options.connections,
        heartbeats=heartbeats,
    )


def rounds(options: argparse.Namespace) -> dict[str, list[Sample] | str]:
    """Measure every subject, one after the other, and again; or say why not."""
    found: dict[str, list[Sample] | str] = {name: [] for name in options.subjects}
    for number in range(options.rounds):
        for name in options.subjects:
            samples = found[name]
            if isinstance(samples, str):
                continue
            print(f"round {number + 1}: {name}", file=sys.stderr)
            try:
                samples.append(sample(name, options))
            except Lost as lost:
                found[name] = str(lost)
    return found


def median(samples: Iterable[Sample], field: str) -> float:
    return statistics.median(getattr(one, field) for one in samples)


def breaches(name: str, samples: list[Sample]) -> list[str]:
    """Return the targets that ours missed, each in words."""
    cpu, memory = median(samples, "cpu_us"), median(samples, "memory")
    missed = []
    if cpu > TARGET_CPU:
        missed.append(f"{name}: {cpu:.1f} µs a heartbeat, more than {TARGET_CPU:g}")
    if memory > TARGET_MEMORY[name]:
        missed.append(
            f"{name}: {memory:.0f} B a connection, more than {TARGET_MEMORY[name]}"
        )
    return missed


def rows(found: dict[str, list[Sample] | str]) -> list[list[str]]:
    """Return the table's lines; ratios are to the floor, where that was measured."""
    floor = found.get("floor")
    lines = []
    for name, samples in found.items():
        if isinstance(samples, str):
            continue
        cpu, memory = median(samples, "cpu_us"), median(samples, "memory")
        spread = [one.cpu_us for one in samples]
        ratios = ["", ""]
        if floor and not isinstance(floor, str):
            ratios = [
                f"{cpu / median(floor, 'cpu_us'):.1f}×",
                f"{memory / max(1.0, median(floor, 'memory')):.1f}×",
            ]
        lines.append(
            [
                *(name, f"{cpu:.1f}", f"{min(spread):.1f}–{max(spread):.1f}"),
                *(ratios[0], f"{memory:.0f}", ratios[1]),
            ]
        )
    return lines


HEAD = ("subject", "µs/heartbeat", "range", "to floor", "B/connection", "to floor")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=5000)
    parser.add_argument("--interval", type=float, default=5.0, help="seconds")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each window")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loop", choices=LOOPS, default="uvloop")
    parser.add_argument(
        "--subjects", nargs="+", choices=SUBJECTS, default=DEFAULTS, metavar="NAME"
    )
    parser.add_argument("--json", action="store_true", help="to standard output")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    try:
        raise_file_limit(options.connections + 200)
    except Lost as lost:
        print(lost, file=sys.stderr)
        return 3
    found = rounds(options)
    ours = {
        name: samples
        for name, samples in found.items()
        if name in OURS and not isinstance(samples, str)
    }
    missed = [line for name, made in ours.items() for line in breaches(name, made)]
    code = 1 if missed else 0 if ours else 3
    if options.json:
        print(json.dumps(as_json(options, found, missed), indent=1))
        return code
    print(f"{machine()}, deadpeer {build()}")
    print(
        f"{options.connections} connections, a heartbeat each {options.interval:g} s, "
        f"{options.loop}; medians of {options.rounds} rounds\n"
    )
    print(table(HEAD, rows(found)))
    print()
    for name, samples in found.items():
        if isinstance(samples, str):
            print(f"{name} was not measured: {samples}")
    if not ours:
        print("deadpeer was not measured")
    for line in missed or (["deadpeer keeps its targets"] if ours else []):
        print(line)
    return code


def as_json(
    options: argparse.Namespace,
    found: dict[str, list[Sample] | str],
    missed: list[str],
) -> dict[str, object]:
    return {
        "schema": "deadpeer-bench-cost/1",
        "machine": machine(),
        "versions": versions(),
        "build": build(),
        "loop": options.loop,
        "connections": options.connections,
        "interval": options.interval,
        "missed": missed,
        "subjects": {
            name: {"skipped": samples}
            if isinstance(samples, str)
            else {
                "cpu_us": median(samples, "cpu_us"),
                "memory": median(samples, "memory"),
                "samples": [asdict(one) for one in samples],
            }
            for name, samples in found.items()
        },
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
