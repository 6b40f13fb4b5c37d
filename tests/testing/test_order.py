"""The order of I/O and timers after a block is that of the real loops."""

import asyncio
import socket
import time
from collections.abc import Callable

import pytest

from deadpeer.testing import FakeLink, VirtualLoop

BLOCKS = 0.03  # seconds, real ones on the real loops
TIMER = BLOCKS / 3
PLACES = ["a callback", "a timer", "a callback of I/O"]


class Scene:
    """Block a loop somewhere, while bytes arrive and a timer matures."""

    def __init__(self, loop: asyncio.AbstractEventLoop, place: str) -> None:
        self.loop = loop
        self.place = place
        self.log: list[str] = []
        self.done = asyncio.Event()
        self.ends: list[asyncio.Transport | socket.socket] = []

    async def play(self) -> list[str]:
        self.arrive = await self.connect("io")
        trigger = await self.connect("trigger")
        if self.place == "a callback":
            self.loop.call_soon(self.block)
        elif self.place == "a timer":
            self.loop.call_later(0.001, self.block)
        else:
            trigger()
        await asyncio.wait_for(self.done.wait(), 10)
        for end in self.ends:
            end.close()
        await asyncio.sleep(0)  # in which transports close their sockets
        return [name for name in self.log if name != "trigger"]

    async def connect(self, name: str) -> Callable[[], object]:
        """Return what makes a byte arrive at a protocol of that name."""
        if isinstance(self.loop, VirtualLoop):
            link = FakeLink(loop=self.loop)
            fake, _ = link.connect(asyncio.Protocol, lambda: Ear(self, name))
            await asyncio.sleep(0.001)
            return lambda: fake.write(b"x")
        near, far = socket.socketpair()
        end, _ = await self.loop.create_connection(lambda: Ear(self, name), sock=far)
        self.ends += [near, end]
        return lambda: near.send(b"x")

    def block(self) -> None:
        self.loop.call_later(TIMER, self.note, "timer")
        self.arrive()
        if isinstance(self.loop, VirtualLoop):
            self.loop.block(BLOCKS)
        else:
            time.sleep(BLOCKS)

    def note(self, name: str) -> None:
        self.log.append(name)
        self.loop.call_soon(self.note_soon, f"soon after {name}")

    def note_soon(self, name: str) -> None:
        self.log.append(name)
        if {"soon after io", "soon after timer"} <= set(self.log):
            self.done.set()


class Ear(asyncio.Protocol):
    def __init__(self, scene: Scene, name: str) -> None:
        self.scene = scene
        self.name = name

    def data_received(self, data: bytes) -> None:
        if self.name == "trigger":
            self.scene.block()
        else:
            self.scene.note(self.name)


def play(new_loop: Callable[[], asyncio.AbstractEventLoop], place: str) -> list[str]:
    async def main() -> list[str]:
        return await Scene(asyncio.get_running_loop(), place).play()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(main())


@pytest.mark.parametrize("place", PLACES)
def test_the_order_after_a_block_is_that_of_a_real_selector_loop(place):
    real = play(asyncio.SelectorEventLoop, place)

    assert real[0] == "io"
    assert play(VirtualLoop, place) == real


@pytest.mark.parametrize("place", PLACES)
def test_timers_can_go_first_wherever_the_block_was(place):
    order = play(lambda: VirtualLoop(io_first=False), place)

    assert order[0] == "timer"


@pytest.mark.filterwarnings("ignore::DeprecationWarning:uvloop")
def test_uvloop_lets_timers_go_first_after_a_callback_of_io_that_took_long():
    uvloop = pytest.importorskip("uvloop")

    real = play(uvloop.new_event_loop, "a callback of I/O")

    assert real[0] == "timer"
    assert play(lambda: VirtualLoop(io_first=False), "a callback of I/O") == real
