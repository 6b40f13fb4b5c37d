"""Changes of state, for those who follow them: many readers, no loss, no polling."""

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

from deadpeer.core.events import Change

__all__ = ["Broadcast", "Changes"]

Item = TypeVar("Item")


class Broadcast(Generic[Item]):
    """
    Tell something to all who follow, each at its own pace.

    Nothing is kept for those who do not follow. A follower's queue grows with
    the number of changes that it has not read; those are rare.
    """

    __slots__ = ("_queues",)

    def __init__(self) -> None:
        # None in a queue is the end.
        self._queues: list[asyncio.Queue[Item | None]] = []

    def tell(self, item: Item, *, last: bool = False) -> None:
        """
        Tell one thing.

        Args:
            item: What.
            last: Whether it is the last.
        """
        for queue in self._queues:
            queue.put_nowait(item)
            if last:
                queue.put_nowait(None)

    def end(self) -> None:
        """Tell that nothing more will come."""
        for queue in self._queues:
            queue.put_nowait(None)

    def follow(self, *, ended: bool = False) -> AsyncIterator[Item]:
        """
        Return what is told from now on.

        Args:
            ended: Whether the last was told already.
        """
        queue: asyncio.Queue[Item | None] = asyncio.Queue()
        if ended:
            queue.put_nowait(None)
        else:
            self._queues.append(queue)
        return self._read(queue)

    async def _read(self, queue: "asyncio.Queue[Item | None]") -> AsyncIterator[Item]:
        try:
            while (item := await queue.get()) is not None:
                yield item
        finally:
            if queue in self._queues:
                self._queues.remove(queue)


Changes = Broadcast[Change]
