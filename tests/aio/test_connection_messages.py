"""Messages between two connections: whole, in order, both ways at once, in bounds."""

# ruff: noqa: PT012 - the loop around a call is the one statement
# ruff: noqa: ASYNC110 - until a buffer is full, of which nobody tells

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.aio.worlds import VIRTUAL, in_every_world, on_real_loops, settings_of

from deadpeer.core.limits import Limits
from deadpeer.core.states import State
from deadpeer.errors import (
    LocalProtocolError,
    PeerClosed,
)
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.testing import FakeLink

SIZES = (0, 1, 2, 125, 126, 16383, 16384, 16385, 65536, 100_000, 1 << 20)
HIGH = 64 * 1024  # bytes of unread messages at which reading pauses
# What asyncio and uvloop read at once, and one message that is being put together.
AT_ONCE = 256 * 1024
MEGABIT = 125_000.0  # bytes a second


def message(number, size):
    return bytes([number % 256]) * size


@in_every_world
def test_messages_of_all_sizes_go_both_ways_at_once(world):
    async def main():
        near, far, _ = await world.couple()

        async def sends(peer):
            for number, size in enumerate(SIZES):
                await peer.send(message(number, size))

        async def receives(peer):
            return [await peer.recv() for _ in SIZES]

        expected = [message(number, size) for number, size in enumerate(SIZES)]
        _, _, *received = await asyncio.gather(
            sends(near), sends(far), receives(near), receives(far)
        )
        assert received == [expected, expected]
        await near.close()
        await far.close()

    world.run(main())


@in_every_world
def test_what_was_sent_before_a_close_arrives_whatever_the_other_side_sends(world):
    """A socket that is closed with something unread resets the connection."""

    async def main():
        near, far, _ = await world.couple()
        last = message(7, 1 << 20)

        async def chatters():
            with pytest.raises(PeerClosed):
                while True:
                    await far.send(b"." * 10_000)

        async def reads():
            received = [got async for got in far]
            assert received == [b"first", last]

        reading = asyncio.gather(chatters(), reads())
        await near.send(b"first")
        await near.send(last)
        await near.close(within=10)
        await reading

    world.run(main())


@in_every_world
def test_messages_of_many_tasks_are_never_mixed(world):
    async def main():
        near, far, _ = await world.couple()
        rounds = range(5)

        async def sends(number):
            for _ in rounds:
                await near.send(message(number, 40_000 + number))

        sending = asyncio.gather(*(sends(number) for number in range(8)))
        got = [await far.recv() for _ in rounds for _ in range(8)]
        await sending
        assert sorted(got) == sorted(message(n, 40_000 + n) for n in [*range(8)] * 5)
        await near.close()

    world.run(main())


@in_every_world
def test_a_fast_sender_waits_for_a_reader_that_reads_nothing(world):
    async def main():
        # Patient: what is shown here is the bound, not a death.
        slow = settings_of(Heartbeat(interval=1000, timeout=1000))
        near, far, _ = await world.couple(slow, slow)
        sent = 0

        async def sends():
            nonlocal sent
            while True:
                await near.send(message(sent, 10_000))
                sent += 1

        sending = asyncio.create_task(sends())
        while near.stats().unsent_messages == 0 or not far.stats().reading_paused:
            await asyncio.sleep(0.01)
        while True:  # until it has come to rest
            before = sent
            await asyncio.sleep(0.1)
            if sent == before:
                break
        assert not near.send_nowait(b"no room")
        here, there = near.stats(), far.stats()
        assert here.unsent_messages == 1
        assert here.unsent_bytes <= 2 * 16_387
        assert there.unread_messages * 10_000 <= HIGH + AT_ONCE
        # It goes on where it stopped, and nothing is lost.
        for number in range(sent):
            assert await far.recv() == message(number, 10_000)
        sending.cancel()
        closing = asyncio.create_task(near.close())
        async for _ in far:
            pass
        await closing

    world.run(main())


@in_every_world
def test_a_program_that_reads_nothing_for_long_lives_as_long_as_its_loop(world):
    async def main():
        quick = settings_of(Heartbeat(interval=0.3, timeout=0.4))
        # No more than this is taken, so there is no room for an answer either.
        narrow = (
            FakeLink(delay=0.01, receive_buffer=1 << 14) if world.is_virtual else None
        )
        near, far, _ = await world.couple(quick, quick, link=narrow)

        async def sends():
            while True:
                await near.send(bytes(10_000))

        sending = asyncio.create_task(sends())
        await asyncio.sleep(2.5)
        assert far.stats().reading_paused
        assert near.error is None
        assert far.error is None
        sending.cancel()
        near.abort()
        far.abort()
        await near.wait_closed()
        await far.wait_closed()

    world.run(main())


@pytest.mark.parametrize("rare", [2.0, 20.0])
def test_a_consumer_that_is_busy_for_a_minute_says_that_it_lives(rare):
    """Its own question may be due long after the answer that it does not give."""

    async def main():
        near, far, _ = await VIRTUAL.couple(
            settings_of(Heartbeat(interval=2.0, timeout=1.0)),
            settings_of(Heartbeat(interval=rare, timeout=1.0)),
        )
        for round_ in range(3):
            await asyncio.sleep(1.0 + round_ / 3)
            for _ in range(70):
                await near.send(bytes(1000))
            await asyncio.sleep(60)
            assert far.stats().reading_paused
            assert near.error is None
            for _ in range(70):
                await far.recv()
        await asyncio.sleep(60)
        assert near.state is far.state is State.ALIVE
        await near.close()

    VIRTUAL.run(main())


