"""
The loops here are really blocked, and each test is decided by a report.

What blocks a loop waits until the watchdog has told so.
"""

import asyncio
import contextlib
import gc
import logging
import queue
import re
import sys
import threading
import time
import weakref
from typing import Any

import pytest

from deadpeer.aio.blocked import Blocked, Place, blamed
from deadpeer.aio.watchdog import Watchdog
from deadpeer.errors import ConfigError

WAIT = 20.0  # seconds after which a watchdog that says nothing fails the test
QUICK = 0.02  # a threshold, in seconds


def loops():
    yield pytest.param(asyncio.new_event_loop, id="asyncio")
    with contextlib.suppress(ImportError):
        import uvloop

        yield pytest.param(uvloop.new_event_loop, id="uvloop")


@pytest.fixture(params=loops())
def run(request):
    """Run a coroutine to its end, on each kind of loop."""

    def run(main):
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(main)

    return run


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert [t for t in threading.enumerate() if "watchdog" in t.name] == []


class Reports:
    """Collects reports; ``of_place`` is set with the first one."""

    def __init__(self):
        self.queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.told = threading.Event()

    def __call__(self, blocked):
        self.queue.put(blocked)
        if blocked.stack:
            self.told.set()

    def next(self, *, over):
        """Wait for the next report of a block that has a place."""
        while True:
            blocked = self.queue.get(timeout=WAIT)
            if blocked.stack:
                assert blocked.over is over
                return blocked


def block_until(told):
    assert told.wait(WAIT)  # the line that is blamed


LINE = block_until.__code__.co_firstlineno + 1


def test_the_line_is_named_while_the_loop_is_blocked_and_its_length_after(run):
    reports = Reports()

    async def main():
        async with Watchdog(threshold=QUICK, on_blocked=reports) as dog:
            began = time.monotonic()
            block_until(reports.told)  # returns only because it was reported
            ended = time.monotonic()
            first = reports.next(over=False)
            last = await asyncio.to_thread(reports.next, over=True)
            return began, ended, first, last, dog.worst

    began, ended, first, last, worst = run(main())

    for blocked in (first, last):
        assert (blocked.file, blocked.line) == (__file__, LINE)
        assert blocked.function == "block_until"
        assert blocked.innermost.file == threading.__file__
        assert blocked.stack[0].function.endswith("main")
    assert QUICK <= first.lasted <= ended - began + 2 * QUICK
    assert first.since_at == last.since_at
    assert first.lasted <= last.lasted <= worst
    assert last.since_at <= ended


def test_a_callback_is_named_as_a_task_is(run):
    reports = Reports()

    async def main():
        async with Watchdog(threshold=QUICK, on_blocked=reports):
            asyncio.get_running_loop().call_later(0.001, block_until, reports.told)
            return await asyncio.to_thread(reports.next, over=False)

    blocked = run(main())

    assert (blocked.line, len(blocked.stack)) == (LINE, 3)  # and two of threading


def test_by_default_the_log_is_warned(run, caplog):
    told = threading.Event()

    class Tell(logging.Handler):
        def emit(self, record):
            if "at " in record.getMessage():
                told.set()

    handler = Tell()
    logging.getLogger("deadpeer").addHandler(handler)

    async def main():
        async with Watchdog(threshold=QUICK):
            block_until(told)

    try:
        run(main())
    finally:
        logging.getLogger("deadpeer").removeHandler(handler)

    messages = [r.getMessage() for r in caplog.records if r.name == "deadpeer"]
    assert any(
        re.match(
            rf"the event loop has been blocked for [\d.]+ s at {__file__}:{LINE}"
            r" in block_until \(.*threading\.py:\d+ in Condition\.wait\)",
            message,
        )
        for message in messages
    )
    assert {r.levelno for r in caplog.records if r.name == "deadpeer"} == {
        logging.WARNING
    }


def test_a_report_that_fails_is_logged_and_the_watch_goes_on(run, caplog):
    reports = Reports()

    def fail(blocked):
        reports(blocked)
        raise ZeroDivisionError

    async def main():
        async with Watchdog(threshold=QUICK, on_blocked=fail):
            for _ in range(2):
                reports.told.clear()
                block_until(reports.told)
                reports.next(over=False)
                await asyncio.to_thread(reports.next, over=True)

    run(main())

    assert "a watchdog's report failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_report_may_want_something_of_the_loop_that_is_left(run):
    async def answer():
        return 42

    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    async def main():
        loop = asyncio.get_running_loop()
        told = threading.Event()

        def ask(blocked):
            told.set()
            future = asyncio.run_coroutine_threadsafe(answer(), loop)
            answers.put(future.result(WAIT))

        async with Watchdog(threshold=QUICK, on_blocked=ask):
            block_until(told)

    run(main())

    assert answers.get(timeout=WAIT) == 42


