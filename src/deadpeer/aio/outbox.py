"""
What waits to be sent: whole messages in fragments, in bounded memory.

A fragment is handed to the transport only while that has room, so at most one
fragment and the transport's own buffer stand before a heartbeat. A message is
sent whole or not at all: one whose first fragment has left is finished even if
the caller does not wait any more.

Whoever sends without end must leave the loop its turns: after a few fragments
in a row, timers and reading come first.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

__all__ = ["Outbox"]

# Fragments in a row before the loop gets a turn: about a millisecond of work.
LONGEST_RUN = 16


class Sending:
    """One message on its way."""

    __slots__ = ("begun", "done", "frames")

    def __init__(self, frames: Iterator[bytes], done: "asyncio.Future[None]") -> None:
        self.frames = frames
        self.done = done
        self.begun = False


class Outbox:
    """
    Messages in their order.

    Args:
        transport: Where fragments go.

    Attributes:
        has_room: Whether the transport takes more; it says so itself.
        was_used: Whether anything was sent since somebody set this to False.
    """

    __slots__ = ("_closes", "_queue", "_run", "_transport", "has_room", "was_used")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._queue: list[Sending] = []
        self._closes = False
        self._run = 0
        self.has_room = True
        self.was_used = False

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def is_clear(self) -> bool:
        """Whether nothing waits here, and the transport takes more."""
        return self.has_room and not self._queue

    def offer(self, frames: Iterator[bytes]) -> bool:
        """
        Hand all of a message over now, or nothing of it.

        Args:
            frames: Its fragments.

        Returns:
            Whether there was room for its first fragment; the others follow by
            themselves.
        """
        if self._queue or not self.has_room or self._closes:
            return False
        for number, frame in enumerate(frames, 1):
            self._transport.write(frame)
            self.was_used = True
            self._run += 1
            if not self.has_room or number == LONGEST_RUN:
                self._follow(frames)
                break
        return True

    def _follow(self, frames: Iterator[bytes]) -> None:
        loop = asyncio.get_running_loop()
        rest = Sending(frames, loop.create_future())
        rest.begun = True
        self._queue.append(rest)
        if self.has_room:
            loop.call_soon(self.pump)

    async def send(self, frames: Iterator[bytes]) -> None:
        """
        Hand a message over when there is room, and return when that is done.

        Args:
            frames: Its fragments.

        Raises:
            PeerDead: The peer died before all was handed over.
            PeerClosed: The connection was closed before.
            asyncio.CancelledError: Cancelled. The message is finished if its first
                fragment had left, and never sent otherwise.
        """
        if self.offer(frames):
            if not self._queue:
                if self._run >= LONGEST_RUN:
                    self._run = 0
                    await asyncio.sleep(0)
                return
            sending = self._queue[0]
        else:
            sending = Sending(frames, asyncio.get_running_loop().create_future())
            self._queue.append(sending)
        try:
            await sending.done
        except asyncio.CancelledError:
            if not sending.begun and sending in self._queue:
                self._queue.remove(sending)
            raise

    def pump(self) -> None:
        """Hand over what there is room for, and let others have a turn."""
        self._run = 0
        while self._queue and self.has_room:
            if self._run >= LONGEST_RUN:
                asyncio.get_running_loop().call_soon(self.pump)
                return
            sending = self._queue[0]
            sending.begun = True
            frame = next(sending.frames, None)
            if frame is not None:
                self._transport.write(frame)
                self.was_used = True
                self._run += 1
                continue
            self._queue.pop(0)
            if not sending.done.done():
                sending.done.set_result(None)

    def finish(self, last: bytes) -> None:
        """
        Send a last frame behind whatever waits, and take no more.

        Args:
            last: The frame.
        """
        self._closes = True
        done = asyncio.get_running_loop().create_future()
        self._queue.append(Sending(iter((last,)), done))
        self.pump()

    def fail(self, error: BaseException) -> None:
        """
        Send nothing more.

        Args:
            error: What those who wait are told.
        """
        self._closes = True
        while self._queue:
            sending = self._queue.pop(0)
            if not sending.done.done():
                sending.done.set_exception(error)
                sending.done.exception()  # nobody may be left to ask
