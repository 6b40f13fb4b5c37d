"""Changes of state, for those who follow them: many readers, no loss, no polling."""

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, Self, TypeVar
from weakref import WeakSet

from deadpeer.core.events import Change

__all__ = ["Broadcast", "Changes", "Follower"]

Item = TypeVar("Item")


class Broadcast(Generic[Item]):
    """
    Tell something to all who follow, each at its own pace.

    Nothing is kept for those who do not follow. A follower's queue grows with
    the number of changes that it has not read; those are rare.
    """

    __slots__ = ("_followers",)

    def __init__(self) -> None:
        # Weak: who drops its iterator, read or not, follows no more.
        self._followers: WeakSet[Follower[Item]] = WeakSet()

    def tell(self, item: Item, *, last: bool = False) -> None:
        """
        Tell one thing.

        Args:
            item: What.
            last: Whether it is the last.
        """
        for follower in self._followers:
            follower.queue.put_nowait(item)
        if last:
            self.end()

    def end(self) -> None:
        """Tell that nothing more will come."""
        for follower in self._followers:
            follower.queue.put_nowait(None)

    def follow(self, *, ended: bool = False) -> AsyncIterator[Item]:
        """
        Return what is told from now on.

        Args:
            ended: Whether the last was told already.
        """
        follower: Follower[Item] = Follower()
        if ended:
            follower.queue.put_nowait(None)
        else:
            self._followers.add(follower)
        return follower


class Follower(AsyncIterator[Item]):
    """
    One who follows.

    Attributes:
        queue: What it has not read; None is the end.
    """

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Item | None] = asyncio.Queue()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        item = await self.queue.get()
        if item is None:
            self.queue.put_nowait(None)  # the end stays the end
            raise StopAsyncIteration
        return item


Changes = Broadcast[Change]