def test_a_loop_that_waits_is_not_blocked(run):
    reports = Reports()

    async def main():
        async with Watchdog(threshold=0.5, on_blocked=reports) as dog:
            await asyncio.to_thread(wait_for_looks, dog, 3)

    def wait_for_looks(dog, number):
        for _ in range(number):
            seen = dog._answered_at
            deadline = time.monotonic() + WAIT
            while dog._answered_at == seen and time.monotonic() < deadline:
                time.sleep(0.001)

    run(main())

    assert not reports.told.is_set()


def test_each_loop_has_its_own_watchdog(run):
    reports = Reports(), Reports()
    free = threading.Event()

    def other():
        async def main():
            async with Watchdog(threshold=QUICK, on_blocked=reports[1]):
                await asyncio.to_thread(free.wait, WAIT)

        asyncio.run(main())

    async def main():
        async with Watchdog(threshold=QUICK, on_blocked=reports[0]):
            block_until(reports[0].told)

    thread = threading.Thread(target=other)
    thread.start()
    run(main())
    free.set()
    thread.join()

    assert reports[0].told.is_set()
    while not reports[1].queue.empty():  # a busy machine may block any loop
        assert reports[1].queue.get().line != LINE


def test_a_loop_between_two_runs_is_not_blocked(run):
    reports = Reports()
    with asyncio.Runner() as runner:
        dog = Watchdog(runner.get_loop(), threshold=QUICK, on_blocked=reports)
        dog.start()
        runner.run(asyncio.sleep(0))
        reports.told.clear()  # a busy machine may have blocked even that
        assert not reports.told.wait(5 * QUICK)
        runner.run(asyncio.sleep(0))
        dog.close()


def test_the_thread_ends_when_the_loop_is_closed(run):
    loop = asyncio.new_event_loop()
    dog = Watchdog(loop, threshold=QUICK)
    dog.start()
    thread = dog._thread
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert thread is not None
    thread.join(WAIT)

    assert not dog.is_watching
    dog.close()
    dog.close()


def test_nothing_keeps_a_watchdog_that_was_closed(run):
    async def main():
        async with Watchdog(threshold=QUICK) as dog:
            await asyncio.sleep(0)
            return weakref.ref(dog)

    dead = run(main())
    gc.collect()

    assert dead() is None


def test_a_watchdog_can_be_used_again(run):
    async def main():
        dog = Watchdog(threshold=QUICK)
        for _ in range(2):
            async with dog:
                assert dog.is_watching
                with pytest.raises(ConfigError, match="already"):
                    dog.start()
            assert not dog.is_watching

    run(main())


def test_leaving_with_an_error_ends_the_thread(run):
    async def main():
        async with Watchdog(threshold=QUICK):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(main())


def test_being_cancelled_on_the_way_in_ends_the_thread(run):
    async def watched():
        async with Watchdog(threshold=QUICK):
            raise AssertionError("it was cancelled before")

    async def main():
        before = set(threading.enumerate())
        task = asyncio.create_task(watched())
        await asyncio.sleep(0)  # it has started its thread, and waits for the sign
        (thread,) = set(threading.enumerate()) - before
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # Nobody waits for it then, and it needs one look to see.
        await asyncio.to_thread(thread.join, WAIT)
        assert not thread.is_alive()

    run(main())


@pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="has no such lock"
)
def test_where_nobody_could_look_the_whole_process_is_told(run):
    reports: queue.SimpleQueue[Any] = queue.SimpleQueue()

    async def main():
        async with Watchdog(threshold=QUICK, on_blocked=reports.put):
            began = time.monotonic()
            number = 10**5
            while time.monotonic() < began + 10 * QUICK:
                began = time.monotonic()
                number *= 2
                sum(range(number))  # one call in C, the lock held
            while True:
                blocked = await asyncio.to_thread(reports.get, timeout=WAIT)
                if not blocked.stack:
                    return blocked

    blocked = run(main())

    assert blocked.over
    assert blocked.lasted >= QUICK
    assert (blocked.file, blocked.line, blocked.function) == ("", 0, "")
    assert blocked.innermost is None
    assert str(blocked).startswith("the whole process stood still for ")


def test_own_code_is_blamed_before_a_library_that_it_called():
    own = Place("/home/me/app.py", 10, "main")
    library = Place("/v/lib/python3/site-packages/requests/api.py", 20, "get")
    standard = Place(threading.__file__, 30, "wait")

    assert blamed((own, library, standard)) == own
    assert blamed((standard, library)) == library
    assert blamed(()) is None


def test_what_is_over_is_told_in_the_past():
    place = Place("/home/me/app.py", 10, "main")
    blocked = Blocked(stack=(place,), since_at=0.0, lasted=1.5, over=True)

    assert str(blocked) == (
        "the event loop was blocked for 1.5 s at /home/me/app.py:10 in main"
    )
