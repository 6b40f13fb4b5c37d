"""How a connection ends: deaths in their bound, goodbyes, closes, and what is left."""

# ruff: noqa: PT012 - the loop around a call is the one statement

import asyncio
import socket
import sys
from typing import Any

import pytest
from tests.aio.worlds import (
    QUICK,
    SLACK,
    VIRTUAL,
    agreed,
    in_every_world,
    on_real_loops,
    settings_of,
    socket_pair,
)

from deadpeer.aio.connection import Connection
from deadpeer.core.conversation import Conversation
from deadpeer.core.events import Died, Reason
from deadpeer.core.hello import Hello
from deadpeer.core.limits import Limits
from deadpeer.core.states import State
from deadpeer.errors import (
    PeerClosed,
    PeerReset,
    PeerSilent,
)
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.testing import FakeLink, Side

linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads Linux's TCP_INFO"
)

FAULTS = {
    "the cable is cut": lambda link: link.cut(),
    "what we send is lost": lambda link: link.cut(towards=Side.RIGHT),
    "what it sends is lost": lambda link: link.cut(towards=Side.LEFT),
    "its program is stopped": lambda link: link.freeze(Side.RIGHT),
}


def greeting(hello=None):
    """Return what a peer says that knows our protocol."""
    return Conversation(hello or Hello(), Limits(), now=0.0).greeting()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("after", [0.0, 0.5, 1.005, 1.03, 9.3])
def test_a_silent_death_is_told_to_a_reader_within_the_promise(fault, after):
    async def main():
        loop = asyncio.get_running_loop()
        # The far end asks so rarely that it is this end which finds out.
        rare = settings_of(Heartbeat(interval=30.0, timeout=1.0))
        near, _, link = await VIRTUAL.couple(None, rare)
        await asyncio.sleep(after)
        FAULTS[fault](link)
        cut_at = loop.time()
        with pytest.raises(PeerSilent) as caught:
            await near.recv()
        took = loop.time() - cut_at
        assert took <= QUICK.detection + SLACK
        evidence = caught.value.evidence
        assert evidence.silence <= QUICK.detection + SLACK
        assert near.state is State.DEAD
        for _ in range(2):  # and so it stays
            with pytest.raises(PeerSilent) as again:
                await near.recv()
            assert again.value is caught.value
            with pytest.raises(PeerSilent):
                await near.send(b"?")
            with pytest.raises(PeerSilent):
                near.send_nowait(b"?")
        link.thaw(Side.RIGHT)

    VIRTUAL.run(main())


@on_real_loops
def test_a_peer_that_falls_silent_is_found_on_real_sockets(world):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket_pair()
        quick = settings_of(Heartbeat(interval=0.2, timeout=0.2))
        theirs.setblocking(True)  # noqa: FBT003
        theirs.sendall(greeting(Hello(time_to_live=0.1)))
        began = loop.time()
        _, near = await loop.create_connection(lambda: Connection(quick), sock=ours)
        with pytest.raises(PeerSilent):
            await near.recv()
        assert 0.4 <= loop.time() - began <= 0.4 + 10 * SLACK  # the machine is shared
        await near.close()
        theirs.close()

    world.run(main())


def test_a_reader_gets_what_arrived_before_the_death():
    async def main():
        near, far, link = await VIRTUAL.couple()
        for number in range(3):
            await far.send(bytes([number]))
        await asyncio.sleep(0.1)
        link.cut()
        assert isinstance(await near.wait_dead(), PeerSilent)
        assert [await near.recv() for _ in range(3)] == [b"\0", b"\1", b"\2"]
        with pytest.raises(PeerSilent):
            async for _ in near:
                pytest.fail("there is no more")
        assert await far.wait_dead()

    VIRTUAL.run(main())


