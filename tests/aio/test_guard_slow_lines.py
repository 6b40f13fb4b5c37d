"""Lines that are slow to repeat what they lost: what their kernel tells excuses the wait."""

# ruff: noqa: ASYNC110 - a kernel made of numbers tells nobody, and its time is virtual

import asyncio
from dataclasses import replace

from tests.aio.guarded import Pair

from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.testing import FakeLink, Shape, Side, run


def test_a_loss_that_takes_longer_to_repeat_than_the_timeout_is_waited_for():
    async def main():
        loop = asyncio.get_running_loop()
        pair = Pair(Heartbeat(interval=1.0, timeout=2.0), link=FakeLink(delay=0.6))
        async with pair.guard:
            await asyncio.sleep(100)  # until the kernel knows the round trip
            while pair.left.traffic().outstanding:
                await asyncio.sleep(0.01)
            heard_at = pair.guard.monitor.row.heard_at
            await asyncio.sleep(heard_at + 0.5 - loop.time())
            pair.link.cut(towards=Side.RIGHT)
            pair.left.write(b".")
            await asyncio.sleep(0.8)
            pair.link.mend()  # the question is lost, too, and repeated with it
            await asyncio.sleep(1.75)
            assert pair.guard.evidence().waited > 2.0
            assert not pair.guard.evidence().covered
            await asyncio.sleep(10)
            assert pair.guard.verdict is None
        pair.left.abort()

    run(main())


def test_what_arrives_behind_a_lost_segment_is_progress():
    async def main():
        shape = Shape(delay=0.05, bandwidth=40_000)
        link = FakeLink(delay=0.05, bandwidth=40_000, send_buffer=130_000)
        pair = Pair(Heartbeat(interval=1.0, timeout=1.5), link=link)
        async with pair.guard:
            for _ in range(400):  # little more than the line takes: its queue fills
                pair.left.write(bytes(14_480))
                await asyncio.sleep(0.345)
            link.reshape(replace(shape, loss=1.0), towards=Side.RIGHT)
            await moved(pair)  # which lets one more segment leave
            link.reshape(shape, towards=Side.RIGHT)
            while (lost := await moved(pair)) < 2 * pair.heartbeat.timeout:
                assert lost < 0.1
            assert pair.guard.verdict is None
        pair.left.abort()

    run(main())


async def moved(pair):
    """Wait until the count of acknowledged bytes grows, and say for how long."""
    loop = asyncio.get_running_loop()
    before, since = pair.left.traffic().acked, loop.time()
    while pair.left.traffic().acked == before:
        await asyncio.sleep(0.001)
    return loop.time() - since
