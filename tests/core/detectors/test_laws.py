"""What must be true of every detector, whatever its peer sends."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.detectors.kinds import KINDS, SETTINGS, title

from deadpeer.core.detectors import PhiNormal
from deadpeer.errors import ConfigError
from deadpeer.testing.detectors import check_detector, size_of

# Beats as gaps: how much the number and the clock move on; also backwards.
steps = st.lists(
    st.tuples(
        st.integers(-3, 5),
        st.one_of(st.floats(-2, 6), st.floats(0, 1e6), st.just(1.0)),
    ),
    min_size=1,
    max_size=40,
)
all_settings = pytest.mark.parametrize("setting", SETTINGS, ids=title)
all_kinds = pytest.mark.parametrize("kind", KINDS)


def told(setting, steps, *, began_at=0.0):
    """Return a detector that was told these beats, and the newest one's instant."""
    kind, given_settings = setting
    detector = kind(interval=1.0, **given_settings)
    sequence, now, newest, heard_at = 0, began_at, -math.inf, began_at
    for more, later in steps:
        sequence, now = sequence + more, now + later
        detector.beat(sequence, now=now)
        if sequence > newest:
            newest, heard_at = sequence, now
    return detector, heard_at


@all_settings
@pytest.mark.parametrize("interval", [0.05, 20.0])
def test_it_keeps_the_public_contract(setting, interval):
    kind, given_settings = setting

    check_detector(lambda: kind(interval=interval, **given_settings), interval=interval)


@all_settings
@given(steps=steps)
@settings(max_examples=15)
def test_suspicion_is_one_at_the_deadline(setting, steps):
    detector, _ = told(setting, steps)

    assert abs(detector.suspicion(now=detector.deadline()) - 1) <= 1e-9


@all_settings
@given(steps=steps, instants=st.lists(st.floats(-10, 1e7), min_size=2))
@settings(max_examples=15)
def test_suspicion_never_falls_in_silence(setting, steps, instants):
    detector, heard_at = told(setting, steps)

    found = [detector.suspicion(now=heard_at + at) for at in sorted(instants)]

    assert found == sorted(found)
    assert found[0] >= 0


@all_settings
@given(steps=steps)
@settings(max_examples=15)
def test_a_beat_is_trusted_for_the_floor_at_least(setting, steps):
    detector, heard_at = told(setting, steps)

    assert detector.deadline() >= heard_at + detector.floor
    assert detector.suspicion(now=heard_at) < 1


@all_settings
@given(steps=steps, shift=st.floats(-1e6, 1e6))
@settings(max_examples=15)
def test_the_zero_of_the_clock_does_not_matter(setting, steps, shift):
    here, _ = told(setting, [*steps, (1000, 0.25)])
    there, _ = told(setting, [*steps, (1000, 0.25)], began_at=shift)

    # The one decision that rounding can turn: was a gap longer than the deadline?
    if near_a_decision(setting, steps):
        return
    error = 1e-5 + 1e-9 * abs(here.deadline())
    assert there.deadline() - shift == pytest.approx(here.deadline(), abs=error)


def near_a_decision(setting, steps) -> bool:
    for count in range(1, len(steps)):
        detector, heard_at = told(setting, steps[:count])
        _, now = told(setting, steps[: count + 1])
        if now != heard_at and abs(now - detector.deadline()) < 1e-5:
            return True
    return False


@all_settings
@given(steps=steps, old=st.integers(0, 50), later=st.floats(0, 100))
@settings(max_examples=15)
def test_an_old_beat_changes_nothing(setting, steps, old, later):
    detector, heard_at = told(setting, [(0, 0.0), *steps])
    newest = max_sequence(steps)
    before = [detector.suspicion(now=heard_at + t) for t in range(5)]

    detector.beat(newest - old, now=heard_at + later)

    assert [detector.suspicion(now=heard_at + t) for t in range(5)] == before


def max_sequence(steps) -> int:
    newest, sequence = 0, 0
    for more, _ in steps:
        sequence += more
        newest = max(newest, sequence)
    return newest