@in_every_world
def test_iteration_ends_at_a_goodbye_which_says_why(world):
    async def main():
        near, far, _ = await world.couple()
        seen = near.changes()
        await far.send(b"last")
        await far.close(200, "so long")
        assert [got async for got in near] == [b"last"]
        assert [got async for got in near] == []
        with pytest.raises(PeerClosed, match="so long") as caught:
            await near.recv()
        assert caught.value.reason == "application-200"
        assert near.error is caught.value
        assert near.state is far.state is State.CLOSED
        assert [(type(c).__name__, c.reason) async for c in seen] == [
            ("Closed", "application-200")
        ]
        with pytest.raises(PeerClosed, match="this end said goodbye"):
            await far.send(b"more")
        assert await near.wait_dead() is None

    world.run(main())


@on_real_loops
def test_a_killed_peer_is_an_end_without_a_goodbye(world):
    async def main():
        near, far, _ = await world.couple()
        far.transport.abort()  # what a kernel does for a killed program
        with pytest.raises(PeerClosed) as caught:
            await near.recv()
        assert caught.value.reason == "no-goodbye"
        await near.wait_closed()
        await far.wait_closed()

    world.run(main())


@on_real_loops
@pytest.mark.parametrize("reading", [True, False])
def test_a_reset_is_a_verdict(world, reading):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket_pair()
        theirs.setblocking(True)  # noqa: FBT003
        theirs.sendall(greeting())
        _, near = await loop.create_connection(
            lambda: Connection(settings_of()), sock=ours
        )
        changes = near.changes()
        await agreed(near)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        theirs.close()
        with pytest.raises(PeerReset):
            if reading:
                await near.recv()
            else:
                while True:
                    await near.send(b"?" * 1000)
        assert near.state is State.DEAD
        kinds = [change async for change in changes if isinstance(change, Died)]
        assert [died.reason for died in kinds] == [Reason.RESET]
        await near.close()

    world.run(main())


@linux
@on_real_loops
def test_a_reset_is_found_while_reading_is_paused_and_what_had_come_is_kept(world):
    async def main():
        quick = settings_of(Heartbeat(interval=0.2, timeout=0.3))
        near, far, _ = await world.couple(quick)
        for number in range(20):
            await far.send(bytes([number]) * 10_000)
        while not near.stats().reading_paused or not near.evidence().asked_at:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        far.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
        )
        far.transport.abort()
        assert isinstance(await near.wait_dead(), PeerReset)
        got = [await near.recv() for _ in range(20)]
        assert got == [bytes([number]) * 10_000 for number in range(20)]
        with pytest.raises(PeerReset):
            await near.recv()
        await far.wait_closed()

    world.run(main())


def test_a_machine_that_came_back_without_its_state_is_a_reset():
    async def main():
        near, _, link = await VIRTUAL.couple()
        link.reboot(Side.RIGHT)
        with pytest.raises(PeerReset):
            await near.recv()
        link.thaw(Side.RIGHT)

    VIRTUAL.run(main())


def test_a_peer_that_only_writes_does_not_fill_our_memory():
    """Each of its pings asks for an answer that it never takes."""

    async def main():
        link = FakeLink(receive_buffer=4096, send_buffer=4096)
        patient = Heartbeat(interval=5, timeout=2000)
        limits = Limits(heartbeat_gap=0.01, longest_patience=3000)
        loop = asyncio.get_running_loop()
        peer = asyncio.Protocol()
        near_end, far_end = link.connect(
            lambda: Connection(settings_of(patient, limits=limits)), lambda: peer
        )
        near: Any = near_end.get_protocol()
        far_end.pause_reading()
        await asyncio.sleep(0)
        far_end.write(greeting())
        await agreed(near)
        near.send_nowait(bytes(30_000))
        before = near.stats().unsent_bytes
        for number in range(10_000):
            far_end.write(bytes([0x20, number >> 8 & 255, number & 255]))
            await asyncio.sleep(0.02)
        assert near.state is State.ALIVE
        assert near.stats().unsent_bytes <= before + 300
        assert loop.time() > 150
        near.abort()
        far_end.abort()
        await near.wait_closed()

    VIRTUAL.run(main())


