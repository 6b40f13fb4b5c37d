"""Closing: nothing is lost, every wait has its bound, and nothing is left."""

import asyncio
import gc
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.aio.worlds import (
    QUICK,
    SLACK,
    VIRTUAL,
    in_every_world,
    on_real_loops,
    settings_of,
    socket_pair,
)

from deadpeer.aio.connection import Connection
from deadpeer.core.conversation import Conversation
from deadpeer.core.frames import Farewell
from deadpeer.core.hello import Hello
from deadpeer.core.limits import Limits
from deadpeer.core.states import State
from deadpeer.errors import (
    ConfigError,
    LocalProtocolError,
    PeerClosed,
    PeerDead,
    PeerSilent,
)
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.testing import FakeLink, Side


def greeting(hello=None):
    """Return what a peer says that knows our protocol."""
    return Conversation(hello or Hello(), Limits(), now=0.0).greeting()


@pytest.mark.parametrize("waiting", [0, 1_000_000])
def test_close_returns_at_once_from_a_dead_peer_whatever_waits(waiting):
    async def main():
        loop = asyncio.get_running_loop()
        near, _, link = await VIRTUAL.couple()
        link.freeze(Side.RIGHT)
        sending = asyncio.create_task(near.send(bytes(waiting)))
        verdict = await near.wait_dead()
        assert verdict
        before = loop.time()
        await near.close()
        assert loop.time() == before
        if waiting:
            with pytest.raises(PeerDead):
                await sending
        else:
            await sending
        link.thaw(Side.RIGHT)

    VIRTUAL.run(main())


@pytest.mark.parametrize("within", [None, 0.25, 0])
@pytest.mark.parametrize("waiting", [0, 1_000_000])
def test_close_returns_in_its_bound_from_a_peer_that_is_silently_gone(within, waiting):
    async def main():
        loop = asyncio.get_running_loop()
        near, _, link = await VIRTUAL.couple()
        link.cut()
        sending = asyncio.create_task(near.send(bytes(waiting)))
        await asyncio.sleep(0)
        before = loop.time()
        await near.close(within=within)
        bound = QUICK.timeout if within is None else within
        assert loop.time() - before == pytest.approx(bound)
        if waiting:
            with pytest.raises(PeerClosed):
                await sending
        await asyncio.gather(sending, return_exceptions=True)

    VIRTUAL.run(main())


def test_a_suspect_is_not_waited_for():
    async def main():
        loop = asyncio.get_running_loop()
        near, _, link = await VIRTUAL.couple()
        link.cut()
        changes = near.changes()
        await anext(changes)
        assert near.state is State.SUSPECT
        before = loop.time()
        await near.close()
        assert loop.time() == before

    VIRTUAL.run(main())


@in_every_world
def test_two_closes_at_once_are_one_and_lose_nothing(world):
    async def main():
        near, far, _ = await world.couple()
        sending = asyncio.create_task(near.send(bytes(1 << 20)))
        await asyncio.sleep(0)
        reading = asyncio.create_task(far.recv())
        await asyncio.gather(near.close(), near.close(), near.close())
        assert len(await reading) == 1 << 20
        await sending
        await near.close()
        await far.close()

    world.run(main())


@in_every_world
def test_both_ends_may_say_goodbye_at_once(world):
    async def main():
        near, far, _ = await world.couple()
        await asyncio.gather(near.close(), far.close(Farewell.OVERLOADED))
        assert near.state is far.state is State.CLOSED

    world.run(main())


@pytest.mark.parametrize("wrong", [-1, float("nan"), "1"], ids=repr)
def test_a_close_with_a_bad_bound_changes_nothing(wrong):
    async def main():
        near, far, _ = await VIRTUAL.couple()
        with pytest.raises(ConfigError, match="within"):
            await near.close(within=wrong)
        with pytest.raises(LocalProtocolError, match="reason 256"):
            await near.close(256)
        assert near.state is State.ALIVE
        await near.send(b"still here")
        assert await far.recv() == b"still here"
        await near.close()

    VIRTUAL.run(main())


