"""
What is done to the watcher and its peers, each scenario with peers that really die.

A scenario makes the peers, does one thing, and lets the stage settle. A third of the
dying fall silent before that thing, a third in its worst moment, a third after it.
"""

import asyncio
import contextlib
import dataclasses
import functools
import os
import random
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from child import Lost
from crowd import Peer, SlowPeer
from pace import Pace
from stage import Outcome, Stage

__all__ = ["SCENARIOS", "Scenario", "Size"]

RTT = 0.2  # seconds; a usual one between continents
RATE = 125_000.0  # bytes a second: 1 Mbit/s

BRISK = Pace(interval=1.0, timeout=1.0)

# Under loss the timeout has to cover some retransmissions: at a round trip of 0.1 s
# they come after 0.3, 0.9, 2.1 and 4.5 s. One second would be shorter than the second.
PATIENT = Pace(interval=6.0, timeout=3.0)
LOSSY_RTT = 0.1
FIRST_RTO = 0.3  # seconds: RFC 6298, section 2, with Linux's minimum of 0.2 s
LOSS = 0.05

CLOCK_FILE = "FAKETIME_TIMESTAMP_FILE"
FAKETIME = (  # where systems put it
    "usr/lib/*/faketime/libfaketime.so.1",
    "usr/lib64/faketime/libfaketime.so.1",
    "usr/lib/faketime/libfaketime.so.1",
    "usr/local/lib/faketime/libfaketime.so.1",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """
    How much of everything.

    Args:
        live: Peers that live.
        dying: Peers that die.
        stop: Seconds for which the process is stopped.
        message: Bytes of the large message.
        weather: Seconds of loss.
    """

    live: int = 200
    dying: int = 10
    stop: float = 60.0
    message: int = 10_000_000
    weather: float = 120.0


Act = Callable[[Stage, Size], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """
    One thing that may happen.

    Args:
        act: Makes it happen, and returns what came of it.
        title: It, in the words of the table.
        pace: The heartbeat that every subject is asked for.
        is_long: It waits more than it works, so all subjects may run at once.
        environment: Of the watcher; raises Lost where it cannot be made.
    """

    act: Act
    title: str
    pace: Pace = BRISK
    is_long: bool = False
    environment: Callable[[], AbstractContextManager[Mapping[str, str]]] = field(
        default=functools.partial(contextlib.nullcontext, {})
    )


def silence(stage: Stage, peers: Sequence[Peer | SlowPeer]) -> None:
    """Let peers die; one that was killed before is no dead peer to be found."""
    for peer in peers:
        if peer.ended_at is None and peer.port not in stage.gone:
            peer.go_silent()


async def silence_over(stage: Stage, peers: Sequence[Peer], seconds: float) -> None:
    """Let peers die, one after the other, evenly over so long."""
    for peer in peers:
        await asyncio.sleep(seconds / len(peers))
        silence(stage, [peer])


async def audience(stage: Stage, size: Size) -> list[Peer]:
    """Connect and warm up everybody; return those who are to die."""
    peers = await stage.connect(size.live + size.dying, lambda: RTT)
    await stage.warm_up()
    # Spread among the others, who connected before and after them.
    return peers[:: max(1, len(peers) // size.dying)][: size.dying]


async def calm(stage: Stage, size: Size) -> Outcome:
    """Nothing happens, but that peers die."""
    dying = await audience(stage, size)
    await silence_over(stage, dying, 2 * stage.pace.interval)
    return await stage.settle()


async def blocked(stage: Stage, size: Size, *, seconds: float) -> Outcome:
    """The loop does nothing else for a while, every ping being in flight."""
    dying = await audience(stage, size)
    silence(stage, dying[::3])

    def block() -> None:
        stage.order("block", seconds=seconds)
        silence(stage, dying[1::3])

    await stage.each_in_flight(block)
    # Answers are held until the block has begun.
    await stage.until(lambda: stage.is_blocking, 0.2, "the loop to block")
    stage.hasten(RTT)
    await asyncio.sleep(RTT)
    await silence_over(stage, dying[2::3], seconds + 1.0)
    await stage.until(lambda: bool(stage.blocked), seconds + 5, "the block to end")
    return await stage.settle()


async def stopped(stage: Stage, size: Size) -> Outcome:
    """The process is stopped, every ping being in flight, and continued."""
    dying = await audience(stage, size)
    silence(stage, dying[::3])
    began = 0.0

    def stop() -> None:
        nonlocal began
        began = time.monotonic()
        stop_whole(stage.process.pid)
        stage.hasten(RTT)
        silence(stage, dying[1::3])

    await stage.each_in_flight(stop)
    more = asyncio.create_task(silence_over(stage, dying[2::3], size.stop + 1.0))
    await asyncio.sleep(began + size.stop - time.monotonic())
    os.kill(stage.process.pid, signal.SIGCONT)
    stage.blocked.append((began, time.monotonic()))
    await more
    return await stage.settle()


def stop_whole(pid: int) -> None:
    """Stop our own child, and see that it stands still."""
    os.kill(pid, signal.SIGSTOP)
    until = time.monotonic() + 1
    while time.monotonic() < until:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
        if stat.rpartition(")")[2].split()[0] == "T":
            return
    raise Lost("the process did not stop")


async def transfer(stage: Stage, size: Size) -> Outcome:
    """A large message each way over a slow line; some die in the middle of it."""
    few = dataclasses.replace(size, live=min(size.live, 50))
    dying = await audience(stage, few)
    down = await stage.connect_slow(3, RATE)
    up = await stage.connect_slow(3, RATE)
    await stage.warm_up()
    for peer in down:
        stage.order("send", port=peer.port, size=size.message)
    for peer in up:
        peer.upload(size.message)
    seconds = size.message / RATE
    await silence_over(stage, dying, seconds / 2)
    silence(stage, [*down[2:], *up[2:]])

    def whole(peer: SlowPeer) -> bool:
        arrived = max(peer.received, peer.uploaded) >= size.message
        return arrived or peer.ended_at is not None

    survivors = [*down[:2], *up[:2]]
    with contextlib.suppress(Lost):
        await stage.until(lambda: all(map(whole, survivors)), seconds + 20, "it all")
    outcome = await stage.settle()
    if all(map(whole, survivors)):
        return outcome
    return dataclasses.replace(outcome, is_whole=False, note="the message never came")


async def lossy(stage: Stage, size: Size) -> Outcome:
    """
    Answers are late as TCP is when packets are lost, in both directions.

    The delays are drawn, not made by a network: what the kernel's own
    acknowledgements would tell is not tested here.
    """
    rng = random.Random(1)
    worst = 0.0

    def delay() -> float:
        nonlocal worst
        drawn = one_way(rng) + one_way(rng)
        worst = max(worst, drawn)
        return drawn

    # Few enough that none draws more than the timeout, which nobody could excuse.
    peers = await stage.connect(min(size.live, 50) + size.dying, delay)
    await stage.warm_up()
    await silence_over(stage, peers[: size.dying], size.weather)
    note = f"worst round trip {worst:.1f} s"
    if worst > stage.pace.timeout:
        raise Lost(f"{note}: longer than the timeout, so a death would be no mistake")
    return await stage.settle(note=note)


def one_way(rng: random.Random) -> float:
    """Return seconds that a small segment takes, lost and sent again as may be."""
    delay, rto = LOSSY_RTT / 2, FIRST_RTO
    while rng.random() < LOSS:
        delay += rto
        rto *= 2
    return delay


@contextlib.contextmanager
def faketime() -> Iterator[Mapping[str, str]]:
    """Give the environment in which only the wall clock can be set."""
    found = [path for place in FAKETIME for path in Path("/").glob(place)]
    if not found:
        raise Lost("libfaketime is not installed (apt-get install libfaketime)")
    with tempfile.NamedTemporaryFile("w", prefix="deadpeer-bench-") as clock:
        clock.write("+0s\n")
        clock.flush()
        yield {
            "LD_PRELOAD": str(found[0]),
            CLOCK_FILE: clock.name,
            "FAKETIME_NO_CACHE": "1",
            # One name for each age of the library.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }


async def stepped(stage: Stage, size: Size) -> Outcome:
    """The wall clock jumps an hour ahead, then a day back; the monotonic one goes on."""
    dying = await audience(stage, size)
    clock = Path(stage.environment[CLOCK_FILE])
    for step in (3600, -86400):
        step_to(clock, step)
        stage.order("wall")
        await stage.until(
            functools.partial(is_stepped, stage, step), 5, "the watcher's clock to jump"
        )
        half, dying = dying[: size.dying // 2], dying[size.dying // 2 :]
        await silence_over(stage, half, 2.0)
    silence(stage, dying)
    return await stage.settle()


def step_to(clock: Path, step: int) -> None:
    clock.write_text(f"{step:+d}s\n", encoding="ascii")


def is_stepped(stage: Stage, step: float) -> bool:
    return abs(stage.wall - time.time() - step) < 60


SCENARIOS: dict[str, Scenario] = {
    "calm": Scenario(act=calm, title="nothing happens"),
    "blocked-1.5": Scenario(
        act=functools.partial(blocked, seconds=1.5), title="loop blocked for 1.5 s"
    ),
    "blocked-3": Scenario(
        act=functools.partial(blocked, seconds=3.0), title="loop blocked for 3 s"
    ),
    "stopped": Scenario(act=stopped, title="watcher stopped", is_long=True),
    "transfer": Scenario(act=transfer, title="large message at 1 Mbit/s", is_long=True),
    "loss": Scenario(act=lossy, title="5 % loss", pace=PATIENT, is_long=True),
    "clock": Scenario(act=stepped, title="wall clock stepped", environment=faketime),
}
