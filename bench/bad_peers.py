"""
Bad peers among a thousand good ones: each has to end alone, named, in bounded memory.

The server is a process of its own, on real sockets. The good peers talk all the time;
ten of each bad kind come at once. Prints a table.

Exit codes: 0 if all held; 1 if anybody good was ended, anybody bad was not, or under
another name, or if the server's memory grew; 3 if it was not measured.

    python bench/bad_peers.py --good 1000 --each 10 --loop uvloop
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

HOUSE = Path(__file__).parents[1]
sys.path.insert(0, str(HOUSE))

from child import Lost, positive, raise_file_limit  # noqa: E402
from tests.aio.bad_peers import BAD  # noqa: E402

from deadpeer.aio import Connection, connect_peer, serve_peers  # noqa: E402
from deadpeer.core.events import Change, Died  # noqa: E402
from deadpeer.core.limits import Limits  # noqa: E402
from deadpeer.policy.heartbeat import Heartbeat  # noqa: E402

HERE = "127.0.0.1"
HEARTBEAT = Heartbeat(interval=2.0, timeout=2.0)
LIMITS = Limits(
    handshake_timeout=2.0,
    frame_timeout=2.0,
    longest_patience=10.0,
    largest_message=1_000_000,
)
FLOOD = bytes(1_000_000)
AT_ONCE = 20  # good peers that connect: a thousand would be too slow to greet
PATIENCE = 30.0  # seconds for all bad peers to be ended
EACH_MAY_TAKE = 2 * LIMITS.largest_message  # bytes of memory for one bad peer


def runner(loop: str) -> asyncio.Runner:
    if loop == "uvloop":
        import uvloop

        return asyncio.Runner(loop_factory=uvloop.new_event_loop)
    return asyncio.Runner()


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def memory() -> int:
    """Return the bytes of this process that are in memory."""
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * 4096


async def answer(peer: Connection) -> None:
    async for message in peer:
        if message == b"flood!":
            while True:
                await peer.send(FLOOD)
        await peer.send(message)


async def serve() -> None:
    """Serve until the standard input ends; tell of each death, and of memory."""
    loop = asyncio.get_running_loop()

    def note(peer: Connection, change: Change) -> None:
        if isinstance(change, Died):
            breach = getattr(peer.error, "breach", "no answer")
            say(error=type(peer.error).__name__, breach=breach)

    async with serve_peers(
        answer,
        HERE,
        0,
        heartbeat=HEARTBEAT,
        limits=LIMITS,
        on_change=note,
        backlog=4096,
    ) as server:
        say(port=server.port)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            say(memory=memory(), online=len(server.registry), line=line.strip())


class Good:
    """The good peers, and how quickly they are answered."""

    def __init__(self) -> None:
        self.answers = 0
        self.slowest = 0.0
        self.lost: list[str] = []
        self.door = asyncio.Semaphore(AT_ONCE)

    async def talk(self, port: int, number: int) -> None:
        connecting = connect_peer(
            HERE, port, heartbeat=HEARTBEAT, within=30, safety_net=False
        )
        try:
            async with self.door:
                peer = await connecting
            async with peer:
                while True:
                    asked_at = time.monotonic()
                    await peer.send(b"%d" % number)
                    if await peer.recv() != b"%d" % number:
                        self.lost.append("a wrong answer")
                    self.answers += 1
                    self.slowest = max(self.slowest, time.monotonic() - asked_at)
                    await asyncio.sleep(1.0)
        except OSError as error:
            self.lost.append(repr(error))


async def measure(loop: str, good_ones: int, each: int) -> bool:
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, "--serve", "--loop", loop),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdin
    assert server.stdout
    try:
        port = json.loads(await server.stdout.readline())["port"]
        good = Good()
        talking = [
            asyncio.create_task(good.talk(port, number)) for number in range(good_ones)
        ]
        while good.answers < good_ones and not good.lost:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        ended: Counter[tuple[str, str]] = Counter()
        server.stdin.write(b"before\n")
        while "memory" not in (before := json.loads(await server.stdout.readline())):
            ended[before["error"], before["breach"]] += 1  # of the good ones
        visits = [
            asyncio.create_task(bad.visit(port))
            for bad in BAD.values()
            for _ in range(each)
        ]
        most = before["memory"]
        began = time.monotonic()
        last_at = 0.0
        polling = asyncio.create_task(poll(server.stdin))
        while ended.total() < len(visits) and time.monotonic() - began < PATIENCE:
            told = json.loads(await server.stdout.readline())
            if "memory" in told:
                most = max(most, told["memory"])
            else:
                ended[told["error"], told["breach"]] += 1
                last_at = time.monotonic() - began
        polling.cancel()
        answers = good.answers
        await asyncio.sleep(2.5)
        went_on = good.answers - answers
        for task in [*talking, *visits]:
            task.cancel()
        await asyncio.gather(*talking, *visits, return_exceptions=True)
    finally:
        server.stdin.close()
        await server.wait()
    grown = most - before["memory"]
    print(f"{loop}: {good_ones} good peers, {each} of each bad kind")
    expected: Counter[tuple[str, str]] = Counter()
    kinds: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for name, bad in BAD.items():
        expected[bad.error, bad.breach] += each
        kinds[bad.error, bad.breach].append(name)
    for (error, breach), names in kinds.items():
        found = f"{ended[error, breach]:>4} of {expected[error, breach]} ended"
        print(f"  {' or '.join(names):<40} {error:<20} {breach:<20}{found}")
    for (error, breach), count in (ended - expected).items():
        print(f"  {count} too many: {error} {breach}")
    print(f"  the last of them ended after {last_at:.1f} s")
    print(f"  good peers lost: {len(good.lost)}; answers: {good.answers}, ", end="")
    print(f"the slowest after {good.slowest * 1000:.0f} ms; {went_on} in the end")
    print(f"  the server grew by {grown / 1e6:.1f} MB")
    return (
        ended == expected
        and not good.lost
        and went_on >= good_ones
        and grown <= each * len(BAD) * EACH_MAY_TAKE
    )


async def poll(line: asyncio.StreamWriter) -> None:
    while True:
        line.write(b"how much\n")
        await asyncio.sleep(0.25)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--good", type=positive, default=1000)
    parser.add_argument("--each", type=positive, default=10)
    parser.add_argument("--loop", choices=["asyncio", "uvloop", "both"], default="both")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    try:
        raise_file_limit(chosen.good + chosen.each * len(BAD) + 1000)
    except Lost as lost:
        print(lost, file=sys.stderr)
        return 3
    if chosen.serve:
        with runner(chosen.loop) as run:
            run.run(serve())
        return 0
    loops = ["asyncio", "uvloop"] if chosen.loop == "both" else [chosen.loop]
    held = True
    for loop in loops:
        with asyncio.Runner() as run:
            held &= run.run(measure(loop, chosen.good, chosen.each))
    print("held" if held else "BROKEN")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