def test_one_way_beats_the_quiet_side_dies_in_its_bound_and_the_live_one_lives():
    async def main():
        loop = asyncio.get_running_loop()
        beats = settings_of(Heartbeat(interval=1.0, timeout=0.5, one_way=True))
        near, far, link = await VIRTUAL.couple(beats, beats)
        assert near.heartbeat.one_way
        await asyncio.sleep(100)
        assert near.state is far.state is State.ALIVE
        assert near.rtt is None  # nobody was asked
        link.cut()
        cut_at = loop.time()
        assert await near.wait_dead()
        assert loop.time() - cut_at <= 1.5 + SLACK
        await far.wait_dead()

    VIRTUAL.run(main())


def test_each_end_judges_by_what_the_other_announced():
    async def main():
        loop = asyncio.get_running_loop()
        patient = settings_of(Heartbeat(interval=2.0, timeout=6.0))
        near, far, link = await VIRTUAL.couple(settings_of(), patient)
        # The far end asked to be waited for 6 s of silence, the near one for 1 s.
        assert near.heartbeat == Heartbeat(interval=1.0, timeout=5.0)
        assert far.heartbeat == Heartbeat(interval=2.0, timeout=6.0)
        link.cut()
        cut_at = loop.time()
        await near.wait_dead()
        assert 5.0 <= loop.time() - cut_at <= 6.0 + SLACK
        await far.wait_dead()
        assert 6.0 <= loop.time() - cut_at <= 8.0 + SLACK

    VIRTUAL.run(main())


@pytest.mark.parametrize("block", [1.5, 3.0])
def test_a_blocked_loop_kills_none_of_200_peers_and_finds_the_ten_that_died(block):
    """At a round trip of 200 ms, with each ping in flight when the block begins."""

    async def main():
        loop: Any = asyncio.get_running_loop()
        couples = [await VIRTUAL.couple(link=FakeLink(delay=0.1)) for _ in range(200)]
        for instant in (20.13, 31.4, 42.62):
            await asyncio.sleep(instant - loop.time())
            loop.block(block)
        for near, far, _ in couples:
            assert near.state in {State.ALIVE, State.SUSPECT}
            assert far.state in {State.ALIVE, State.SUSPECT}
        dying = couples[::20]
        for _, _, link in dying:
            link.cut()
        await asyncio.sleep(0.97)
        loop.block(block)
        cut_at = loop.time()
        await asyncio.gather(*(near.wait_dead() for near, _, _ in dying))
        assert loop.time() <= cut_at + QUICK.detection + SLACK
        await asyncio.gather(*(far.wait_dead() for _, far, _ in dying))
        for couple in couples:
            alive = couple not in dying
            assert (couple.near.state is State.DEAD) != alive
            couple.near.abort()
            couple.far.abort()

    VIRTUAL.run(main())


def test_streams_that_speak_no_word_are_given_up_after_the_handshakes_time():
    async def main():
        loop = asyncio.get_running_loop()
        link = FakeLink()
        limits = Limits(handshake_timeout=3.0)
        (end, other) = link.connect(
            lambda: Connection(settings_of(limits=limits)), asyncio.Protocol
        )
        near: Any = end.get_protocol()
        await asyncio.sleep(0)
        await near.wait_closed()
        assert near.error.breach == "handshake-too-slow"
        assert loop.time() == pytest.approx(3.0, abs=SLACK)
        other.abort()

    VIRTUAL.run(main())


def test_who_is_heard_no_more_is_told_that_it_was_taken_for_dead():
    async def main():
        near, far, link = await VIRTUAL.couple()
        link.cut(towards=Side.LEFT)
        assert isinstance(await near.wait_dead(), PeerSilent)
        with pytest.raises(PeerClosed) as caught:
            await far.recv()
        assert caught.value.reason == "taken-for-dead"
        await far.wait_closed()

    VIRTUAL.run(main())
