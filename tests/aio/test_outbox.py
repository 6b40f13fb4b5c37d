"""What waits to be sent: whole, in order, in turns, and never more than there is room."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.aio.outbox import LONGEST_RUN, Outbox
from deadpeer.errors import PeerClosed
from deadpeer.testing import run


class Line:
    """A transport that says when it is full: after so many writes."""

    def __init__(self, room=10**9):
        self.room = room
        self.written = []
        self.box = Outbox(self)

    def write(self, data):
        self.written.append(data)
        self.room -= 1
        if self.room <= 0:
            self.box.has_room = False

    def make_room(self, room):
        self.room = room
        self.box.has_room = True
        self.box.pump()


def frames(name, count):
    return iter([f"{name}{number}".encode() for number in range(count)])


def turns():
    return asyncio.sleep(0.001)  # of virtual time: every turn that is due


def test_a_message_goes_at_once_where_there_is_room():
    async def main():
        line = Line()
        await line.box.send(frames("a", 3))
        assert line.box.offer(frames("b", 1))
        assert line.written == [b"a0", b"a1", b"a2", b"b0"]
        assert line.box.is_clear

    run(main())


def test_a_message_that_has_begun_is_finished_and_one_that_has_not_is_not():
    async def main():
        line = Line(room=2)
        begun = asyncio.create_task(line.box.send(frames("a", 4)))
        waits = asyncio.create_task(line.box.send(frames("b", 2)))
        last = asyncio.create_task(line.box.send(frames("c", 1)))
        await turns()
        assert not line.box.offer(frames("d", 1))
        begun.cancel()
        waits.cancel()
        await turns()
        assert len(line.box) == 2
        line.make_room(100)
        await last
        assert line.written == [b"a0", b"a1", b"a2", b"a3", b"c0"]
        assert begun.cancelled()
        assert waits.cancelled()

    run(main())


def test_a_long_message_leaves_the_loop_its_turns():
    async def main():
        line = Line()
        sending = asyncio.create_task(line.box.send(frames("a", 10 * LONGEST_RUN)))
        seen = set()
        while not sending.done():
            await asyncio.sleep(0)
            seen.add(len(line.written))
        assert len(seen) >= 10
        assert len(line.written) == 10 * LONGEST_RUN

    run(main())


def test_a_callback_that_offers_many_is_not_refused_for_its_number():
    async def main():
        line = Line()
        assert all(line.box.offer(frames("a", 1)) for _ in range(10 * LONGEST_RUN))

    run(main())


def test_the_last_frame_comes_behind_what_waits_and_nothing_after_it():
    async def main():
        line = Line(room=1)
        sending = asyncio.create_task(line.box.send(frames("a", 2)))
        await turns()
        line.box.finish(b"bye")
        assert not line.box.offer(frames("b", 1))
        line.make_room(100)
        await sending
        assert line.written == [b"a0", b"a1", b"bye"]

    run(main())


def test_who_waits_is_told_why_nothing_more_is_sent():
    async def main():
        line = Line(room=1)
        sending = [
            asyncio.create_task(line.box.send(frames(name, 2))) for name in "abc"
        ]
        await turns()
        line.box.fail(PeerClosed("over"))
        for task in sending:
            with pytest.raises(PeerClosed, match="over"):
                await task
        line.make_room(100)
        assert line.written == [b"a0"]
        assert not line.box.offer(frames("d", 1))

    run(main())


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=10),
    rooms=st.lists(st.integers(1, 30), max_size=40),
)
def test_however_room_comes_each_message_is_whole_and_in_its_place(sizes, rooms):
    async def main():
        line = Line(room=1)
        sending = [
            asyncio.create_task(line.box.send(frames(f"{number}.", size)))
            for number, size in enumerate(sizes)
        ]
        for room in [*rooms, 10**9]:
            await turns()
            line.make_room(room)
        await asyncio.gather(*sending)
        expected = [f for n, size in enumerate(sizes) for f in frames(f"{n}.", size)]
        assert line.written == expected

    run(main())
