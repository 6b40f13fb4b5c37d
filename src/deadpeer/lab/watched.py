"""
One connection of the lab's watcher: a guard over a protocol of questions.

The protocol is the lab's own (see `peer`), the judgement is the project's. A
connection on an event loop and one with threads differ in how bytes come and go,
and in nothing else.
"""

import asyncio
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from deadpeer.aio.guarding import guard as guard_on_loop
from deadpeer.core.events import Change, Died
from deadpeer.kernel.evidence import read_tcp_info
from deadpeer.lab.peer import ANSWER, QUESTION
from deadpeer.lab.window import FILLER, LOOK, has_closed_window
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.sync.guarding import guard as guard_with_threads

__all__ = ["ByLoop", "ByThreads", "Dialled", "Watched"]

# Questions and answers before anything else, so that everybody knows the round
# trip.
WARM_UP = 3

# What may be sent where a sender's wait would hold up others.
SHORT = 1 << 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialled:
    """
    Whom to connect to, and how to judge it.

    Args:
        name: What the connection is called.
        address: The peer's.
        port: The peer's.
        source: Our own address; empty for whatever fits.
        heartbeat: When to ask, and when to give up.
    """

    name: str
    address: str
    port: int
    source: str
    heartbeat: Heartbeat


class Watched:
    """
    What is the same for every connection.

    Args:
        dialled: To whom.
        tell: Says something to the lab.
    """

    def __init__(self, dialled: Dialled, tell: Callable[..., None]) -> None:
        self.dialled = dialled
        self.tell = tell
        self.guard: Any = None
        self.heard_at = 0.0
        self.received = 0
        self.to_warm_up = WARM_UP
        # Of each question when it was asked, and whether the guard did.
        self.questions: deque[tuple[float, bool]] = deque()
        self.is_filling = False
        self.is_over = False
        self.ending = threading.Lock()

    # What each kind has to offer.

    def send(self, data: bytes) -> None:
        """Send something, at once if there is room, else when there is."""
        raise NotImplementedError

    def unsent(self) -> int:
        """Return how many bytes have not even reached the kernel."""
        raise NotImplementedError

    def sock(self) -> Any:
        """Return the socket."""
        raise NotImplementedError

    def fill(self) -> None:
        """Send until the peer's window is closed and more is waiting."""
        raise NotImplementedError

    # What is the same.

    def greet(self) -> None:
        """Introduce ourselves: the connection stands."""
        self.heard_at = time.monotonic()
        self.guard.start()
        self.send(self.dialled.name.encode() + b"\n")
        self.ask()

    def ask(self, *, by_guard: bool = False) -> None:
        """Put a question to the peer."""
        self.questions.append((time.monotonic(), by_guard))
        self.send(QUESTION)

    def ping(self, number: int) -> None:
        """Put the guard's question; the peer answers in order."""
        del number
        self.ask(by_guard=True)

    def take(self, data: bytes) -> None:
        """Bytes came."""
        self.guard.heard()
        self.heard_at = time.monotonic()
        self.received += len(data)
        for _ in range(min(data.count(ANSWER), len(self.questions))):
            _, by_guard = self.questions.popleft()
            if by_guard:
                self.guard.answered()
            elif self.to_warm_up:
                self.to_warm_up -= 1
                if self.to_warm_up:
                    self.ask()

    def changed(self, change: Change) -> None:
        """The guard has something to tell; a verdict is what matters here."""
        if isinstance(change, Died):
            self.end("dead", str(change.reason))

    def end(self, outcome: str, error: str) -> None:
        """Say how it ended, once."""
        at = time.monotonic()
        with self.ending:
            if self.is_over:
                return
            self.is_over = True
        info = read_tcp_info(self.sock()) if self.guard else None
        self.tell(
            what="ended",
            name=self.dialled.name,
            at=at,
            outcome=outcome,
            error=error,
            probes=info.probes if info else 0,
            retransmits=info.retransmits if info else 0,
        )

    def lost(self, error: BaseException | None) -> None:
        """The connection is over: a verdict, or a goodbye."""
        if self.guard is not None and not self.is_over:
            self.guard.lost(error)
        self.end("closed", type(error).__name__ if error else "EOF")

    def status(self) -> dict[str, Any]:
        """Return what the lab has to know before it predicts."""
        if self.guard is None:
            return {"ready": False, "over": self.is_over}
        asked = [at for at, by_guard in self.questions if not by_guard]
        return {
            "ready": not (self.to_warm_up or asked or self.is_filling),
            "over": self.is_over,
            "heard_at": self.heard_at,
            "asked_at": self.questions[0][0] if self.questions else None,
            "received": self.received,
            "unsent": 0 if self.is_over else self.unsent(),
        }


