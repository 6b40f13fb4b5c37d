"""What a guard and a watch have in common: beginnings, ends, and the order of the news."""

import asyncio

import pytest

from deadpeer.aio.guarding import guard
from deadpeer.aio.reporting import Reporter
from deadpeer.aio.watching import watch
from deadpeer.core.events import Closed, Online, Recovered, WatcherLate
from deadpeer.core.states import State
from deadpeer.errors import LocalProtocolError
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.testing import FakeLink, fake_streams, run

RULES = Heartbeat(interval=1.0, timeout=2.0)


def make_guard(writer, **options):
    return guard(writer, heartbeat=RULES, send_ping=lambda _: None, **options)


def make_watch(writer, **options):
    return watch(writer, heartbeat=RULES, **options)


both = pytest.mark.parametrize("make", [make_guard, make_watch])


def play(story):
    """Run a story of a connection."""

    async def main():
        (_, writer), (_, other) = fake_streams(FakeLink())
        try:
            return await story(writer)
        finally:
            writer.transport.abort()
            other.transport.abort()
            await asyncio.sleep(1)

    return run(main())


@both
def test_it_is_used_once(make):
    async def story(writer):
        async with make(writer) as it:
            with pytest.raises(LocalProtocolError, match="used before"):
                it.start()
        with pytest.raises(LocalProtocolError) as refused:
            it.start()
        assert refused.value.hint
        with pytest.raises(LocalProtocolError):
            async with it:
                pass

    play(story)


@both
def test_who_waits_for_the_end_of_what_never_began_is_told(make):
    async def story(writer):
        it = make(writer)
        with pytest.raises(LocalProtocolError, match="not started") as refused:
            await it.wait_dead()
        assert "start()" in refused.value.hint
        it.start()
        it.stop()
        assert await it.wait_dead() is None

    play(story)


@both
def test_what_was_stopped_before_it_began_has_ended(make):
    async def story(writer):
        it = make(writer)
        it.stop()
        it.stop()
        assert it.state is State.CLOSED
        assert await it.wait_dead() is None

    play(story)


@both
def test_before_it_began_nobody_was_silent_for_longer_than_it_is_there(make):
    async def story(writer):
        await asyncio.sleep(100)
        it = make(writer)
        await asyncio.sleep(1)
        assert it.evidence().silence == 1

    play(story)


@both
def test_without_a_running_loop_it_is_refused_with_a_remedy(make):
    writers = []

    async def story(writer):
        writers.append(writer)

    play(story)
    with pytest.raises(LocalProtocolError, match="no running event loop") as refused:
        make(writers[0])
    assert "deadpeer.sync" in refused.value.hint


@both
def test_a_callback_that_ends_it_is_followed_by_nothing(make):
    """Whoever follows the changes reads them in the order in which they happened."""

    async def story(writer):
        told = []

        def stop(change):
            told.append(type(change))
            it.stop("enough")

        it = make(writer, on_change=stop)
        changes = it.changes()
        it.start()
        assert [type(change) async for change in changes] == [Online, Closed] == told
        assert await it.wait_dead() is None

    play(story)


def test_what_comes_together_with_news_that_made_a_callback_end_it_is_not_told():
    """As being late and a suspicion do, after a block between look and verdict."""

    async def main():
        told = []

        def stop(change):
            told.append(change)
            if isinstance(change, WatcherLate):
                reporter.tell(Closed(2.0))

        reporter = Reporter(peer="", on_dead=None, on_change=stop)
        for change in (WatcherLate(2.0, 0.5), Recovered(2.0, 1.0)):
            reporter.tell(change)
        assert told == [WatcherLate(2.0, 0.5), Closed(2.0)]
        async with asyncio.timeout(60):
            assert await reporter.wait_dead() is None

    run(main())
