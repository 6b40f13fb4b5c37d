"""Watching by the kernel's evidence: real connections, and cables really cut."""

import asyncio
import contextlib
import os
import socket
import sys
import time
from typing import Any

import pytest
from tests.cables import cable
from tests.loopback import listener, pair

from deadpeer.aio.watching import watch
from deadpeer.core.events import Closed, Died, Online, Reason
from deadpeer.core.states import State
from deadpeer.errors import (
    ConfigError,
    KernelRefused,
    NotTcp,
    PeerReset,
    PeerSilent,
    UnsupportedError,
)
from deadpeer.kernel.inspection import inspect
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.testing import FakeLink, Side, fake_streams, run

# ruff: noqa: PT012 - an "async with" around the story is the one statement

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads Linux's tcp_info"
)

QUICK = Heartbeat(interval=2.0, timeout=2.0)
SLACK = 0.05
RESETTING = b"\1\0\0\0" + bytes(4)  # close sends a reset
WAIT = 20.0  # seconds after which a watch that says nothing fails the test


async def watched(sock, **options):
    """Watch until the end; return how long it took and the changes."""
    seen: list[Any] = []
    began = time.monotonic()
    watching = watch(sock, heartbeat=QUICK, on_change=seen.append, **options)
    watching.start()
    async with asyncio.timeout(WAIT):
        verdict = await watching.wait_dead()
    return verdict, time.monotonic() - began, seen


@pytest.mark.netns
@pytest.mark.slow
@pytest.mark.parametrize("writes", [False, True], ids=["idle", "with-data"])
def test_a_cut_cable_is_found_within_the_promise(writes):
    async def main():
        with cable() as (near, _, child):
            child.told("loopback(False)")
            if writes:
                near.settimeout(0)
                near.send(b"x")
            return await watched(near)

    verdict, took, seen = asyncio.run(main())

    assert isinstance(verdict, PeerSilent)
    # Two retransmission timeouts of 0.2 s and the kernel's own lateness.
    assert took <= QUICK.detection + SLACK
    assert [type(change).__name__ for change in seen] == ["Online", "Suspected", "Died"]
    assert verdict.evidence.unanswered >= QUICK.timeout


@pytest.mark.netns
@pytest.mark.slow
def test_a_cable_that_is_put_back_takes_the_suspicion_back():
    async def main():
        with cable() as (near, _, child):
            watching = watch(near, heartbeat=Heartbeat(interval=1.0, timeout=5.0))
            changes = watching.changes()
            watching.start()
            child.told("loopback(False)")
            seen = []
            async with asyncio.timeout(WAIT):
                async for change in changes:
                    seen.append(type(change).__name__)
                    if seen[-1] == "Suspected":
                        child.told("loopback(True)")
                    if seen[-1] == "Recovered":
                        break
            watching.stop()
            return seen

    assert asyncio.run(main()) == ["Online", "Suspected", "Recovered"]


@pytest.mark.slow
@pytest.mark.parametrize("library", ["asyncio", "uvloop"])
def test_an_idle_peer_is_probed_and_lives(library):
    loops = pytest.importorskip(library)

    async def main():
        with pair() as (near, _):
            near.settimeout(0)
            _, writer = await asyncio.open_connection(sock=near.dup())
            rules = Heartbeat(interval=1.0, timeout=2.0)
            seen: list[Any] = []
            async with watch(writer, heartbeat=rules, on_change=seen.append) as it:
                assert it.can_see_idle
                before = it.evidence().heard_at
                # Event driven: ends when the first answer to a probe was seen.
                async with asyncio.timeout(WAIT):
                    while it.evidence().heard_at < before + 0.9:  # noqa: ASYNC110
                        await asyncio.sleep(0.1)  # only the kernel knows when
            writer.close()
            return [type(change).__name__ for change in seen]

    with asyncio.Runner(loop_factory=loops.new_event_loop) as runner:
        assert runner.run(main()) == ["Online", "Closed"]


def test_probes_are_turned_on_and_put_back():
    async def main():
        with pair() as (near, _):
            async with watch(near, within=30):
                inside = inspect(near).keepalive
                assert (inside.on, inside.idle, inside.interval) == (True, 17, 2)
            assert inspect(near).keepalive.on is False

    asyncio.run(main())


