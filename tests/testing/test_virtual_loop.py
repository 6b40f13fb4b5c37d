"""VirtualLoop: time that jumps, a block that is felt, and no outside."""

import asyncio
import gc
import itertools
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.errors import (
    ConfigError,
    LocalProtocolError,
    SimulationStuck,
    UnsupportedError,
)
from deadpeer.testing import VirtualLoop, run

INSTANTS = st.floats(0, 1e9)


def here() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


def test_a_day_of_timers_every_second_takes_less_than_a_second():
    async def day() -> int:
        loop, done = here(), asyncio.Event()

        def tick(left: int) -> None:
            if left:
                loop.call_later(1, tick, left - 1)
            else:
                done.set()

        tick(86_400)
        await done.wait()
        return round(loop.time())

    def seconds() -> float:
        began = time.process_time()
        assert run(day()) == 86_400
        return time.process_time() - began

    # A busy machine makes some tries slow; that the loop is quick is proven by
    # the first one that is.
    assert any(seconds() < 1 for _ in range(5))


@given(st.lists(INSTANTS, max_size=20), INSTANTS)
def test_a_timer_runs_at_its_instant_and_in_order(instants, start):
    async def main() -> list[tuple[float, float]]:
        loop = here()
        ran: list[tuple[float, float]] = []

        def note(when: float) -> None:
            ran.append((when, loop.time()))

        for when in instants:
            loop.call_at(when, note, when)
        await asyncio.sleep(2e9 - start)
        return ran

    ran = run(main(), start=start)

    # What was due before the beginning runs at once, as on any loop.
    assert ran == [(when, max(when, start)) for when in sorted(instants)]


def test_time_stands_still_while_callbacks_run():
    async def main() -> float:
        for _ in range(100):
            await asyncio.sleep(0)
        return here().time()

    assert run(main(), start=7.0) == 7.0


def test_a_timeout_ends_what_takes_too_long():
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.sleep(3600)
        return here().time()

    assert run(main()) == 5.0


def test_a_cancelled_timer_costs_no_time():
    async def main() -> float:
        loop = here()
        loop.call_later(3600, print).cancel()
        loop.call_arrival_at(1800, print).cancel()
        await asyncio.sleep(1)
        return loop.time()

    assert run(main()) == 1.0


def test_what_is_cancelled_when_it_is_due_already_does_not_run():
    async def main() -> list[str]:
        loop = here()
        ran: list[str] = []
        second = loop.call_arrival_at(1, ran.append, "second")
        loop.call_arrival_at(0.5, second.cancel)
        loop.call_soon(loop.block, 3)
        await asyncio.sleep(5)
        return ran

    assert run(main()) == []


def test_timers_that_mature_in_a_block_run_late_and_in_their_order():
    async def main() -> list[tuple[str, float]]:
        loop = here()
        ran: list[tuple[str, float]] = []

        def note(name: str) -> None:
            ran.append((name, loop.time()))

        loop.call_later(2, note, "two")
        loop.call_later(1, note, "one")
        loop.call_later(4, note, "four")
        loop.call_soon(loop.block, 3)
        await asyncio.sleep(5)
        return ran

    assert run(main()) == [("one", 3.0), ("two", 3.0), ("four", 4.0)]


@pytest.mark.parametrize(
    ("io_first", "order"), [(True, ["io", "timer"]), (False, ["timer", "io"])]
)
def test_what_arrived_in_a_block_comes_before_the_timers_or_after(io_first, order):
    async def main() -> list[str]:
        loop = here()
        ran: list[str] = []
        loop.call_later(1, ran.append, "timer")
        loop.call_arrival_at(2, ran.append, "io")
        loop.call_soon(loop.block, 3)
        await asyncio.sleep(5)
        return ran

    assert run(main(), io_first=io_first) == order


def test_timers_that_are_always_due_do_not_starve_what_arrived():
    async def main() -> float:
        loop, arrived = here(), asyncio.Event()

        def busy() -> None:
            loop.call_later(0.5, busy)
            loop.block(1)

        busy()
        loop.call_arrival_at(loop.time(), arrived.set)
        await arrived.wait()
        return loop.time()

    assert run(main(), io_first=False, limit=1000) <= 3.0


