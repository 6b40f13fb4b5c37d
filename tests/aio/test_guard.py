"""What a guard sees and says: stories on a link that is made of numbers."""

# ruff: noqa: PT012 - an "async with" around the story is the one statement

import asyncio
from typing import Any

import pytest
from tests.aio.guarded import QUICK, SLACK, Pair

from deadpeer.core.events import Reason
from deadpeer.core.states import State
from deadpeer.errors import PeerReset, PeerSilent
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.testing import FakeLink, Shape, Side, run

MEGABIT = 125_000.0  # bytes a second

both_orders = pytest.mark.parametrize(
    "io_first", [True, False], ids=["io-first", "timers-first"]
)

FAULTS = {
    "the cable is cut": lambda link: link.cut(),
    "what we send is lost": lambda link: link.cut(towards=Side.RIGHT),
    "what it sends is lost": lambda link: link.cut(towards=Side.LEFT),
    "its program is stopped": lambda link: link.freeze(Side.RIGHT),
}


@both_orders
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("after", [0.0, 0.05, 1.05, 1.15, 7.3])
def test_a_silent_death_is_found_within_the_promise(fault, after, io_first):
    pairs = []

    async def main():
        pair = Pair()
        pairs.append(pair)
        with pytest.raises(PeerSilent) as caught:
            async with pair.guard:
                await asyncio.sleep(after)
                FAULTS[fault](pair.link)
                await asyncio.sleep(60)
        assert caught.value.evidence is pair.death.evidence

    run(main(), io_first=io_first)

    (pair,) = pairs
    assert pair.was_found_in_time()
    if fault != "what we send is lost":  # then its kernel may still be heard
        assert pair.death.reason is Reason.SILENT
    assert pair.kinds == ["Online", "Suspected", "Died"]
    assert pair.left.is_closing()


@both_orders
def test_an_answering_peer_is_asked_and_lives(io_first):
    async def main():
        pair = Pair(link=FakeLink(delay=0.1, jitter=0.05))
        async with pair.guard as guard:
            await asyncio.sleep(600)
            assert guard.state is State.ALIVE
            assert 0.2 <= guard.rtt.smallest <= guard.rtt.smoothed <= 0.3 + SLACK
        assert pair.kinds == ["Online", "Closed"]
        # Every second of silence, plus the round trip until it was broken.
        assert 600 / 1.35 < len(pair.asked) < 600 / 1.2

    run(main(), io_first=io_first)


def test_a_busy_peer_is_never_asked():
    async def main():
        pair = Pair()
        async with pair.guard:
            for _ in range(100):
                pair.right.write(b".")
                await asyncio.sleep(0.9)
        assert pair.asked == []

    run(main())


def test_a_box_that_forgets_idle_connections_is_kept_busy_or_found_out():
    async def main(interval, forgets_after):
        pair = Pair(Heartbeat(interval=interval, timeout=1.0))

        async def box():
            idle_since = -1.0
            while idle_since != pair.far.taken:
                idle_since = pair.far.taken
                await asyncio.sleep(forgets_after)
            pair.link.cut()

        forgetting = asyncio.create_task(box())
        async with pair.guard:
            await asyncio.sleep(120)
        forgetting.cancel()
        return pair

    assert "Died" not in run(main(2.0, 5.0)).kinds
    with pytest.raises(PeerSilent):
        run(main(20.0, 5.0))


def test_a_peer_that_came_back_without_its_state_is_a_reset_in_the_block():
    async def main():
        pair = Pair()
        pair.near.tells_of_loss = True
        with pytest.raises(PeerReset):
            async with pair.guard:
                await asyncio.sleep(0.5)
                pair.link.reboot(Side.RIGHT)
                await asyncio.sleep(60)
        assert pair.death.reason is Reason.RESET
        assert pair.death.at < 0.5 + QUICK.detection

    run(main())