def test_a_watch_that_is_not_started_has_changed_nothing():
    async def main():
        with pair() as (near, _):
            watching = watch(near, within=30)
            assert watching.can_see_idle
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 55)
            before = inspect(near).keepalive
            assert before.on is False
            watching.start()
            assert inspect(near).keepalive.interval == 2
            watching.stop()
            assert inspect(near).keepalive == before

    asyncio.run(main())


def test_a_start_that_is_refused_may_be_tried_again():
    async def main():
        with pair() as (near, _):
            watching = watch(near, within=30)
            with no_descriptor_left(), pytest.raises(KernelRefused):
                async with watching:
                    pytest.fail("nobody could look")
            assert watching.state is State.CONNECTING
            async with watching:
                assert inspect(near).keepalive.on

    asyncio.run(main())


# A socket that probes more often goes on doing so; the settings of one that does not
# probe count for nothing.
@pytest.mark.parametrize(("probes", "idle"), [(1, 3), (0, 17)])
def test_what_a_socket_probes_by_already_is_kept_if_it_is_quicker(probes, idle):
    async def main():
        with pair() as (near, _):
            near.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, probes)
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 3)
            async with watch(near, within=30):
                assert inspect(near).keepalive.idle == idle

    asyncio.run(main())


def test_a_goodbye_from_both_sides_is_no_death():
    async def main():
        with pair() as (near, far):
            watching = watch(near, heartbeat=QUICK)
            watching.start()
            near.shutdown(socket.SHUT_WR)
            far.close()
            async with asyncio.timeout(WAIT):
                assert await watching.wait_dead() is None

    asyncio.run(main())


@pytest.mark.parametrize("started", [True, False])
def test_a_descriptor_that_is_another_sockets_now_is_watched_no_more(started):
    async def main():
        with pair() as (near, _), pair() as (other, _):
            watching = watch(near.fileno(), heartbeat=QUICK)
            if started:
                watching.start()
            os.dup2(other.fileno(), near.fileno())
            if not started:
                watching.start()
                assert not inspect(other).keepalive.on
            async with asyncio.timeout(WAIT):
                assert await watching.wait_dead() is None
            assert not inspect(other).keepalive.on

    asyncio.run(main())


def test_a_socket_that_was_closed_before_the_start_is_told_as_closed():
    async def main():
        with pair() as (near, _):
            seen: list[Any] = []
            watching = watch(near, heartbeat=QUICK, on_change=seen.append)
            near.close()
            watching.start()
            async with asyncio.timeout(WAIT):
                assert await watching.wait_dead() is None
            assert [type(change) for change in seen] == [Online, Closed]

    asyncio.run(main())


def test_without_probes_it_says_that_an_idle_death_is_not_seen():
    async def main():
        with pair() as (near, _):
            assert not watch(near, within=30, probe=False).can_see_idle
            assert not inspect(near).keepalive.on
            near.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            assert watch(near, within=30, probe=False).can_see_idle

    asyncio.run(main())


def test_a_reset_is_a_verdict_and_the_error_is_left_for_its_owner():
    async def main():
        with pair() as (near, far):
            far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, far.close)  # once the watch has begun
            verdict, _, seen = await watched(near)
            assert isinstance(verdict, PeerReset)
            assert seen[-1].reason is Reason.RESET
            with pytest.raises(ConnectionResetError):
                near.recv(1)

    asyncio.run(main())


@pytest.mark.parametrize("form", ["socket", "writer"])
def test_a_reset_that_the_block_meets_first_is_a_verdict_too(form):
    async def main():
        with pair() as (near, far):
            far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
            near.settimeout(0)
            reader, writer = await asyncio.open_connection(sock=near.dup())
            with pytest.raises(PeerReset):
                async with watch(writer if form == "writer" else near, within=30):
                    far.close()
                    if form == "writer":
                        await reader.read()
                    await asyncio.get_running_loop().sock_recv(near, 1)
            writer.transport.abort()
            await asyncio.sleep(0)

    asyncio.run(main())


