"""
A bounded queue between who watches and who is told: the watch never waits.

What is told may be slow or gone: a webhook's server, a command. So a thread of its own
delivers, some at a time, and when too much has piled up the oldest is thrown away, and
counted.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["Item", "Outbox"]

Item = dict[str, Any]
"""A change, as JSON has it."""

MOST = 1000
"""How many changes wait at most."""


class Outbox:
    """
    Delivers changes in the order in which they come, in a thread of its own.

    Args:
        deliver: Delivers some changes; it takes the time that it needs, and gives up
            early once ``stopping`` is set.
        name: What to call the thread.
        batch: How many changes are delivered together at the most.
        most: How many may wait.

    Attributes:
        dropped: How many were thrown away because too many waited.
    """

    def __init__(
        self,
        deliver: Callable[[Sequence[Item]], None],
        *,
        name: str,
        batch: int = 1,
        most: int = MOST,
    ) -> None:
        self._deliver = deliver
        self._batch = batch
        self._most = most
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._is_closing = False
        self._in_hand = 0
        self.dropped = 0
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, item: Item) -> None:
        """
        Have a change delivered; never waits.

        Args:
            item: The change.
        """
        with self._changed:
            if len(self._items) >= self._most:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._changed.notify()

    def close(self, *, patience: float) -> int:
        """
        Deliver what waits, and end.

        Args:
            patience: Seconds to wait for that at the most.

        Returns:
            How many changes are not delivered.
        """
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(patience)
        with self._changed:
            left = len(self._items) + self._in_hand
            self._items.clear()
            return left

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._items and not self._is_closing:
                    self._changed.wait()
                some = [
                    self._items.popleft()
                    for _ in range(min(self._batch, len(self._items)))
                ]
                self._in_hand = len(some)
            if not some:
                return
            self._deliver(some)
            with self._changed:
                self._in_hand = 0
