"""One run of one subject: its process, its peers, and who was found when."""

import asyncio
import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from child import Busy, Lost, start
from crowd import Peer, SlowPeer
from pace import Pace
from talk import dialect

__all__ = ["SLACK", "Outcome", "Stage", "Verdict"]

SLACK = 0.05  # seconds that a verdict may come after its promise

HOLD = 0.7  # of its patience, for which a subject is kept waiting at most

PATIENCE = 10.0  # seconds beyond its bound in which a verdict is still waited for


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """
    How one peer that died was found.

    Args:
        late: Seconds from the promised bound to the verdict; negative is early.
        blocked: Seconds between the last byte and the verdict in which the
            watcher itself could not run.
    """

    late: float
    blocked: float

    @property
    def is_in_bounds(self) -> bool:
        return self.late <= self.blocked + SLACK


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """
    What became of the peers of one run.

    Args:
        live: Peers that lived and answered to the end.
        killed: How many of them the subject gave up.
        died: Peers that fell silent for good.
        found: Those of them that were found, each with its lateness.
        promise: Seconds from the last byte to the verdict, by the subject's documents.
        is_whole: Whether every message arrived that had to.
        note: What else is worth knowing.
    """

    live: int
    killed: int
    died: int
    found: tuple[Verdict, ...]
    promise: float
    is_whole: bool = True
    note: str = ""

    @property
    def worst(self) -> Verdict | None:
        """The verdict that came latest, the watcher's own absence taken off."""
        return max(self.found, key=lambda one: one.late - one.blocked, default=None)

    @property
    def is_good(self) -> bool:
        in_bounds = all(verdict.is_in_bounds for verdict in self.found)
        all_found = len(self.found) == self.died
        return not self.killed and all_found and in_bounds and self.is_whole