@both_orders
def test_a_full_send_buffer_does_not_stop_the_clock(io_first):
    """The peer reads nothing, its kernel answers, and our ping waits for room."""

    async def main():
        room = asyncio.Event()
        started = []

        async def ask(number):
            started.append(number)
            await room.wait()  # as ``drain`` of a full buffer does, for ever

        pair = Pair(ask=ask)
        with pytest.raises(PeerSilent):
            async with pair.guard:
                pair.link.freeze(Side.RIGHT)
                pair.left.write(b"." * 10_000_000)
                await asyncio.sleep(60)
        assert pair.left.get_write_buffer_size() == 0  # dropped with the verdict
        assert started == [1]
        return pair

    pair = run(main(), io_first=io_first)

    # What the window took before it closed was acknowledged, and counts as its
    # kernel's life, not as the peer's.
    assert pair.death.at <= QUICK.detection + SLACK + QUICK.timeout
    assert pair.death.reason is Reason.BACKPRESSURED
    assert pair.death.evidence.covered is False


def test_while_a_ping_waits_for_room_no_second_one_is_put_behind_it():
    async def main():
        started = []

        async def ask(number):
            started.append(number)
            await asyncio.Event().wait()

        pair = Pair(ask=ask)
        async with pair.guard:
            for _ in range(10):
                await asyncio.sleep(1.5)
                pair.right.write(b".")  # alive, just not answering that
        assert started == [1]
        assert "Died" not in pair.kinds

    run(main())


@pytest.mark.parametrize("towards", [Side.RIGHT, Side.LEFT])
def test_a_large_message_on_a_slow_link_is_no_death_and_the_death_behind_it_is(towards):
    async def main():
        pair = Pair(link=FakeLink(delay=0.05, bandwidth=MEGABIT))
        sender = {Side.RIGHT: pair.left, Side.LEFT: pair.right}[towards]
        taker = {Side.RIGHT: pair.far, Side.LEFT: pair.near}[towards]
        with pytest.raises(PeerSilent):
            async with pair.guard:
                sender.write(b"." * 10_000_000)
                await asyncio.sleep(60)
                assert taker.taken < 10_000_000, "the link is too fast"
                assert "Died" not in pair.kinds
                await asyncio.sleep(60)
                assert taker.taken >= 10_000_000
                assert pair.guard.state is State.ALIVE
                pair.link.cut()
                await asyncio.sleep(60)
        assert pair.was_found_in_time()

    run(main())


@both_orders
@pytest.mark.parametrize("delay", [0.1, 0.0])
@pytest.mark.parametrize("block", [1.5, 3.0])
@pytest.mark.parametrize("evidence", [True, False], ids=["kernel-tells", "it-does-not"])
def test_a_blocked_loop_accuses_nobody_alive_and_finds_the_dead(
    io_first, delay, block, evidence
):
    async def main():
        loop: Any = asyncio.get_running_loop()
        pairs = [Pair(link=FakeLink(delay=delay)) for _ in range(50)]
        for pair in pairs:
            if not evidence:
                pair.left._extra.pop("traffic")
            pair.guard.start()
        dying = pairs[::10]
        for instant in (1.05, 4.4, 9.0, 12.62, 16.0):
            await asyncio.sleep(instant - loop.time())
            loop.block(block)
        for pair in dying:
            pair.link.cut()
        await asyncio.sleep(1.05)
        loop.block(block)  # with the last questions open
        cut_at = loop.time()
        await asyncio.sleep(10)
        for pair in pairs:
            pair.guard.stop()
        return pairs, dying, cut_at

    pairs, dying, cut_at = run(main(), io_first=io_first)

    for pair in pairs:
        assert ("Died" in pair.kinds) == (pair in dying), pair.seen
    for pair in dying:
        # What the block cost is granted once, up to one more timeout.
        assert pair.death.at <= cut_at + QUICK.detection + SLACK
    if delay:  # otherwise no question was open in a block
        assert any("WatcherLate" in pair.kinds for pair in pairs)


