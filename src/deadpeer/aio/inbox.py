"""Messages that wait to be read, in bounded memory: beyond it, reading pauses."""

import asyncio
import sys
from typing import Any

from deadpeer.errors import LocalProtocolError

__all__ = ["Inbox"]

# What a message costs beside its bytes; a peer that sends a million empty ones
# has to be bounded too.
OVERHEAD = 64

# As many places of messages that were read may be left before the list is packed.
LEFT = 64

NOTHING = memoryview(b"")


class Inbox:
    """
    Messages in their order, for one reader.

    Args:
        high: Bytes at which reading pauses; it goes on below half of that.
    """

    __slots__ = (
        "_first",
        "_held",
        "_high",
        "_messages",
        "_read",
        "_stopped",
        "_waiter",
        "paused",
    )

    def __init__(self, high: int) -> None:
        self._high = high
        self._held = 0
        # An empty deque is ten times as large. From a list, one message after
        # the other is taken by counting: to pop the first costs all the others.
        self._messages: list[bytes] = []
        self._first = 0
        self._waiter: asyncio.Future[None] | None = None
        self._read = NOTHING
        self._stopped = False
        self.paused = False

    def __len__(self) -> int:
        return len(self._messages) - self._first

    def put(self, message: bytes, transport: Any) -> None:
        """
        Keep a message; pause reading if that is enough.

        Args:
            message: Its bytes.
            transport: Whose reading is paused.
        """
        self._messages.append(message)
        self._held += len(message) + OVERHEAD
        if self._held > self._high and not self.paused and not transport.is_closing():
            self.paused = True
            self.regulate(transport)
        self.wake()

    def take(self, transport: Any) -> tuple[bytes, bool]:
        """
        Return the oldest message, and whether reading went on for it.

        Args:
            transport: Whose reading goes on.
        """
        messages, first = self._messages, self._first
        message = messages[first]
        messages[first] = b""
        first += 1
        if first == len(messages) or (first > LEFT and 2 * first > len(messages)):
            del messages[:first]
            first = 0
        self._first = first
        self._held -= len(message) + OVERHEAD
        if not self.paused or self._held > self._high // 2:
            return message, False
        self.go_on(transport)
        return message, True

    def go_on(self, transport: Any) -> None:
        """
        Go on reading if it was paused.

        Args:
            transport: Whose reading goes on.
        """
        self.paused = False
        self.regulate(transport)

    def regulate(self, transport: Any) -> bool:
        """
        Read while there is room, and nothing waits that was read before.

        Args:
            transport: Whose reading is paused, or goes on.

        Returns:
            Whether something waits that was read before.
        """
        stops = self.paused or bool(self._read)
        if stops is not self._stopped and not transport.is_closing():
            self._stopped = stops
            if stops:
                transport.pause_reading()
            else:
                transport.resume_reading()
        return bool(self._read)

    # What was read, and is no message yet.

    def hold(self, data: bytes) -> None:
        """
        Keep what was read at once, to be taken in pieces.

        Args:
            data: The bytes; nothing is read while any of them are left.
        """
        self._read = memoryview(self._read.tobytes() + data if self._read else data)

    def piece(self, size: int) -> bytes:
        """
        Return the next bytes of what was read; none if there are none.

        Args:
            size: How many bytes at most.
        """
        piece, self._read = self._read[:size], self._read[size:]
        return piece.tobytes()

    def drop(self) -> None:
        """Forget what was read: nobody wants to know any more."""
        self._read = NOTHING

    def take_all(self, transport: Any) -> None:
        """
        Read to the end, whatever it takes: nothing more can come.

        What lies in the kernel's buffer is bounded as it is; this moves it here.

        Args:
            transport: Whose reading goes on.
        """
        self._high = sys.maxsize
        self.go_on(transport)

    def wait(self) -> "asyncio.Future[None]":
        """
        Return what is done when there is news: a message, or the end.

        A future, not a coroutine: one waits for each idle connection.

        Raises:
            LocalProtocolError: Somebody else waits already; with two readers
                nobody could tell who gets which message.
        """
        if self._waiter is not None and not self._waiter.done():
            raise LocalProtocolError(
                "two tasks read from one connection at the same time",
                hint="let one task read, and pass on what it gets",
                breach="two-readers",
            )
        self._waiter = asyncio.get_running_loop().create_future()
        return self._waiter

    def wake(self) -> None:
        """Tell the reader that there is news."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