class ByLoop(Watched, asyncio.Protocol):
    """A connection on an event loop, asyncio's or another."""

    transport: asyncio.Transport

    async def dial(self) -> None:
        """Connect."""
        dialled = self.dialled
        source = (dialled.source, 0) if dialled.source else None
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: self, dialled.address, dialled.port, local_addr=source
            )
        except OSError as error:
            self.lost(error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to judge."""
        # uvloop's transports are none of asyncio's classes.
        self.transport = cast("asyncio.Transport", transport)
        self.guard = guard_on_loop(
            self.transport,
            heartbeat=self.dialled.heartbeat,
            send_ping=self.ping,
            on_change=self.changed,
        )
        self.greet()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self.take(data)

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is over."""
        self.lost(error)

    def send(self, data: bytes) -> None:
        """Send something, at once if there is room, else when there is."""
        self.transport.write(data)

    def sock(self) -> Any:
        """Return the socket."""
        return self.transport.get_extra_info("socket")

    def unsent(self) -> int:
        """Return how many bytes have not even reached the kernel."""
        return self.transport.get_write_buffer_size()

    def fill(self) -> None:
        """Send until the peer's window is closed and more is waiting."""
        self.is_filling = not self.is_over and not has_closed_window(self.sock())
        if self.is_filling:
            while not self.unsent():
                self.send(FILLER)
            asyncio.get_running_loop().call_later(LOOK, self.fill)


class ByThreads(Watched):
    """A connection with a thread that reads, and a lock for who writes."""

    stream: socket.socket

    def __init__(self, dialled: Dialled, tell: Callable[..., None]) -> None:
        super().__init__(dialled, tell)
        self.sending = threading.Lock()

    def dial(self) -> None:
        """Connect, and read to the end."""
        dialled = self.dialled
        source = (dialled.source, 0) if dialled.source else None
        try:
            self.stream = socket.create_connection(
                (dialled.address, dialled.port), source_address=source
            )
        except OSError as error:
            self.lost(error)
            return
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.guard = guard_with_threads(
            self.stream,
            heartbeat=dialled.heartbeat,
            send_ping=self.ping,
            on_change=self.changed,
        )
        self.greet()
        self.lost(self.read())

    def read(self) -> OSError | None:
        """Read until the stream ends; return why, unless it ended well."""
        try:
            while data := self.stream.recv(1 << 16):
                self.take(data)
        except OSError as error:
            return error
        return None

    def send(self, data: bytes) -> None:
        """Send something; a long message has a thread that waits for it."""
        if len(data) > SHORT:
            threading.Thread(target=self.send_now, args=[data], daemon=True).start()
        else:
            self.send_now(data)

    def send_now(self, data: bytes) -> None:
        """Send something, however long it takes."""
        with suppress(OSError), self.sending:  # whoever reads is told
            self.stream.sendall(data)

    def sock(self) -> Any:
        """Return the socket."""
        return self.stream

    def unsent(self) -> int:
        """Return how many bytes have not even reached the kernel."""
        return int(self.sending.locked())  # a message that waits, of whatever length

    def fill(self) -> None:
        """Send until the peer's window is closed and more is waiting."""
        self.is_filling = True
        threading.Thread(target=self.keep_filling, daemon=True).start()

    def keep_filling(self) -> None:
        """Send what fits until nothing fits any more."""
        nap = threading.Event()
        with suppress(OSError):
            while not (self.is_over or has_closed_window(self.sock())):
                with suppress(BlockingIOError):
                    self.stream.send(FILLER, socket.MSG_DONTWAIT)
                nap.wait(LOOK)
        self.is_filling = False