def test_another_connections_reset_in_the_block_is_not_this_peers():
    async def main():
        with pair() as (near, _):
            with pytest.raises(ConnectionResetError) as caught:
                async with watch(near, within=30):
                    raise ConnectionResetError(104, "from a database, say")
            assert not isinstance(caught.value, PeerReset)

    asyncio.run(main())


@pytest.mark.parametrize("form", ["socket", "descriptor", "transport"])
def test_a_connection_that_its_owner_closes_is_no_death_and_stays_closed(form):
    async def main():
        with pair() as (near, far):
            near.settimeout(0)
            mine = near.dup()
            near.close()
            thing: Any = mine
            close = mine.close
            if form == "descriptor":
                thing = mine.fileno()
            if form == "transport":
                loop = asyncio.get_running_loop()
                thing, _ = await loop.create_connection(asyncio.Protocol, sock=mine)
                close = thing.close
            watching = watch(thing, heartbeat=QUICK)
            watching.start()
            close()
            async with asyncio.timeout(WAIT):
                assert await watching.wait_dead() is None
            far.settimeout(WAIT)
            assert far.recv(1) == b"", "the watch has kept it open"

    asyncio.run(main())


def test_data_that_nobody_acknowledges_is_judged_on_a_simulated_link_too():
    async def main():
        link = FakeLink(delay=0.01)
        (_, writer), (_, other) = fake_streams(link)
        seen: list[Any] = []
        with pytest.raises(PeerSilent):
            async with watch(
                writer, heartbeat=QUICK, on_change=seen.append
            ) as watching:
                await asyncio.sleep(60)
                assert len(seen) == 1
                link.cut(towards=Side.RIGHT)
                cut_at = asyncio.get_running_loop().time()
                writer.write(b"x")
                assert watching.evidence().outstanding == 1
                await asyncio.sleep(60)
        assert isinstance(seen[-1], Died)
        assert seen[-1].at - cut_at <= QUICK.timeout + SLACK
        assert writer.transport.is_closing(), "a dead peer's transport is aborted"
        other.close()

    run(main())


def test_what_it_cannot_see_is_a_stopped_program():
    async def main():
        link = FakeLink(delay=0.01)
        (_, writer), (_, other) = fake_streams(link)
        async with watch(writer, heartbeat=QUICK) as watching:
            link.freeze(Side.RIGHT)
            writer.write(b"x" * 1_000_000)
            await asyncio.sleep(600)
            assert watching.state is State.ALIVE
        writer.transport.abort()
        link.thaw(Side.RIGHT)
        other.transport.abort()
        await asyncio.sleep(1)

    run(main())


@contextlib.contextmanager
def no_descriptor_left():
    """Let this process open nothing more."""
    import resource  # which Windows has not

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_no_descriptor_to_look_with_says_nothing_of_the_peer():
    async def main():
        told: asyncio.Queue[Any] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, what: told.put_nowait(what["exception"]))
        with pair() as (near, far):
            watching = watch(near, heartbeat=QUICK)
            watching.start()
            async with asyncio.timeout(WAIT):
                with no_descriptor_left():
                    assert isinstance(await told.get(), KernelRefused)
                    with pytest.raises(KernelRefused):
                        watching.evidence()
                assert watching.state is State.ALIVE
                far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
                far.close()
                assert isinstance(await watching.wait_dead(), PeerReset)

    asyncio.run(main())


def test_what_cannot_be_watched_is_refused_and_left_as_it_was():
    async def main():
        with pair() as (near, _), listener() as server:
            with pytest.raises(ConfigError, match="either"):
                watch(near)
            with pytest.raises(ConfigError, match="either"):
                watch(near, within=30, heartbeat=QUICK)
            with pytest.raises(ConfigError, match="as fast as"):
                watch(near, within=2)
            with pytest.raises(ConfigError, match="idle"):
                watch(near, heartbeat=Heartbeat(interval=50_000, timeout=10_000))
            with pytest.raises(UnsupportedError):
                watch(server, within=30)
            with pytest.raises(NotTcp):
                watch(object(), within=30)
            assert not inspect(near).keepalive.on

    asyncio.run(main())
