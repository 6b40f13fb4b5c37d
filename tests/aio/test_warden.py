"""The warden: one timer for all, nobody forgotten, one's fault is no other's."""

import asyncio
import gc
import math
import time
import weakref
from typing import Any

import pytest

from deadpeer.aio import warden as wardens
from deadpeer.aio.warden import RETRY, TICK, clock_of, warden_of
from deadpeer.testing import VirtualLoop, run

NEVER = math.inf
LATE = 1.001 * TICK  # a millionth of a turn is the wheel's own


def about(*instants):
    """What is woken at these instants, a tick late at most."""
    return pytest.approx([at + LATE / 2 for at in instants], abs=LATE / 2)


class Ward(wardens.Ward):
    def __init__(self, warden, name="", *, then=None):
        super().__init__()
        self.warden, self.name, self.then = warden, name, then
        self.woken = []
        self.sleeps = []

    def due(self, now):
        self.woken.append(now)
        if self.then is not None:
            self.then(self)

    def slept(self, duration, now):
        self.sleeps.append(duration)
        if self.then is not None:
            self.then(self)


def warden():
    return warden_of(asyncio.get_running_loop())


def test_a_ward_is_woken_once_and_a_tick_late_at_most():
    async def main():
        wards = [Ward(warden()) for _ in range(200)]
        for number, ward in enumerate(wards):
            ward.warden.wake(ward, at=number * 0.0137)
        await asyncio.sleep(10)
        for number, ward in enumerate(wards):
            (at,) = ward.woken
            assert 0 <= at - number * 0.0137 <= LATE
            assert ward.armed_at == NEVER

    run(main())


@pytest.mark.parametrize("start", [0.0, 0.3, 1234567.89])
def test_a_ward_that_asks_again_at_each_waking_is_never_forgotten(start):
    async def main():
        loop = asyncio.get_running_loop()
        ward = Ward(warden(), then=lambda w: w.warden.wake(w, at=loop.time() + 0.07))
        ward.warden.wake(ward, at=loop.time())
        await asyncio.sleep(100)
        assert 100 / (0.07 + LATE) <= len(ward.woken) <= 100 / 0.07 + 1

    run(main(), start=start)


def test_the_last_wish_counts():
    async def main():
        early, late, never = (Ward(warden()) for _ in range(3))
        for ward in (early, late, never):
            warden().wake(ward, at=5.0)
        warden().wake(early, at=1.0)
        warden().wake(late, at=9.0)
        warden().wake(never, at=NEVER)
        await asyncio.sleep(20)
        assert early.woken == about(1.0)
        assert late.woken == about(9.0)
        assert never.woken == []

    run(main())


def test_one_ward_may_call_off_another_in_the_same_turn():
    async def main():
        second = Ward(warden())
        first = Ward(warden(), then=lambda w: w.warden.wake(second, at=NEVER))
        for ward in (first, second):
            warden().wake(ward, at=1.0)
        await asyncio.sleep(5)
        assert first.woken == about(1.0)
        assert second.woken == []

    run(main())


def test_one_wards_fault_is_told_and_keeps_nobody_else_from_being_woken():
    async def main():
        told = []
        asyncio.get_running_loop().set_exception_handler(lambda _, w: told.append(w))

        def fail(ward):
            raise LookupError(ward.name)

        bad, good = Ward(warden(), "bad", then=fail), Ward(warden())
        for ward in (bad, good):
            warden().wake(ward, at=1.0)
        await asyncio.sleep(2)
        assert good.woken == about(1.0)
        assert [str(what["exception"]) for what in told] == ["bad"]

    run(main())


@pytest.mark.parametrize("fault", [LookupError, SystemExit])
def test_who_fails_or_comes_behind_one_that_exits_is_woken_again(fault):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)

        def fails(ward):
            if len(ward.woken) == 1:
                raise fault

        wards = [Ward(warden(), then=then) for then in (fails, None)]
        for ward in wards:
            ward.warden.wake(ward, at=1.0)
        return wards

    loop = VirtualLoop()
    try:
        first, second = loop.run_until_complete(main())
        if fault is SystemExit:
            with pytest.raises(SystemExit):
                loop.run_until_complete(asyncio.sleep(2))
        loop.run_until_complete(asyncio.sleep(5))
    finally:
        loop.close()
    again = first.woken[0] + RETRY
    assert first.woken == about(1.0, again)
    assert second.woken == about(again if fault is SystemExit else 1.0)


def test_a_sleep_of_the_machine_is_told_to_each_once_and_before_the_turn():
    async def main():
        told = []
        asyncio.get_running_loop().set_exception_handler(lambda _, w: told.append(w))

        def fail(ward):
            raise LookupError

        bad, good, gone = Ward(warden(), then=fail), Ward(warden()), Ward(warden())
        for ward in (bad, good, gone):
            warden().wake(ward, at=1.0)
        warden().wake(gone, at=NEVER)

        class Slept:
            def slept(self):
                return 60.0 if not good.sleeps else 0.0

        warden()._suspend = Slept()
        await asyncio.sleep(2)
        assert (bad.sleeps, good.sleeps, gone.sleeps) == ([60.0], [60.0], [])
        assert good.woken == about(1.0)
        assert len(told) == 2

    run(main())


def test_one_timer_serves_all():
    async def main():
        loop: Any = asyncio.get_running_loop()
        for number in range(1000):
            ward = Ward(warden())
            warden().wake(ward, at=10.0 - number * 0.001)
        live = [h for h in loop._scheduled if not h.cancelled()]
        assert len(live) == 1

    run(main())


def test_who_is_called_off_is_not_kept():
    async def main():
        ward = Ward(warden())
        warden().wake(ward, at=3600.0)
        warden().wake(ward, at=NEVER)
        gone = weakref.ref(ward)
        del ward
        gc.collect()
        assert gone() is None

    run(main())


def test_a_loop_has_one_warden_and_takes_it_along():
    async def main():
        assert warden() is warden()
        ward = Ward(warden())  # it holds the warden, which has no weak references
        warden().wake(ward, at=3600.0)
        return weakref.ref(asyncio.get_running_loop()), weakref.ref(ward)

    loop, kept = run(main())
    gc.collect()

    assert (loop(), kept()) == (None, None)


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_the_clock_is_the_loops_and_runs_on_in_a_callback(kind):
    library = pytest.importorskip(kind)
    loop = library.new_event_loop()

    async def main():
        clock = clock_of(asyncio.get_running_loop())
        before = clock()
        while time.monotonic() < before + 0.005:
            pass
        assert clock() >= before + 0.005
        assert abs(clock() - loop.time()) < 1.0

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
