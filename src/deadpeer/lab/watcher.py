"""
The watching end of the heartbeat cells: a process that asks, and says who died.

It lives in the client's namespace and holds all connections of one network. It
says when each ended, by its own clock, which is that of the whole machine; so
how busy the lab is has no part in the measurement.
"""

import asyncio
import select
import sys
import threading
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from deadpeer.lab.false_time import leave_no_trace
from deadpeer.lab.leash import Child, Lines, Servant, child_channel
from deadpeer.lab.namespaces import Namespace
from deadpeer.lab.plain import from_plain, to_plain
from deadpeer.lab.watched import ByLoop, ByThreads, Dialled, Watched

__all__ = ["Station", "Watcher"]


class Watcher(Child):
    """
    The watcher's process, seen from the lab; it says when it is ready.

    Args:
        host: The namespace that it lives in.
        loop: ``asyncio``, ``uvloop`` or ``threads``.
        surroundings: Environment variables that it has besides ours.
    """

    def __init__(
        self,
        host: Namespace,
        *,
        loop: str = "asyncio",
        surroundings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        with host.entered():
            super().__init__(
                "deadpeer.lab.watcher", arguments=[loop], surroundings=surroundings
            )

    def dial(self, peers: Iterable[Dialled]) -> None:
        """Have it connect to these peers, and judge them from then on."""
        self.tell(do="dial", peers=[to_plain(peer) for peer in peers])

    def question(self, name: str) -> None:
        """Have it ask now, so that the peer is heard now."""
        self.tell(do="question", name=name)

    def send(self, name: str, size: int) -> None:
        """Have it send so many bytes."""
        self.tell(do="send", name=name, size=size)

    def fill(self, name: str) -> None:
        """Have it send until the peer's window is closed."""
        self.tell(do="fill", name=name)

    def block(self, seconds: float) -> None:
        """Have something block its event loop."""
        self.tell(do="block", seconds=seconds)

    def look(self) -> None:
        """Have it say how its connections are."""
        self.tell(do="look")


class Station(Servant):
    """
    The watcher's process, from the inside.

    Args:
        orders: The way to the lab; its end ends the watcher.
    """

    def __init__(self, orders: Lines) -> None:
        super().__init__(orders)
        self.watched: dict[str, Watched] = {}
        self.speaking = threading.Lock()

    def say(self, **news: Any) -> None:
        """Tell the lab."""
        with self.speaking:
            self.orders.send(news)

    def dial(self, peers: Iterable[dict[str, Any]]) -> None:
        """Connect to these peers."""
        for plain in peers:
            dialled = from_plain(Dialled, plain)
            self.watched[dialled.name] = self.reach(dialled)

    def reach(self, dialled: Dialled) -> Watched:
        """Begin to connect to a peer."""
        raise NotImplementedError

    def question(self, name: str) -> None:
        """Ask a peer now."""
        self.watched[name].ask()

    def send(self, name: str, size: int) -> None:
        """Send so many bytes to a peer."""
        self.watched[name].send(b"." * size)

    def fill(self, name: str) -> None:
        """Send to a peer until its window is closed."""
        self.watched[name].fill()

    def block(self, seconds: float) -> None:
        """Let nothing else run in this thread."""
        # Not time.sleep, which a false wall clock disturbs.
        select.select([], [], [], seconds)

    def look(self) -> None:
        """Say how the connections are."""
        peers = {name: watched.status() for name, watched in self.watched.items()}
        self.say(what="status", peers=peers)


class LoopStation(Station):
    """The watcher on an event loop."""

    def __init__(self, orders: Lines) -> None:
        super().__init__(orders)
        self.is_abandoned = asyncio.Event()
        self.dialling: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Watch until the lab is gone."""
        asyncio.get_running_loop().add_reader(self.orders.fileno(), self.on_order)
        self.say(what="ready")
        await self.is_abandoned.wait()

    def on_order(self) -> None:
        """An order came, or the end."""
        if not self.obey():
            self.is_abandoned.set()

    def reach(self, dialled: Dialled) -> Watched:
        """Begin to connect to a peer."""
        watched = ByLoop(dialled, self.say)
        task = asyncio.ensure_future(watched.dial())
        self.dialling.add(task)
        task.add_done_callback(self.dialling.discard)
        return watched


class ThreadStation(Station):
    """The watcher with a thread for each connection."""

    def run(self) -> None:
        """Watch until the lab is gone."""
        self.say(what="ready")
        while self.obey():
            pass

    def reach(self, dialled: Dialled) -> Watched:
        """Begin to connect to a peer."""
        watched = ByThreads(dialled, self.say)
        threading.Thread(target=watched.dial, daemon=True).start()
        return watched


async def on_loop(orders: Lines) -> None:
    """Run the watcher on the loop that runs."""
    await LoopStation(orders).run()


def main() -> None:
    """Run the watcher's process."""
    leave_no_trace()
    orders, (loop,) = child_channel(sys.argv)
    if loop == "threads":
        ThreadStation(orders).run()
    elif loop == "uvloop":
        import uvloop

        uvloop.run(on_loop(orders))
    else:
        asyncio.run(on_loop(orders))


if __name__ == "__main__":
    main()
