"""
A timing wheel: who is to be looked at when, for very many peers at O(1) each.

Instants are gathered in ticks, so that one timer of an event loop serves all.
Source of the idea: Varghese and Lauck, Hashed and Hierarchical Timing Wheels,
SOSP 1987. The ticks are kept in a dictionary and their order in a heap, so there
is no horizon and an empty wheel costs nothing.
"""

import heapq
import math
from collections.abc import Iterator
from typing import Final, Generic, TypeVar

__all__ = ["Wheel"]

Item = TypeVar("Item")

NEVER: Final = math.inf

BEYOND: Final = 1.000001


class Wheel(Generic[Item]):
    """
    Hold items until their instant has come.

    An item may be held for several turns, and once in each. It is hashable.

    Args:
        tick: How many seconds are one turn; items come out up to so much late,
            never early.

    >>> wheel = Wheel[str](tick=0.01)
    >>> wheel.add("a", at=20.0)
    >>> wheel.next_at
    20.01
    >>> wheel.matured(now=20.0), wheel.matured(now=20.01)
    ([], ['a'])
    """

    __slots__ = ("_order", "_per_second", "_turns", "tick")

    def __init__(self, *, tick: float) -> None:
        self.tick = tick
        self._per_second = 1 / tick
        # Each turn is an ordered set: to find one of very many in a list takes too long.
        self._turns: dict[int, dict[Item, None]] = {}
        self._order: list[int] = []

    @property
    def next_at(self) -> float:
        """When the next items come out, in seconds; infinite for never."""
        order = self._order
        while order and not self._turns[order[0]]:  # all of them were called off
            del self._turns[heapq.heappop(order)]
        return order[0] * self.tick if order else NEVER

    def add(self, item: Item, *, at: float) -> None:
        """
        Hold an item.

        Args:
            item: Anything that is hashable.
            at: Until when, in seconds; an infinite instant holds nothing.
        """
        if at == NEVER:
            return
        turn = int(at * self._per_second + BEYOND)  # _turn_of, without the call
        items = self._turns.get(turn)
        if items is None:
            self._turns[turn] = {item: None}
            heapq.heappush(self._order, turn)
        else:
            items[item] = None

    def discard(self, item: Item, *, at: float) -> None:
        """
        Hold an item no longer; nothing happens if it is not there.

        Args:
            item: What was added.
            at: The instant in seconds with which it was added.
        """
        items = self._turns.get(self._turn_of(at)) if at < NEVER else None
        if items:
            items.pop(item, None)  # an empty turn stays until it would be the next

    def _turn_of(self, at: float) -> int:
        # A millionth of a turn beyond the end of its own: the product is rounded,
        # and what comes out early comes out wrong. int costs half of math.ceil.
        return int(at * self._per_second + BEYOND)

    def matured(self, *, now: float) -> list[Item]:
        """
        Take out whatever has come due, the earliest first.

        Args:
            now: The present, in seconds.
        """
        order = self._order
        tick = self.tick
        if not order or order[0] * tick > now:
            return []
        due = list(self._turns.pop(heapq.heappop(order)))
        while order and order[0] * tick <= now:
            due += self._turns.pop(heapq.heappop(order))
        return due

    def __iter__(self) -> Iterator[Item]:
        for items in list(self._turns.values()):
            yield from items

    def __len__(self) -> int:
        return sum(map(len, self._turns.values()))
