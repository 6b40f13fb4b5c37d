"""
The drivers of this package, each as something that plays scripts.

The far end and the link are the same for all; only who watches differs.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from deadpeer.aio.connection import Connection
from deadpeer.aio.guarding import Guard, guard
from deadpeer.aio.settings import Settings
from deadpeer.core.agreement import announce
from deadpeer.core.arrivals import Pinged
from deadpeer.core.conversation import Conversation
from deadpeer.core.events import Change, Online
from deadpeer.core.limits import Limits
from deadpeer.testing import (
    Act,
    FakeLink,
    FarEnd,
    FarOnLink,
    Lines,
    Playback,
    Script,
    Side,
    Step,
    VirtualLoop,
    run,
)

__all__ = ["Frames", "VirtualConnection", "VirtualGuard", "Watcher", "guard_socket"]

Make = Callable[..., Guard]


class Watcher(asyncio.Protocol):
    """A user's protocol of lines, with a guard over it."""

    def __init__(self, script: Script, make: Make = guard) -> None:
        self.script = script
        self.make = make
        self.changes: list[Change] = []
        self.lines = Lines()
        self.transport: Any = None
        self.guard: Any = None

    def connection_made(self, transport):
        self.transport = transport
        one_way = self.script.heartbeat.one_way
        self.guard = self.make(
            transport,
            heartbeat=self.script.heartbeat,
            send_ping=None if one_way else self.ask,
            on_change=self.changes.append,
            on_dead=lambda _verdict: None,
        )

    def ask(self, number):
        self.transport.write(self.lines.question(number))

    def data_received(self, data):
        self.guard.heard()
        for number in self.lines.answers(data):
            self.guard.answered(number)

    def connection_lost(self, error):
        self.guard.lost(error)

    def perform(self, step: Step) -> None:
        """Do one of the watcher's own steps."""
        if step.act is Act.BLOCK:
            block(step.amount)
        elif step.act is Act.PAUSE:
            self.transport.pause_reading()
        elif step.act is Act.RESUME:
            self.transport.resume_reading()
        elif step.act is Act.WRITE:
            self.transport.write(self.lines.filling(int(step.amount)))


def block(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    sleep = loop.block if isinstance(loop, VirtualLoop) else time.sleep
    sleep(seconds)


async def play_out(script: Script, perform: Callable[[Step], None]) -> None:
    """Do the watcher's own steps until the script is over; it begins now."""
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    for step in script.of_watcher:
        loop.call_at(began_at + step.at, perform, step)
    await asyncio.sleep(began_at + script.until - loop.time())


class VirtualGuard:
    """The guard, on a virtual loop and a link of numbers."""

    def __init__(self, make: Make = guard, *, io_first: bool = True) -> None:
        self.make = make
        self.io_first = io_first

    def play(self, script: Script) -> Playback:
        return run(self._play(script), io_first=self.io_first)

    async def _play(self, script: Script) -> Playback:
        link, far = FakeLink(delay=script.delay), FarEnd(script)
        FarOnLink(far, link.model, now=0.0)
        watcher = Watcher(script, self.make)
        link.connect(lambda: watcher, asyncio.Protocol)
        link.freeze(Side.RIGHT)  # its place is taken
        await asyncio.sleep(0)
        watcher.guard.start()
        far.begin(now=0.0)
        link.settle()
        await play_out(script, watcher.perform)
        watcher.guard.stop()
        watcher.transport.abort()
        return Playback(changes=tuple(watcher.changes))


class Frames:
    """Our own protocol, as a far end speaks it."""

    def __init__(self, script: Script, *, now: float) -> None:
        limits = Limits()
        # It offers beats, and wants none: what nobody asked for is written by none.
        hello = replace(announce(script.heartbeat, limits), wants_beats=False)
        self.conversation = Conversation(hello, limits, now=now)

    def greeting(self) -> bytes:
        return self.conversation.greeting()

    def questions(self, data: bytes, *, now: float) -> list[int]:
        arrivals = self.conversation.receive(data, now=now)
        return [one.sequence for one in arrivals if isinstance(one, Pinged)]

    def answer(self, number: int) -> bytes:
        return self.conversation.pong(number)

    def word(self) -> bytes:
        return b"".join(self.conversation.fragments(b"word"))


class VirtualConnection:
    """A connection of ours, on a virtual loop and a link of numbers."""

    def __init__(self, *, io_first: bool = True) -> None:
        self.io_first = io_first

    def play(self, script: Script) -> Playback:
        # Online comes when the peer's greeting does: let that be when a timer ticks.
        start = 1.0 - script.delay
        return run(self._play(script), start=start, io_first=self.io_first)

    async def _play(self, script: Script) -> Playback:
        changes: list[Change] = []
        online = asyncio.get_running_loop().create_future()
        now = asyncio.get_running_loop().time()
        link = FakeLink(delay=script.delay)
        far = FarEnd(script, speech=Frames(script, now=now))
        FarOnLink(far, link.model, now=now)

        def changed(_peer: Connection, change: Change) -> None:
            changes.append(change)
            if isinstance(change, Online):
                far.begin(now=change.at)
                online.set_result(None)

        settings = Settings(
            limits=Limits(),
            safety_net=False,
            heartbeat=script.heartbeat,
            on_change=changed,
            on_message=lambda _peer, _message: None,
        )
        peer = Connection(settings)
        link.connect(lambda: peer, asyncio.Protocol)
        link.freeze(Side.RIGHT)  # its place is taken
        tasks: set[Any] = set()

        def perform(step: Step) -> None:
            if step.act is Act.WRITE:
                sending = peer.send(bytes(int(step.amount)))
                tasks.add(asyncio.ensure_future(sending))
            elif step.act is Act.BLOCK:
                block(step.amount)
            elif step.act is Act.PAUSE:
                peer.transport.pause_reading()
            else:
                peer.transport.resume_reading()

        await online
        link.settle()
        await play_out(script, perform)
        peer.abort()
        await asyncio.gather(*tasks, return_exceptions=True)
        return Playback(changes=tuple(changes))


def guard_socket(factory: Callable[[], asyncio.AbstractEventLoop]):
    """Return what watches a real socket by a guard on a real loop."""

    async def watching(sock, script, begin):
        loop = asyncio.get_running_loop()
        _, watcher = await loop.create_connection(lambda: Watcher(script), sock=sock)
        watcher.guard.start()
        begin()
        await play_out(script, watcher.perform)
        watcher.guard.stop()
        watcher.transport.abort()
        await asyncio.sleep(0)
        return watcher.changes

    def watch(sock, script, begin):
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(watching(sock.dup(), script, begin))

    return watch