@dataclass
class Stage:
    """A watcher that runs, and peers around it; ``open`` makes one."""

    process: subprocess.Popen[bytes]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    pace: Pace
    port: int = 0
    dialect: str = ""
    promise: float = 0.0
    peers: list[Peer] = field(default_factory=list)
    slow: list[SlowPeer] = field(default_factory=list)
    online: set[int] = field(default_factory=set)
    gone: dict[int, tuple[float, str]] = field(default_factory=dict)
    blocked: list[tuple[float, float]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    on_ping: Callable[[], None] = lambda: None
    environment: Mapping[str, str] = field(default_factory=dict)
    gathers: bool = False
    is_blocking: bool = False
    wall: float = 0.0

    @staticmethod
    @contextlib.asynccontextmanager
    async def open(
        subject: str, *, loop: str, pace: Pace, environment: Mapping[str, str]
    ) -> Any:
        """Start the subject; on leaving, end it and all its peers."""
        process, control = start(
            subject, loop=loop, pace=pace, names_peers=True, environment=environment
        )
        reader, writer = await asyncio.open_connection(sock=control)
        stage = Stage(process, reader, writer, pace, environment=environment)
        listening = asyncio.create_task(stage.listen())
        try:
            await stage.until(lambda: stage.port != 0, 30, "the server to listen")
            yield stage
        finally:
            for peer in (*stage.peers, *stage.slow):
                peer.leave()
            process.kill()  # our own child; it may be stopped
            process.wait()
            listening.cancel()
            writer.close()
            await asyncio.gather(listening, return_exceptions=True)

    async def listen(self) -> None:
        while line := await self.reader.readline():
            self.take(json.loads(line))
            self.news.set()

    def take(self, report: dict[str, Any]) -> None:
        match report:
            case {"listening": port, "dialect": spoken, "promise": promise}:
                self.port, self.dialect, self.promise = port, spoken, promise
            case {"missing": why}:
                self.dialect = f"missing: {why}"
            case {"online": port}:
                self.online.add(port)
            case {"gone": port, "at": at, "why": why}:
                self.gone.setdefault(port, (at, why))
            case {"blocking": _}:
                self.is_blocking = True
            case {"wall": wall}:
                self.wall = wall
            case {"blocked": [begin, end]}:
                self.blocked.append((begin, end))

    def order(self, what: str, **values: Any) -> None:
        """Have the watcher do something."""
        self.writer.write(json.dumps({"do": what, **values}).encode() + b"\n")

    async def until(
        self, holds: Callable[[], bool], patience: float, what: str
    ) -> None:
        """Wait until *holds*, looking after each report and every 50 ms."""
        deadline = time.monotonic() + patience
        while not holds():
            if self.dialect.startswith("missing: "):
                raise Lost(self.dialect.removeprefix("missing: "))
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise Lost(f"waited in vain for {what}")
            self.news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.news.wait(), 0.05)

    async def connect(self, count: int, delay: Callable[[], float]) -> list[Peer]:
        """Add peers that answer after a delay."""
        loop = asyncio.get_running_loop()

        def late() -> float:
            return HOLD * self.patience if self.gathers else delay()

        def peer() -> Peer:
            return Peer(dialect(self.dialect), late, self.pinged)

        made = [
            loop.create_connection(peer, "127.0.0.1", self.port) for _ in range(count)
        ]
        new = [found for _, found in await asyncio.gather(*made)]
        self.peers += new
        return new

    async def connect_slow(self, count: int, rate: float) -> list[SlowPeer]:
        """Add peers behind a slow line."""
        new = [SlowPeer(dialect(self.dialect), rate) for _ in range(count)]
        for peer in new:
            await peer.connect(self.port)
        self.slow += new
        return new

    def pinged(self) -> None:
        self.on_ping()

    async def warm_up(self) -> None:
        """Wait until everybody has answered twice."""
        everybody = [*self.peers, *self.slow]
        await self.until(
            lambda: all(peer.answered >= 2 for peer in everybody),
            10 + 4 * (self.pace.interval + self.pace.timeout),
            "every peer to answer two pings",
        )

    @property
    def patience(self) -> float:
        """Seconds for which the subject waits for an answer."""
        return self.promise - self.pace.interval

    async def each_in_flight(self, act: Callable[[], None]) -> None:
        """
        Call *act* at an instant at which every living peer owes an answer.

        Pings do not come all at once, so answers are held back until the last has
        come, though never for so long as to be too late.
        """
        done = asyncio.Event()

        def look() -> None:
            if all(peer.is_waited_for for peer in self.peers if not peer.is_silent):
                self.on_ping = lambda: None
                self.gathers = False
                act()
                done.set()

        self.on_ping = look
        self.gathers = True
        rounds = 8
        try:
            await asyncio.wait_for(done.wait(), rounds * self.pace.interval + 1)
        except TimeoutError:
            raise Busy("no instant came at which every ping was in flight") from None

    def hasten(self, delay: float) -> None:
        """Let every peer that owes an answer give it after *delay* seconds."""
        for peer in self.peers:
            peer.hasten(delay)

    async def settle(self, *, note: str = "") -> Outcome:
        """Wait for every verdict that is due, and some more; return what happened."""
        began = time.monotonic()
        dead = [peer for peer in (*self.peers, *self.slow) if peer.is_silent]
        absence = sum(end - begin for begin, end in self.blocked)
        last = max((peer.last_sign_at for peer in dead), default=began)
        limit = max(began, last) + self.promise + absence + PATIENCE
        with contextlib.suppress(Lost):
            await self.until(
                lambda: all(peer.port in self.gone for peer in dead),
                limit - time.monotonic(),
                "the dead to be found",
            )
        # Whoever is to be killed by mistake has had its time then.
        await asyncio.sleep(max(0.0, began + self.promise + 1 - time.monotonic()))
        late = max((peer.lateness for peer in self.peers), default=0.0)
        if late > self.patience / 4:
            raise Busy(f"this machine was too busy: answers left {late:.2f} s late")
        return self.outcome(dead, note)

    def outcome(self, dead: list[Peer | SlowPeer], note: str) -> Outcome:
        everybody = [*self.peers, *self.slow]
        live = [peer for peer in everybody if not peer.is_silent]
        killed = [peer for peer in live if peer.ended_at or peer.port in self.gone]
        reasons = sorted({self.gone[p.port][1] for p in killed if p.port in self.gone})
        if reasons:
            note = "; ".join([*([note] if note else []), f"killed: {reasons[0]}"])
        found = [self.verdict(peer) for peer in dead if peer.port in self.gone]
        return Outcome(
            live=len(live),
            killed=len(killed),
            died=len(dead),
            found=tuple(found),
            promise=self.promise,
            note=note,
        )

    def verdict(self, peer: Peer | SlowPeer) -> Verdict:
        found_at = self.gone[peer.port][0]
        since = peer.last_sign_at
        blocked = sum(
            max(0.0, min(end, found_at) - max(begin, since))
            for begin, end in self.blocked
        )
        return Verdict(late=found_at - since - self.promise, blocked=blocked)
