"""How a program uses a guard: blocks, callbacks, ends, mistakes, and what is left."""

# ruff: noqa: PT012 - an "async with" around the story is the one statement

import asyncio
import gc
import weakref

import pytest
from tests.aio.guarded import QUICK, Pair

from deadpeer.aio.guarding import guard
from deadpeer.core.events import Died, Online
from deadpeer.core.states import State
from deadpeer.errors import ConfigError, PeerDead, PeerSilent
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.testing import FakeLink, Side, fake_streams, run


async def a_death(pair):
    pair.link.cut()
    await asyncio.sleep(QUICK.detection + 1)


def cancellations():
    """How often this task was asked to end and has not been told of why."""
    task = asyncio.current_task()
    assert task
    return task.cancelling()


def complaints():
    """Collect what goes to the loop's exception handler."""
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: told.append(what))
    return told


def test_the_verdict_is_raised_in_the_block_with_its_evidence():
    async def main():
        pair = Pair()
        with pytest.raises(PeerSilent) as caught:
            async with pair.guard as guarded:
                assert guarded is pair.guard
                await a_death(pair)
        assert caught.value is pair.guard.verdict
        assert caught.value.peer == "192.0.2.2:7"
        assert caught.value.silence
        assert caught.value.silence <= QUICK.detection + 0.05
        assert pair.guard.state is State.DEAD
        assert cancellations() == 0

    run(main())


def test_the_verdict_wins_over_what_the_abort_did_to_a_library_in_the_block():
    async def main():
        link = FakeLink()
        (reader, writer), (_, other) = fake_streams(link)

        async def read():
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                raise LookupError from None  # as libraries rename what happened

        with pytest.raises(PeerSilent) as caught:
            async with (
                guard(writer, heartbeat=QUICK, send_ping=lambda _: None),
                asyncio.TaskGroup() as group,
            ):
                group.create_task(read())
                group.create_task(reader.readexactly(1))
        assert isinstance(caught.value.__cause__, ExceptionGroup)
        other.close()
        await asyncio.sleep(1)

    run(main())


def test_on_dead_takes_the_verdict_and_the_block_goes_on():
    async def main():
        taken: list[PeerDead] = []
        pair = Pair(on_dead=taken.append)
        async with pair.guard:
            await a_death(pair)
        assert taken == [pair.guard.verdict]
        assert pair.left.is_closing()

    run(main())


def test_on_change_sees_every_change_in_order():
    async def main():
        pair = Pair()
        with pytest.raises(PeerSilent):
            async with pair.guard:
                await a_death(pair)
        assert pair.kinds == ["Online", "Suspected", "Died"]

    run(main())


def test_wait_dead_returns_the_verdict_to_all_who_wait_and_later_too():
    async def main():
        pair = Pair()
        pair.guard.start()
        waiting = [asyncio.create_task(pair.guard.wait_dead()) for _ in range(3)]
        await a_death(pair)
        assert {await task for task in waiting} == {pair.guard.verdict}
        assert await pair.guard.wait_dead() is pair.guard.verdict

    run(main())


def test_wait_dead_returns_none_where_nobody_died():
    async def main():
        pair = Pair()
        pair.guard.start()
        waiting = asyncio.create_task(pair.guard.wait_dead())
        await asyncio.sleep(3)
        pair.guard.stop()
        assert await waiting is None
        assert await pair.guard.wait_dead() is None
        assert not pair.left.is_closing(), "stop leaves the connection as it is"
        await a_death(pair)
        assert pair.guard.verdict is None

    run(main())


def test_changes_are_followed_until_the_end():
    async def main():
        pair = Pair()
        seen = []

        async def follow():
            seen.extend([change async for change in pair.guard.changes()])

        following = asyncio.create_task(follow())
        await asyncio.sleep(0)
        pair.guard.start()
        await a_death(pair)
        await following
        assert seen == pair.seen
        assert [change async for change in pair.guard.changes()] == []

    run(main())