@pytest.mark.parametrize("wrong", [("bye",), (None,), (True,), (0, 5)], ids=repr)
def test_words_in_the_place_of_the_reason_are_told_where_they_belong(wrong):
    async def main():
        near, far, link = await VIRTUAL.couple()
        with pytest.raises(LocalProtocolError) as refused:
            await near.close(*wrong)
        assert "text=" in refused.value.hint
        assert near.state is State.ALIVE
        changes = near.changes()
        link.cut()
        await anext(changes)
        with pytest.raises(LocalProtocolError):
            await near.close(*wrong)
        assert str(near.state) == State.SUSPECT
        await near.close()
        await far.wait_dead()

    VIRTUAL.run(main())


def test_a_peer_that_closes_meanwhile_but_never_reads_cannot_hold_us():
    """It says goodbye, and our last word finds no room."""

    async def main():
        loop = asyncio.get_running_loop()
        link = FakeLink(delay=0.01, receive_buffer=4096, send_buffer=4096)
        near, _, _ = await VIRTUAL.couple(link=link)
        link.freeze(Side.RIGHT)
        sending = asyncio.create_task(near.send(bytes(500_000)))
        await asyncio.sleep(0.1)
        near.data_received(b"\x50\x00\x00")
        before = loop.time()
        await near.wait_closed()
        assert loop.time() == before
        with pytest.raises(PeerClosed):
            await sending
        link.thaw(Side.RIGHT)

    VIRTUAL.run(main())


def test_last_words_that_nobody_takes_are_cut_off_in_time():
    """A kernel that is full, a transport that has room: close would wait for ever."""

    async def main():
        loop = asyncio.get_running_loop()
        link = FakeLink(delay=0.01, receive_buffer=4096, send_buffer=4096)
        near, _, _ = await VIRTUAL.couple(link=link)
        link.freeze(Side.RIGHT)
        await near.send(bytes(15_000))  # the rest fits into user space
        near.data_received(b"\xff")
        before = loop.time()
        await near.wait_closed()
        assert loop.time() - before <= QUICK.timeout + SLACK
        link.thaw(Side.RIGHT)

    VIRTUAL.run(main())


@on_real_loops
def test_nothing_is_left_of_a_closed_connection(world):
    async def main():
        near, far, _ = await world.couple()
        await near.send(b"x")
        await far.recv()
        await near.close()
        await far.wait_closed()
        left = weakref.ref(near), weakref.ref(far)
        del near, far
        # The transports let go of their protocols in a later turn.
        for _ in range(3):
            await asyncio.sleep(0)
        gc.collect()
        assert [ref() for ref in left] == [None, None]

    world.run(main())


@on_real_loops
def test_nothing_is_left_of_a_dead_connection(world):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket_pair()
        quick = settings_of(Heartbeat(interval=0.1, timeout=0.1))
        theirs.send(greeting(Hello(time_to_live=0.1)))
        _, near = await loop.create_connection(lambda: Connection(quick), sock=ours)
        assert isinstance(await near.wait_dead(), PeerSilent)
        left = weakref.ref(near)
        del near, ours
        for _ in range(3):
            await asyncio.sleep(0)
        gc.collect()
        assert left() is None
        theirs.close()

    world.run(main())


@settings(max_examples=40)
@given(
    turns=st.integers(1, 12),
    fault=st.sampled_from(["none", "cut", "freeze", "reset"]),
    waiting=st.sampled_from([0, 10, 300_000]),
)
def test_a_close_that_is_cancelled_anywhere_leaves_nothing(turns, fault, waiting):
    async def main():
        loop = asyncio.get_running_loop()
        near, far, link = await VIRTUAL.couple()
        sending = asyncio.create_task(near.send(bytes(waiting)))
        await asyncio.sleep(0)
        {
            "none": lambda: None,
            "cut": link.cut,
            "freeze": lambda: link.freeze(Side.RIGHT),
            "reset": link.reset,
        }[fault]()
        closing = asyncio.create_task(near.close())
        for _ in range(turns):
            await asyncio.sleep(0)
        closing.cancel()
        before = loop.time()
        await asyncio.gather(closing, return_exceptions=True)
        await near.wait_closed()
        assert loop.time() - before < 0.01
        await asyncio.gather(sending, return_exceptions=True)
        link.thaw(Side.RIGHT)
        far.abort()
        await far.wait_closed()

    VIRTUAL.run(main())
