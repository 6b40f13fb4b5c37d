"""The wheel: never early, at most a tick late, and nothing is lost or kept."""

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from deadpeer.core.wheel import Wheel

# From a loop that has just begun to a machine that has been up for years.
instants = st.one_of(
    st.floats(min_value=0.0, max_value=1e8),
    st.integers(min_value=0, max_value=10**9).map(lambda turn: turn * 0.01),
    st.integers(min_value=0, max_value=10**9).map(lambda turn: turn / 100),
    st.integers(min_value=0, max_value=10**7).map(
        lambda turn: math.nextafter(turn * 0.01, math.inf)
    ),
)
ticks = st.sampled_from([0.001, 0.01, 0.1, 1 / 3, 1.0])


@given(at=instants, tick=ticks)
def test_an_item_comes_out_when_the_wheel_says_never_early_and_a_tick_late_at_most(
    at, tick
):
    wheel = Wheel[str](tick=tick)
    wheel.add("a", at=at)

    next_at = wheel.next_at

    assert at <= next_at <= at + tick * 1.00001 + math.ulp(at)
    assert wheel.matured(now=math.nextafter(next_at, -math.inf)) == []
    assert wheel.matured(now=next_at) == ["a"]
    assert wheel.next_at == math.inf


@given(
    items=st.dictionaries(st.integers(), instants, max_size=20),
    looks=st.lists(instants, max_size=10),
)
def test_each_item_comes_out_once_and_the_earliest_first(items, looks):
    wheel = Wheel[int](tick=0.01)
    for item, at in items.items():
        wheel.add(item, at=at)
    out = []

    for now in [*sorted(looks), 2e8]:
        due = wheel.matured(now=now)
        assert all(items[item] <= now for item in due)
        turns = [math.ceil(items[item] / 0.01 - 1e-3) for item in due]
        assert all(a <= b + 1 for a, b in itertools.pairwise(turns))
        out += due

    assert sorted(out) == sorted(items)
    assert len(wheel) == 0


@given(
    kept=st.dictionaries(st.integers(0, 99), instants, max_size=10),
    gone=st.dictionaries(st.integers(100, 199), instants, max_size=10),
)
def test_what_was_discarded_does_not_come_out(kept, gone):
    wheel = Wheel[int](tick=0.01)
    for item, at in (kept | gone).items():
        wheel.add(item, at=at)
    for item, at in gone.items():
        wheel.discard(item, at=at)
        wheel.discard(item, at=at)

    assert sorted(wheel) == sorted(kept)
    assert sorted(wheel.matured(now=2e8)) == sorted(kept)


def test_nobody_waits_for_a_turn_that_all_have_left():
    wheel = Wheel[str](tick=0.5)
    for item, at in (("a", 1.0), ("b", 2.0), ("c", 3.0)):
        wheel.add(item, at=at)
    wheel.discard("b", at=2.0)
    assert wheel.next_at == 1.5
    wheel.discard("a", at=1.0)
    assert wheel.next_at == 3.5
    wheel.add("b", at=2.0)
    assert wheel.next_at == 2.5
    assert wheel.matured(now=9.0) == ["b", "c"]
    wheel.add("d", at=10.0)
    wheel.discard("d", at=10.0)
    assert wheel.next_at == math.inf


def test_an_item_that_never_comes_due_is_not_held():
    wheel = Wheel[str](tick=0.01)
    wheel.add("a", at=math.inf)
    wheel.discard("a", at=math.inf)

    assert len(wheel) == 0
    assert wheel.next_at == math.inf


def test_an_item_may_be_held_twice():
    wheel = Wheel[str](tick=1.0)
    wheel.add("a", at=1.0)
    wheel.add("a", at=2.0)

    assert wheel.matured(now=2.0) == ["a"]
    assert wheel.matured(now=3.0) == ["a"]


def test_who_leaves_a_full_turn_is_found_without_asking_the_others():
    class Compared:
        times = 0

        def __hash__(self):
            return id(self)

        def __eq__(self, _other):
            Compared.times += 1
            return False

    items = [Compared() for _ in range(2000)]
    wheel = Wheel[Compared](tick=1.0)
    for item in items:
        wheel.add(item, at=1.0)
    for item in reversed(items):
        wheel.discard(item, at=1.0)

    assert len(wheel) == 0
    assert Compared.times < len(items)