def test_a_block_while_everything_is_read_accuses_nobody():
    """The answer comes late, and in the block between deadline and verdict."""

    async def main():
        loop: Any = asyncio.get_running_loop()
        for turns in range(6):
            pair = Pair(link=FakeLink(delay=0.1))
            pair.left._extra.pop("traffic")
            pair.guard.start()
            start = loop.time()
            await asyncio.sleep(0.9)
            pair.link.reshape(Shape(delay=0.5))

            def block_after(left, loop=loop):
                if left:
                    loop.call_soon(block_after, left - 1)
                else:
                    loop.block(3.0)

            # The question is due after 1 s, the answer comes a second later.
            loop.call_at(start + 1.5, block_after, turns)
            await asyncio.sleep(8)
            assert pair.guard.state is State.ALIVE, (turns, pair.seen)
            pair.guard.stop()

    run(main())


def test_while_we_do_not_read_only_the_kernel_may_accuse():
    async def main():
        pair = Pair()
        async with pair.guard:
            await asyncio.sleep(0.5)
            pair.left.pause_reading()
            await asyncio.sleep(30)
            assert "Died" not in pair.kinds
            pair.left.resume_reading()
            await asyncio.sleep(1)
            assert pair.guard.state is State.ALIVE
            pair.left.pause_reading()
            pair.link.cut()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(30)
            # The question itself is what the kernel repeats in vain.
            assert pair.death.evidence.unanswered >= QUICK.timeout

    with pytest.raises(PeerSilent):
        run(main())


def test_promised_beats_are_judged_without_a_question():
    async def main():
        pair = Pair(Heartbeat(interval=1.0, timeout=0.5, one_way=True))

        async def beat():
            while True:
                pair.right.write(b".")
                await asyncio.sleep(1.0)

        beating = asyncio.create_task(beat())
        with pytest.raises(PeerSilent):
            async with pair.guard:
                await asyncio.sleep(100)
                assert pair.kinds == ["Online"]
                pair.link.cut()
                await asyncio.sleep(100)
        beating.cancel()
        assert pair.was_found_in_time()
        assert pair.asked == []

    run(main())


def test_a_suspicion_is_taken_back_at_once():
    async def main():
        pair = Pair(Heartbeat(interval=1.0, timeout=2.0, suspect_after=0.1))
        pair.link.reshape(Shape(delay=0.25))
        async with pair.guard:
            await asyncio.sleep(5)
        assert pair.kinds[:3] == ["Online", "Suspected", "Recovered"]
        assert pair.seen[2].at == pytest.approx(1.5, abs=SLACK)
        assert pair.kinds.count("Suspected") == 1, "the margin has not adapted"

    run(main())


def test_a_close_that_waits_for_a_dead_peer_is_ended_with_it():
    """``close`` sends what is left first, and a peer that reads nothing never takes it."""

    async def main():
        pair = Pair()
        pair.guard.start()
        pair.link.freeze(Side.RIGHT)
        pair.left.write(b"." * 1_000_000)
        await asyncio.sleep(0.5)
        pair.left.close()
        verdict = await pair.guard.wait_dead()
        assert isinstance(verdict, PeerSilent)
        assert pair.asked == [], "nothing follows the last words"
        assert pair.death.at <= 2 * QUICK.detection

    run(main())


def test_ten_minutes_of_loss_kill_nobody_and_hide_nobody():
    async def main():
        heartbeat = Heartbeat(interval=2.0, timeout=2.0)
        pairs = [
            Pair(heartbeat, link=FakeLink(delay=0.05, loss=0.05)) for _ in range(20)
        ]
        for pair in pairs:
            pair.guard.start()
        await asyncio.sleep(600)
        assert [p for p in pairs if "Died" in p.kinds] == []
        for pair in pairs[:10]:
            pair.link.cut()
        await asyncio.sleep(10)
        for pair in pairs:
            pair.guard.stop()
        assert all(pair.was_found_in_time() for pair in pairs[:10])
        assert [p for p in pairs[10:] if "Died" in p.kinds] == []

    run(main())