@in_every_world
def test_thousands_of_empty_messages_are_bounded_and_taken_quickly(world):
    async def main():
        near, far, _ = await world.couple()
        count = 10_000

        async def sends():
            for _ in range(count):
                await near.send(b"")

        sending = asyncio.create_task(sends())
        most = 0
        for _ in range(count):
            assert await far.recv() == b""
            most = max(most, far.stats().unread_messages)
        await sending
        assert most <= (HIGH + 64) // 64 + AT_ONCE // 3
        await near.close()

    world.run(main())


def test_who_sends_without_end_leaves_the_loop_its_turns():
    async def main():
        taken = []
        far_end = settings_of(on_message=lambda _, got: taken.append(got))
        near, _, _ = await VIRTUAL.couple(None, far_end)
        turns = asyncio.create_task(count_turns())
        for _ in range(1600):
            await near.send(b"")
        turns.cancel()
        assert await turns >= 90
        await near.close()
        assert len(taken) == 1600

    VIRTUAL.run(main())


async def count_turns():
    turns = 0
    try:
        while True:
            await asyncio.sleep(0)
            turns += 1
    except asyncio.CancelledError:
        return turns


@on_real_loops
def test_timers_and_answers_come_while_somebody_sends_without_end(world):
    async def main():
        near, far, _ = await world.couple(None, settings_of(on_message=lambda *_: 0))
        rang = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, rang.set)
        while not rang.is_set():
            await near.send(b"")
        await far.send(b"to you")
        answer = asyncio.create_task(near.recv())
        while not answer.done():
            await near.send(b"")
        assert answer.result() == b"to you"
        await near.close()

    world.run(main())


def test_heartbeats_pass_between_the_fragments_of_a_large_message():
    async def main():
        link = FakeLink(delay=0.05, bandwidth=MEGABIT, send_buffer=1 << 15)
        limits = Limits(largest_message=10_000_000)
        near, far, _ = await VIRTUAL.couple(
            settings_of(limits=limits), settings_of(limits=limits), link=link
        )
        seen = [near.changes(), far.changes()]
        sending = asyncio.create_task(near.send(bytes(10_000_000)))
        receiving = asyncio.create_task(far.recv())
        await asyncio.sleep(40)
        assert not receiving.done(), "the link is too fast"
        # Nothing but heartbeats goes the other way, and each was answered.
        assert near.rtt is not None
        assert near.rtt.last < 1.0
        assert len(await receiving) == 10_000_000
        await sending
        assert near.state is far.state is State.ALIVE
        await near.close()
        for changes in seen:
            assert [type(c).__name__ async for c in changes] == ["Closed"]

    VIRTUAL.run(main())


@in_every_world
def test_two_readers_are_refused_and_the_first_gets_the_message(world):
    async def main():
        near, far, _ = await world.couple()
        first = asyncio.create_task(far.recv())
        await asyncio.sleep(0)
        with pytest.raises(LocalProtocolError, match="two tasks") as caught:
            await far.recv()
        assert caught.value.breach == "two-readers"
        await near.send(b"one")
        assert await first == b"one"
        await near.close()

    world.run(main())


@settings(max_examples=40)
@given(data=st.data())
def test_cancelled_anywhere_nothing_is_lost_and_order_is_kept(data):  # noqa: C901
    """Whose send was begun arrives whole; whose was not, not at all; in order."""
    seed = data.draw(st.integers(0, 2**16), label="seed")
    cancels = data.draw(
        st.lists(st.tuples(st.integers(0, 11), st.integers(0, 400)), max_size=12),
        label="which task is cancelled, after how many turns",
    )
    chance = random.Random(seed)  # noqa: S311

    async def main():
        link = FakeLink(delay=0.01, bandwidth=4e6, send_buffer=20_000)
        patient = settings_of(Heartbeat(interval=60, timeout=60))
        near, far, _ = await VIRTUAL.couple(patient, patient, link=link)
        finished, cancelled, received = [], [], []

        async def sends(number):
            for part in range(4):
                size = chance.choice((0, 10, 16_384, 50_000, 200_000))
                text = b"%d.%d." % (number, part) + bytes(size)
                try:
                    await near.send(text)
                except asyncio.CancelledError:
                    cancelled.append(text)
                    raise
                finished.append(text)

        async def receives():
            while True:
                received.append(await far.recv())

        senders = [asyncio.create_task(sends(number)) for number in range(6)]
        reader = asyncio.create_task(receives())
        turn = 0
        for which, after in sorted(cancels, key=lambda pair: pair[1]):
            while turn < after:
                await asyncio.sleep(0 if chance.random() < 0.8 else 0.005)
                turn += 1
            if which < len(senders):
                senders[which].cancel()
            else:
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)
                reader = asyncio.create_task(receives())
        await asyncio.gather(*senders, return_exceptions=True)
        await near.close(within=50)
        with pytest.raises(PeerClosed):
            await reader
        assert set(finished) <= set(received)
        assert set(received) - set(finished) <= set(cancelled)
        assert len(received) == len(set(received))
        for number in range(6):
            parts = [got for got in received if got.startswith(b"%d." % number)]
            assert parts == sorted(parts, key=lambda got: got[2:3])

    VIRTUAL.run(main())
