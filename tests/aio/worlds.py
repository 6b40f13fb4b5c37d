"""
Where two ends of our protocol meet: in virtual time, and on real sockets.

The same story runs in each world. After it nothing may be left: no task, no
socket, and nothing that went to the loop's exception handler unnoticed.
"""

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.loopback import HOSTS

from deadpeer.aio.connection import Connection
from deadpeer.aio.settings import Settings
from deadpeer.core.limits import Limits
from deadpeer.core.states import State
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.testing import FakeLink, VirtualLoop

# One second of silence, one for the answer.
QUICK = Heartbeat(interval=1.0, timeout=1.0)
# What the promise leaves for timers and for reading first, in seconds.
SLACK = 0.05
PATIENCE = 30  # seconds of real time for one story


def settings_of(heartbeat=QUICK, *, limits=None, **more):
    return Settings(
        heartbeat=heartbeat, limits=limits or Limits(), safety_net=False, **more
    )


class Couple(NamedTuple):
    near: Any  # connections; a mypy that knew more would want to know it all
    far: Any
    link: Any  # in virtual time


class World:
    """One kind of loop with what joins two ends there."""

    def __init__(self, name):
        self.name = name
        self.is_virtual = name == "virtual"
        self.complaints = []

    def __repr__(self):
        return self.name

    def loop(self):
        if self.is_virtual:
            return VirtualLoop()
        if self.name == "uvloop":
            import uvloop

            return uvloop.new_event_loop()
        return asyncio.new_event_loop()

    def run(self, main, *, complaints=0):
        """Run a story; return what it returns."""
        with asyncio.Runner(loop_factory=self.loop) as runner:
            loop = runner.get_loop()
            loop.set_exception_handler(lambda _, told: self.complaints.append(told))
            before = runner.run(self.open_now())
            try:
                found = runner.run(self.bounded(main))
                runner.run(self.settled(before))
            finally:
                main.close()
        assert len(self.complaints) == complaints, self.complaints
        return found

    async def bounded(self, main):
        if self.is_virtual:
            return await main
        async with asyncio.timeout(PATIENCE):
            return await main

    async def open_now(self):
        return len(open_sockets())  # uvloop has some of its own while it runs

    async def settled(self, before):
        """See that nothing is left; closing takes a few turns."""
        for _ in range(10):
            await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left
        assert len(open_sockets()) <= before, open_sockets()

    async def couple(self, near=None, far=None, *, link=None):
        """Join two connections that have agreed."""
        near, far = near or settings_of(), far or settings_of()
        if self.is_virtual:
            link = link or FakeLink(delay=0.01)
            ends = link.connect(lambda: Connection(near), lambda: Connection(far))
            one, two = (end.get_protocol() for end in ends)
            couple = Couple(one, two, link)
        else:
            one, two = await joined(near, far)
            couple = Couple(one, two, None)
        await agreed(couple.near, couple.far)
        return couple


async def joined(near, far):
    loop = asyncio.get_running_loop()
    ours, theirs = socket_pair()
    _, one = await loop.create_connection(lambda: Connection(near), sock=ours)
    _, two = await loop.create_connection(lambda: Connection(far), sock=theirs)
    return one, two


def socket_pair(family=socket.AF_INET):
    """Return the two ends of a TCP connection; the caller closes them."""
    with socket.create_server((HOSTS[family], 0), family=family) as server:
        ours = socket.create_connection(server.getsockname()[:2])
        theirs, _ = server.accept()
    ours.setblocking(False)  # noqa: FBT003
    theirs.setblocking(False)  # noqa: FBT003
    return ours, theirs


async def agreed(*peers):
    """Wait until connections are alive, or over."""
    for peer in peers:
        changes = peer.changes()
        if peer.state is State.CONNECTING and peer.error is None:
            await anext(changes, None)


async def opened_alive(connecting):
    """Open a connection, see that it lives, and end it."""
    peer = await connecting
    assert peer.state is State.ALIVE
    peer.abort()
    await peer.wait_closed()


def open_sockets():
    """Return which sockets are open. Loops open other things when they need them."""
    folder = Path("/proc/self/fd")
    links = []
    for entry in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(OSError):  # the one that reads the folder
            links.append(str(entry.readlink()))
    return sorted(link for link in links if link.startswith("socket:"))


def names(*, virtual=True):
    if virtual:
        yield "virtual"
    yield "asyncio"
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: F401

        yield "uvloop"


in_every_world = pytest.mark.parametrize(
    "world", [World(name) for name in names()], ids=str
)
on_real_loops = pytest.mark.parametrize(
    "world", [World(name) for name in names(virtual=False)], ids=str
)
VIRTUAL = World("virtual")
