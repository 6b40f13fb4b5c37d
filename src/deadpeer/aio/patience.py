"""
Waiting for somebody who has to answer: what this loop sleeps through does not count.

A loop that was blocked has not looked, and must not say that nobody was there. So
the time is counted in parts: each counts as what it was to be, however late this
loop came to its end. After the last, what has arrived meanwhile is read first.
"""

import asyncio
from types import TracebackType
from typing import Self

from deadpeer.aio.judged import FEWEST_TURNS

__all__ = ["Patience"]

PARTS = 20


class Patience:
    """
    A block that ends with ``TimeoutError``, like that of ``asyncio.timeout``.

    Args:
        seconds: How long the block may take on a loop that is on time.
    """

    __slots__ = ("_bound", "_handle", "_left", "_part")

    def __init__(self, seconds: float) -> None:
        self._part = seconds / PARTS
        self._left = PARTS
        self._bound = asyncio.timeout(None)
        self._handle: asyncio.Handle | None = None

    async def __aenter__(self) -> Self:
        await self._bound.__aenter__()
        self._wait()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._handle is not None:
            self._handle.cancel()
        await self._bound.__aexit__(kind, error, trace)

    def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        if self._left == 0:
            self._handle = loop.call_soon(self._read_first, FEWEST_TURNS)
            return
        self._left -= 1
        self._handle = loop.call_later(self._part, self._wait)

    def _read_first(self, turns: int) -> None:
        loop = asyncio.get_running_loop()
        if turns == 0:
            self._bound.reschedule(loop.time())
            return
        self._handle = loop.call_soon(self._read_first, turns - 1)
