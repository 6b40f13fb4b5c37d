"""What is told on the loop, as an iterator for a thread."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Generic, Self, TypeVar

from deadpeer.sync.background import Background

__all__ = ["Following", "as_told"]

Item = TypeVar("Item")

END = object()


class Following(Iterator[Item], Generic[Item]):
    """
    An iterator that waits for what is told, in one thread at a time.

    Args:
        background: Whose loop tells it.
        told: What is told.
        shown: What a thread is shown of it.
    """

    def __init__(
        self,
        background: Background,
        told: AsyncIterator[Any],
        shown: Callable[[Any], Item],
    ) -> None:
        self._background = background
        self._told = told
        self._shown = shown
        self._kept: deque[Item | object] = deque()  # an interrupted wait had it already

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        item = self._background.call(self._next, rescue=self._kept.append)
        if item is END:
            raise StopIteration
        return item  # type: ignore[return-value]

    async def _next(self) -> Item | object:
        if self._kept:
            return self._kept.popleft()
        item = await anext(self._told, END)
        return END if item is END else self._shown(item)


def as_told(item: Item) -> Item:
    """
    Return what was told.

    Args:
        item: It.
    """
    return item
