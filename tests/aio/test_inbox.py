"""Messages that wait to be read: in order, counted, and never more than agreed."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.aio.inbox import OVERHEAD, Inbox
from deadpeer.errors import LocalProtocolError
from deadpeer.testing import run

HIGH = 1000


class Line:
    """A transport of which only reading is known."""

    def __init__(self):
        self.reading = True

    def is_closing(self):
        return False

    def pause_reading(self):
        assert self.reading
        self.reading = False

    def resume_reading(self):
        assert not self.reading
        self.reading = True


@given(steps=st.lists(st.none() | st.integers(0, 600), max_size=300))
def test_messages_come_out_as_they_went_in_and_reading_follows_their_size(steps):
    inbox, line, waiting = Inbox(HIGH), Line(), []
    for number, size in enumerate(steps):
        if size is not None:
            waiting.append(b"%d." % number + bytes(size))
            inbox.put(waiting[-1], line)
        elif waiting:
            message, resumed = inbox.take(line)
            assert message == waiting.pop(0)
            assert not resumed or line.reading
        held = sum(len(message) + OVERHEAD for message in waiting)
        assert len(inbox) == len(waiting)
        assert inbox.paused is not line.reading
        assert line.reading or held > HIGH // 2
        assert held <= HIGH or not line.reading


@given(steps=st.lists(st.sampled_from(["put", "take", "hold", "piece"]), max_size=300))
def test_nothing_is_read_while_something_waits_that_was_read_before(steps):
    inbox, line, held, waiting = Inbox(HIGH), Line(), b"", 0
    for number, step in enumerate(steps):
        if step == "put":
            inbox.put(bytes(100), line)
            waiting += 1
        elif step == "take" and waiting:
            inbox.take(line)
            waiting -= 1
        elif step == "hold":
            inbox.hold(b"%d" % number)
            held += b"%d" % number
        elif step == "piece":
            assert inbox.piece(3) == held[:3]
            held = held[3:]
        assert inbox.regulate(line) is bool(held)
        assert line.reading is not (inbox.paused or bool(held))
    inbox.drop()
    assert not inbox.regulate(line)
    assert line.reading is not inbox.paused


def test_ten_thousand_are_taken_one_by_one_and_what_was_read_is_let_go():
    inbox, line = Inbox(1 << 30), Line()
    for number in range(10_000):
        inbox.put(b"%d" % number, line)
    for number in range(10_000):
        assert inbox.take(line)[0] == b"%d" % number
        assert len(inbox._messages) <= 2 * len(inbox) + 65
    assert inbox._messages == []


def test_a_second_reader_is_refused_and_the_first_one_stays():
    async def main():
        inbox = Inbox(HIGH)
        first = asyncio.ensure_future(inbox.wait())
        await asyncio.sleep(0)
        with pytest.raises(LocalProtocolError, match="two tasks"):
            await inbox.wait()
        inbox.wake()
        inbox.wake()
        await first

    run(main())


def test_who_stops_waiting_leaves_the_place_to_the_next():
    async def main():
        inbox, line = Inbox(HIGH), Line()
        first = asyncio.ensure_future(inbox.wait())
        await asyncio.sleep(0)
        inbox.put(b"news", line)
        first.cancel()  # in the same turn in which it was woken
        await asyncio.gather(first, return_exceptions=True)
        assert inbox.take(line) == (b"news", False)
        second = asyncio.ensure_future(inbox.wait())
        await asyncio.sleep(0)
        inbox.wake()
        await second

    run(main())
