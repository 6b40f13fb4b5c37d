"""
No live peer is ever killed, and every dead one is found: deadpeer and others.

Each scenario serves each subject in a process of its own, with peers of this
process. Some of them fall silent for good, their sockets open, and have to be found
within the promise of their last byte; all others live, answer, and must be kept.

Exit codes: 0 if deadpeer killed none and found all in time; 1 if not; 3 if it was
not tried.
"""

import argparse
import asyncio
import json
import sys
from dataclasses import asdict, dataclass, replace

from child import Busy, Lost, positive, raise_file_limit
from pace import Pace
from scenarios import SCENARIOS, Size
from stage import SLACK, Outcome, Stage
from subjects import OURS
from tables import build, machine, table, versions
from watcher import LOOPS

SUBJECTS = ("websockets", "aiohttp", "deadpeer", "deadpeer-iter")
DEFAULTS = SUBJECTS[:3]

ATTEMPTS = 3  # at a scenario that this machine was too busy for

QUICK = {"stop": 5.0, "message": 1_000_000, "weather": 12.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one subject did in one scenario, or why that was not tried."""

    scenario: str
    subject: str
    outcome: Outcome | None
    skipped: str = ""


async def play(
    scenario: str, subject: str, loop: str, size: Size, pace: Pace | None
) -> Row:
    """Run one scenario with one subject; again, if this machine was too busy."""
    row = Row(scenario=scenario, subject=subject, outcome=None)
    for _ in range(ATTEMPTS):
        print(f"{scenario}: {subject}", file=sys.stderr)
        try:
            outcome = await play_once(scenario, subject, loop, size, pace)
            return replace(row, outcome=outcome, skipped="")
        except Lost as lost:
            row = replace(row, skipped=str(lost))
            if not isinstance(lost, Busy):
                break
            print(f"  {lost}", file=sys.stderr)
    return row


async def play_once(
    scenario: str, subject: str, loop: str, size: Size, pace: Pace | None
) -> Outcome:
    what = SCENARIOS[scenario]
    with what.environment() as environment:
        async with Stage.open(
            subject, loop=loop, pace=pace or what.pace, environment=environment
        ) as stage:
            return await what.act(stage, size)


async def play_all(options: argparse.Namespace, size: Size) -> list[Row]:
    rows = []
    for name in options.scenarios:
        runs = [
            play(name, one, options.loop, size, options.pace)
            for one in options.subjects
        ]
        if SCENARIOS[name].is_long:
            rows += await asyncio.gather(*runs)
        else:
            rows += [await run for run in runs]
    return rows


HEAD = ("scenario", "subject", "live killed", "dead found", "worst lateness", "remark")


def cells(row: Row) -> list[str]:
    """Return a row's cells; lateness is counted from the subject's own promise."""
    title = SCENARIOS[row.scenario].title
    outcome = row.outcome
    if outcome is None:
        return [title, row.subject, "", "", "", f"not run: {row.skipped}"]
    worst = outcome.worst
    late = "" if worst is None else f"{worst.late - worst.blocked:+.3f} s"
    remarks = [outcome.note] if outcome.note else []
    if worst is not None and worst.blocked:
        remarks.insert(0, f"+ {worst.blocked:.1f} s that it could not run")
    return [
        *(title, row.subject, f"{outcome.killed} / {outcome.live}"),
        *(f"{len(outcome.found)} / {outcome.died}", late, "; ".join(remarks)),
    ]


def verdict(rows: list[Row]) -> tuple[int, str]:
    """Return the exit code, and what it means."""
    ours = [row for row in rows if row.subject in OURS]
    tried = [row.outcome for row in ours if row.outcome is not None]
    if not tried:
        return 3, "deadpeer was not tried"
    if not all(outcome.is_good for outcome in tried):
        return 1, "deadpeer killed a live peer, or found a dead one late or not at all"
    if len(tried) < len(ours):
        return 3, "deadpeer failed nothing, but was not tried in every scenario"
    return 0, f"deadpeer killed none, and found all within {SLACK:g} s of its promise"


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=positive, default=200, help="that live")
    parser.add_argument("--dying", type=positive, default=10, help="that die")
    parser.add_argument("--quick", action="store_true", help="shorten the long waits")
    parser.add_argument(
        "--pace", nargs=2, type=float, metavar=("INTERVAL", "TIMEOUT"), help="seconds"
    )
    parser.add_argument("--loop", choices=LOOPS, default="asyncio")
    parser.add_argument(
        "--scenarios",
        nargs="+",
        choices=SCENARIOS,
        default=[*SCENARIOS],
        metavar="NAME",
    )
    parser.add_argument(
        "--subjects", nargs="+", choices=SUBJECTS, default=DEFAULTS, metavar="NAME"
    )
    parser.add_argument("--json", action="store_true", help="to standard output")
    options = parser.parse_args(arguments)
    try:
        options.pace = options.pace and Pace(
            interval=options.pace[0], timeout=options.pace[1]
        )
    except ValueError as refused:
        parser.error(f"argument --pace: {refused}")
    return options


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    size = Size(
        live=options.peers, dying=options.dying, **(QUICK if options.quick else {})
    )
    try:
        raise_file_limit(4 * (size.live + size.dying) + 200)
    except Lost as lost:
        print(lost, file=sys.stderr)
        return 3
    rows = asyncio.run(play_all(options, size))
    code, words = verdict(rows)
    if options.json:
        print(json.dumps(as_json(options, rows, words), indent=1))
        return code
    print(f"{machine()}, deadpeer {build()}")
    print(f"{options.loop}; {size.live} live peers and {size.dying} dying ones\n")
    print(table(HEAD, [cells(row) for row in rows], words=(0, 1, 5)))
    print(f"\n{words}")
    return code


def as_json(options: argparse.Namespace, rows: list[Row], words: str) -> object:
    return {
        "schema": "deadpeer-bench-false-deaths/1",
        "machine": machine(),
        "versions": versions(),
        "build": build(),
        "loop": options.loop,
        "verdict": words,
        "rows": [asdict(row) for row in rows],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
