"""Those who follow: each sees everything from then on, and nobody has to."""

import asyncio
import gc

import pytest

from deadpeer.aio.changes import Broadcast
from deadpeer.testing import run


def test_each_follower_sees_everything_from_then_on_at_its_own_pace():
    async def main():
        told = Broadcast[int]()
        told.tell(1)
        first = told.follow()
        told.tell(2)
        second = told.follow()
        told.tell(3, last=True)
        assert [item async for item in first] == [2, 3]
        assert [item async for item in second] == [3]
        assert [item async for item in second] == [], "the end stays the end"

    run(main())


def test_who_comes_after_the_end_sees_the_end():
    async def main():
        assert [item async for item in Broadcast[int]().follow(ended=True)] == []

    run(main())


def test_the_end_may_come_without_a_last_word():
    async def main():
        told = Broadcast[int]()
        following = told.follow()
        told.end()
        assert [item async for item in following] == []

    run(main())


def test_who_follows_no_more_is_told_no_more():
    async def main():
        told = Broadcast[int]()
        read, never_read = told.follow(), told.follow()
        told.tell(1)
        assert await anext(read) == 1
        del read, never_read
        gc.collect()
        assert len(told._followers) == 0

    run(main())


def test_a_cancelled_wait_loses_nothing():
    async def main():
        told = Broadcast[int]()
        following = told.follow()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await anext(following)
        told.tell(1)
        assert await anext(following) == 1

    run(main())
