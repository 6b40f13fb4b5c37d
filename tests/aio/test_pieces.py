"""A read of very many messages: taken in turns, in order, and nothing of it is lost."""

import asyncio

import pytest
from tests.aio.worlds import in_every_world, settings_of

from deadpeer.aio.peer_protocol import PIECE, RUN
from deadpeer.errors import PeerClosed
from deadpeer.policy.heartbeat import Heartbeat

MANY = 60_000
# So many messages of three bytes are one piece.
LONGEST_RUN = RUN + PIECE // 3
PATIENT = Heartbeat(interval=60, timeout=60)


def numbered(count=MANY):
    """Return messages that are their own numbers, as they are on the wire."""
    return b"".join(b"\x41\x00\x03" + number.to_bytes(3) for number in range(count))


def numbers(messages):
    return [int.from_bytes(message) for message in messages]


class Counting:
    """Takes messages, and counts how many come before the loop has a turn."""

    def __init__(self):
        self.taken = []
        self.longest = self.run = 0
        self.all_here = asyncio.Event()

    def take(self, _, message):
        if self.run == 0:
            asyncio.get_running_loop().call_soon(self.turn)
        self.run += 1
        self.taken.append(message)
        if len(self.taken) == MANY:
            self.all_here.set()

    def turn(self):
        self.longest, self.run = max(self.longest, self.run), 0


@in_every_world
def test_the_loop_has_its_turns_between_them(world):
    async def main():
        counting = Counting()
        told = settings_of(PATIENT, on_message=counting.take)
        near, _, _ = await world.couple(settings_of(PATIENT), told)
        near.transport.write(numbered())
        await counting.all_here.wait()
        assert numbers(counting.taken) == list(range(MANY))
        # One from reading and one that went on, before other callbacks had theirs.
        assert counting.longest <= 2 * LONGEST_RUN
        await near.close()

    world.run(main())


@in_every_world
def test_a_reader_that_is_slow_gets_all_in_order_and_a_bound_holds(world):
    async def main():
        near, far, _ = await world.couple(settings_of(PATIENT), settings_of(PATIENT))
        near.transport.write(numbered())
        got: list[bytes] = []
        while len(got) < MANY:
            got.append(await far.recv())
            if len(got) % 5000 == 0:
                for _ in range(50):
                    await asyncio.sleep(0)
                stats = far.stats()
                assert stats.unread_messages <= (64 + 256) * 1024 // 6
        assert numbers(got) == list(range(MANY))
        await near.close()

    world.run(main())


@in_every_world
@pytest.mark.parametrize("goodbye", [b"", b"\x50\x00\x00"], ids=["abrupt", "polite"])
def test_what_came_before_the_end_is_had_before_the_end(world, goodbye):
    async def main():
        near, far, _ = await world.couple(settings_of(PATIENT), settings_of(PATIENT))
        near.transport.write(numbered(20_000) + goodbye)
        near.transport.close()
        got = []
        with pytest.raises(PeerClosed):  # noqa: PT012 - the loop is the statement
            while True:
                got.append(await far.recv())
        assert numbers(got) == list(range(20_000))
        assert far.error.reason == ("done" if goodbye else "no-goodbye")
        await near.wait_closed()
        await far.wait_closed()

    world.run(main())


@in_every_world
def test_who_leaves_in_between_is_told_no_more(world):
    async def main():
        taken = []

        def leaves(peer, got):
            taken.append(got)
            if len(taken) == 10:
                peer.abort()

        told = settings_of(PATIENT, on_message=leaves)
        near, far, _ = await world.couple(settings_of(PATIENT), told)
        near.transport.write(numbered())
        await far.wait_closed()
        await near.wait_closed()
        assert len(taken) == 10

    world.run(main())


@in_every_world
def test_nonsense_behind_them_ends_the_connection_once(world):
    async def main():
        taken = []
        told = settings_of(PATIENT, on_message=lambda _, got: taken.append(got))
        near, far, _ = await world.couple(settings_of(PATIENT), told)
        near.transport.write(numbered(3000) + b"\xff" + numbered(3000))
        await far.wait_closed()
        assert numbers(taken) == list(range(3000))
        assert far.error.breach == "unknown-frame"
        with pytest.raises(PeerClosed, match="protocol-violated"):
            await near.recv()
        await near.wait_closed()

    world.run(main())