@all_settings
@given(steps=steps)
@settings(max_examples=10)
def test_a_fresh_one_knows_nothing_and_has_the_same_settings(setting, steps):
    detector, _ = told(setting, steps)

    fresh = detector.fresh()

    assert repr(fresh) == repr(detector)
    assert fresh.deadline() == math.inf
    assert fresh.suspicion(now=1e9) == 0


@all_settings
def test_on_schedule_the_deadline_is_the_floor_after_the_next_beat_or_later(setting):
    kind, given_settings = setting
    detector = kind(interval=1.0, **given_settings)
    for sequence in range(3000):
        detector.beat(sequence, now=100.0 + sequence)

        assert detector.deadline() >= 101.0 + sequence + detector.floor - 1e-9


@all_kinds
def test_memory_is_bounded_by_the_window(kind):
    # A window's samples take eight bytes each; TwoWindow has two of them.
    detector = kind(interval=1.0)
    sizes = []
    for sequence in range(10_000):
        detector.beat(sequence, now=sequence * 1.001)
        if sequence % 1000 == 999:
            sizes.append(size_of(detector))

    assert max(sizes) <= 12_000
    assert sizes[-1] <= sizes[2] + 64


@all_kinds
def test_a_day_later_it_is_as_exact_as_on_the_first_minute(kind):
    young, old = kind(interval=1.0, floor=0.5), kind(interval=1.0, floor=0.5)
    for sequence in range(5000):
        young.beat(sequence, now=sequence + 0.1 * (sequence % 7))
    for sequence in range(-7 * 3000, 5000):
        old.beat(sequence, now=sequence + 0.1 * (sequence % 7))

    assert old.deadline() == pytest.approx(young.deadline(), abs=1e-6)


@all_kinds
@pytest.mark.parametrize("now", [math.nan, math.inf, -math.inf, 1e300, "6", None])
def test_an_instant_of_no_clock_is_refused_and_nothing_lost(kind, now):
    detector = kind(interval=1.0)
    detector.beat(1, now=5.0)
    deadline = detector.deadline()

    with pytest.raises(ConfigError, match="not an instant") as caught:
        detector.beat(2, now=now)
    assert caught.value.field == "now"
    for sequence in (10**400, math.nan, "2", None):
        with pytest.raises(ConfigError, match="not the number of a beat") as caught:
            detector.beat(sequence, now=6.0)
        assert caught.value.field == "sequence"
    assert caught.value.hint
    assert detector.deadline() == deadline
    detector.beat(2, now=6.0)
    assert detector.deadline() > deadline


@all_kinds
def test_a_clock_too_coarse_for_the_floor_still_has_a_deadline(kind):
    detector = kind(interval=1e-9, floor=1e-9)
    for sequence in range(3):
        detector.beat(sequence, now=9e10 + sequence)

        assert detector.deadline() > 9e10 + sequence
        assert detector.suspicion(now=detector.deadline()) == 1


@all_kinds
@pytest.mark.parametrize("name", ["interval", "floor"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, 1e300, "1", None, True])
def test_a_duration_that_is_none_is_refused(kind, name, value):
    with pytest.raises(ConfigError) as caught:
        kind(**{"interval": 1.0, name: value})

    assert caught.value.field == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("margin", -1),
        ("margin", 1e308),
        ("window", 0),
        ("window", 1.5),
        ("window", True),
        ("window", 10**9),
        ("short", 0),
        ("short", 1000),
        ("long", 1),
        ("threshold", 0),
        ("threshold", math.nan),
        ("threshold", "8"),
        ("gamma", 1.5),
        ("gamma", -0.1),
        ("beta", math.inf),
        ("phi", None),
    ],
)
def test_a_setting_outside_its_range_is_refused_by_name(name, value):
    kinds = [kind for kind in KINDS if name in kind.__slots__]

    assert kinds
    for kind in kinds:
        with pytest.raises(ConfigError) as caught:
            kind(interval=1.0, **{name: value})
        assert caught.value.field in {name, "short"}
        assert caught.value.hint


def test_phi_of_gaps_needs_two_of_them():
    with pytest.raises(ConfigError, match="window=1"):
        PhiNormal(interval=1.0, window=1)