def test_a_program_that_cancels_the_block_gets_its_cancellation():
    async def main():
        pair = Pair()

        async def block():
            async with pair.guard:
                await asyncio.sleep(60)

        task = asyncio.create_task(block())
        await asyncio.sleep(1.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await a_death(pair)
        assert pair.kinds == ["Online", "Closed"]

    run(main())


def test_a_timeout_of_the_programs_own_stays_its_own():
    async def main(delay):
        pair = Pair()
        pair.link.cut()
        try:
            async with asyncio.timeout(delay), pair.guard:
                await asyncio.sleep(60)
        except (TimeoutError, PeerSilent) as error:
            assert cancellations() == 0
            return type(error), asyncio.get_running_loop().time()

    assert run(main(1.9))[0] is TimeoutError
    verdict, at = run(main(None))
    assert verdict is PeerSilent
    # In the same turn of the loop either may win, but nothing third.
    assert run(main(at))[0] in (TimeoutError, PeerSilent)


def test_an_exception_in_the_block_passes():
    async def main():
        pair = Pair()
        with pytest.raises(LookupError):
            async with pair.guard:
                raise LookupError
        assert pair.guard.state is State.CLOSED

    run(main())


def test_another_connections_reset_in_the_block_is_not_this_peers():
    async def main():
        pair = Pair()
        with pytest.raises(ConnectionResetError) as caught:
            async with pair.guard:
                raise ConnectionResetError(104, "from a database, say")
        assert not isinstance(caught.value, PeerDead)

    run(main())


@pytest.mark.parametrize("how", ["close", "abort"])
def test_a_connection_that_was_closed_ends_its_guard(how):
    async def main():
        pair = Pair()
        pair.guard.start()
        await asyncio.sleep(0.5)
        getattr(pair.left, how)()
        assert await pair.guard.wait_dead() is None
        assert pair.guard.state is State.CLOSED
        assert pair.asked == []

    run(main())


def test_a_peer_that_says_goodbye_is_not_dead():
    async def main():
        pair = Pair()
        pair.near.tells_of_loss = True
        async with pair.guard:
            await asyncio.sleep(0.5)
            pair.right.close()
            await asyncio.sleep(5)
        assert pair.kinds == ["Online", "Closed"]
        assert pair.guard.verdict is None

    run(main())


@pytest.mark.parametrize("error", [LookupError, FileNotFoundError, TimeoutError])
@pytest.mark.parametrize("later", [False, True])
def test_a_question_that_cannot_be_asked_is_told_and_the_deadline_runs_on(error, later):
    async def main():
        told = complaints()

        def ask(number):
            raise error(number)

        async def ask_later(number):
            await asyncio.sleep(0.1)
            raise error(number)

        pair = Pair(ask=ask_later if later else ask)
        with pytest.raises(PeerSilent, match="not asked: send_ping failed"):
            async with pair.guard:
                await asyncio.sleep(60)
        assert [type(what["exception"]) for what in told] == [error]
        assert pair.was_found_in_time()

    run(main())


def test_a_question_that_the_connection_refused_is_left_for_it_to_tell():
    async def main():
        told = complaints()

        def ask(number):
            raise BrokenPipeError

        pair = Pair(ask=ask)
        with pytest.raises(PeerSilent):
            async with pair.guard:
                await asyncio.sleep(60)
        assert told == []

    run(main())


def test_a_callback_that_fails_keeps_the_verdict_from_nobody():
    async def main():
        told = complaints()

        def fail(news):
            raise LookupError

        pair = Pair(on_dead=fail)
        pair.guard._reporter._on_change = fail
        pair.guard.start()
        waiting = asyncio.create_task(pair.guard.wait_dead())
        await a_death(pair)
        assert isinstance(await waiting, PeerSilent)
        assert pair.left.is_closing()
        assert len(told) == len(["Online", "Suspected", "Died", "on_dead"])

    run(main())


def test_what_cannot_be_guarded_is_refused_with_a_remedy():
    async def refused(match, *args, **options):
        with pytest.raises(ConfigError, match=match) as caught:
            guard(*args, **options)
        assert caught.value.hint

    async def main():
        pair = Pair()

        async def later(_):
            pass

        ask = pair.ask
        await refused("no transport", object(), send_ping=ask)
        await refused("send_ping", pair.left)
        await refused("on_dead", pair.left, send_ping=ask, on_dead=later)
        await refused("on_change", pair.left, send_ping=ask, on_change=later)
        guard(pair.left, heartbeat=Heartbeat(one_way=True))

    run(main())


def test_what_a_verdict_would_rest_on_can_be_asked_at_any_time():
    async def main():
        pair = Pair()
        async with pair.guard:
            await asyncio.sleep(0.5)
            evidence = pair.guard.evidence()
            assert evidence.silence == 0.5
            assert evidence.asked_at is None
            pair.link.cut()
            await asyncio.sleep(0.75)
            assert pair.guard.evidence().waited == pytest.approx(0.25, abs=0.05)
            assert pair.guard.evidence().outstanding == 1

    run(main())


@pytest.mark.parametrize("end", ["stop", "death"])
def test_nothing_is_left_of_a_guard(end):
    async def main():
        others = asyncio.all_tasks()
        pair = Pair(Heartbeat(interval=3600.0, timeout=1.0) if end == "stop" else QUICK)
        guarded = pair.guard
        guarded.start()
        follower = guarded.changes()
        if end == "death":
            pair.link.cut()
        await asyncio.sleep(5)
        guarded.stop()
        assert (guarded.state is State.DEAD) == (end == "death")
        wheel = guarded.warden._wheel
        assert len(wheel) == 0
        gone = weakref.ref(guarded)
        pair.near.guard = None
        pair.link.reset()
        await asyncio.sleep(1)
        del guarded, pair, follower
        gc.collect()
        assert gone() is None
        assert asyncio.all_tasks() == others

    run(main())


def test_a_loop_is_not_kept_alive_by_its_guards():
    loops = []

    async def main():
        loops.append(weakref.ref(asyncio.get_running_loop()))
        Pair().guard.start()  # and never stopped
        await asyncio.sleep(0.5)

    for _ in range(3):
        run(main())
    gc.collect()

    assert [loop() for loop in loops] == [None, None, None]


def test_the_first_change_is_that_it_is_there_and_the_last_that_it_is_not():
    async def main():
        pair = Pair()
        with pytest.raises(PeerSilent):
            async with pair.guard:
                pair.link.freeze(Side.RIGHT)
                await asyncio.sleep(60)
        assert isinstance(pair.seen[0], Online)
        assert isinstance(pair.seen[-1], Died)

    run(main())