def test_a_deadlock_is_told_with_the_line_on_which_each_task_waits():
    async def left_alone() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.create_task(left_alone(), name="lonely")

    with pytest.raises(SimulationStuck, match="nothing is left to happen") as caught:
        run(main(), start=2.5)

    assert any("lonely in left_alone (" in line for line in caught.value.waiting)
    assert any(f"main ({__file__.split('/')[-1]}:" in w for w in caught.value.waiting)
    assert "at 2.5 s" in str(caught.value)


def test_of_many_waiting_tasks_a_few_are_named_and_all_are_carried():
    async def main() -> None:
        await asyncio.gather(
            *(here().create_future() for _ in range(3)), *map(wait, range(30))
        )

    async def wait(_number: int) -> None:
        await asyncio.Event().wait()

    with pytest.raises(SimulationStuck, match="and 21 more") as caught:
        run(main())

    assert len(caught.value.waiting) == 31


def test_what_never_ends_is_ended_and_cleaned_up():
    cleaned = []

    async def main() -> None:
        try:
            for _ in itertools.count():
                await asyncio.sleep(0)
        finally:
            await asyncio.sleep(1)
            cleaned.append(here().time())

    with pytest.raises(SimulationStuck, match="not done after 500 turns"):
        run(main(), limit=500)

    assert cleaned == [1.0]


async def connect() -> None:
    await asyncio.open_connection("127.0.0.1", 9)


async def watch_descriptor() -> None:
    one, other = socket.socketpair()
    with one, other:
        here().add_reader(one, print)


async def receive() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.settimeout(0)
        await here().sock_recv(one, 1)


async def handle_signal() -> None:
    here().add_signal_handler(2, print)


async def start_process() -> None:
    await asyncio.create_subprocess_exec(sys.executable, "-c", "")


async def start_shell() -> None:
    await asyncio.create_subprocess_shell("true")


async def use_thread() -> None:
    await asyncio.to_thread(print)


@pytest.mark.parametrize(
    "reach_out",
    [
        connect,
        handle_signal,
        receive,
        start_process,
        start_shell,
        use_thread,
        watch_descriptor,
    ],
)
def test_what_reaches_outside_is_refused(reach_out):
    with pytest.raises(UnsupportedError, match="virtual time") as caught:
        run(reach_out())

    assert "FakeLink" in caught.value.hint


def test_another_thread_is_refused_and_the_loops_own_is_not():
    async def main() -> list[str]:
        loop, ran = here(), list[str]()
        with ThreadPoolExecutor(1) as threads:
            asked = threads.submit(loop.call_soon_threadsafe, ran.append, "other")
        with pytest.raises(UnsupportedError, match="another thread"):
            asked.result()
        loop.call_soon_threadsafe(ran.append, "own")
        await asyncio.sleep(1)
        return ran

    assert run(main()) == ["own"]


@pytest.mark.parametrize(
    "bad", [{"start": -1.0}, {"start": float("nan")}, {"limit": 0}, {"limit": 1.5}]
)
def test_a_loop_that_cannot_be_is_refused_and_nothing_is_left_open(bad):
    async def main() -> None:
        raise AssertionError

    with pytest.raises(ConfigError) as caught:
        run(main(), **bad)

    assert caught.value.field in bad


def test_a_block_of_negative_length_is_refused():
    async def main() -> None:
        here().block(-1)

    with pytest.raises(ConfigError):
        run(main())


def test_run_returns_and_raises_what_the_coroutine_does():
    async def answer() -> int:
        return 42

    async def fail() -> None:
        raise LookupError

    assert run(answer()) == 42
    with pytest.raises(LookupError):
        run(fail())


def test_what_is_no_coroutine_is_refused():
    async def answer() -> int:
        return 42

    with pytest.raises(ConfigError, match="no coroutine"):
        run(answer)


def test_a_loop_in_a_loop_is_refused_and_leaves_nothing_behind():
    async def answer() -> int:
        return 42

    async def main() -> None:
        with pytest.raises(LocalProtocolError, match="runs here already"):
            run(answer())
        gc.collect()  # a coroutine that never ran would warn

    run(main())
