"""A question that waits for room: it is counted as not sent, and ends with the guard."""

# ruff: noqa: PT012 - an "async with" around the story is the one statement

import asyncio

import pytest
from tests.aio.guarded import QUICK, Pair

from deadpeer.errors import PeerSilent
from deadpeer.testing import Side, run


@pytest.mark.parametrize("end", ["stop", "death"])
def test_a_question_that_still_waits_is_called_off_at_the_end(end):
    async def main():
        ended = asyncio.Event()

        async def ask(_number):
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        pair = Pair(ask=ask)
        pair.guard.start()
        pair.link.freeze(Side.RIGHT)
        await asyncio.sleep(QUICK.interval + 0.1)
        assert not ended.is_set()
        if end == "stop":
            pair.guard.stop()
        async with asyncio.timeout(60):
            assert (await pair.guard.wait_dead() is None) == (end == "stop")
            await ended.wait()

    run(main())


def test_a_question_that_waits_for_room_is_not_covered_by_what_was_sent_before_it():
    """All that was sent is acknowledged, and the question is not among it."""

    async def main():
        async def ask(_number):
            await asyncio.Event().wait()

        pair = Pair(ask=ask)
        with pytest.raises(PeerSilent):
            async with pair.guard:
                pair.link.freeze(Side.RIGHT)
                await asyncio.sleep(60)
        assert pair.death.evidence.covered is False

    run(main())
