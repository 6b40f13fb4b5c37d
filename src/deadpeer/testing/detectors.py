"""
The laws of a failure detector, as one call for your own.

``deadpeer.core.detectors.base`` says why each of them matters. The scripts are
fixed, so a failure comes back the next time.
"""

import gc
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import BuiltinFunctionType, FunctionType, ModuleType

from deadpeer.core.detectors import Detector
from deadpeer.errors import ConfigError
from deadpeer.policy.keepalive import require_seconds

__all__ = ["check_detector"]

# The golden ratio's multiples never settle into a rhythm.
GOLDEN = (math.sqrt(5) - 1) / 2

# Enough beats to fill the usual window of a thousand, and then some.
MANY = 2500

# In each script something happens to the beats from here on.
TURN = 20

# A rounding or two of numbers around 1.
EXACT = 1e-9

Beats = Sequence[tuple[int, float]]


def check_detector(
    make: Callable[[], Detector], *, interval: float = 1.0, most_bytes: int = 65_536
) -> None:
    """
    Check that a detector keeps the laws, whatever beats it is told.

    Args:
        make: Makes an empty detector; called several times.
        interval: Seconds between beats, as the detector expects them.
        most_bytes: Bytes that one detector may take, everything it holds included.

    Raises:
        AssertionError: A law is broken; the message says which, and when.
        ConfigError: *interval* is no duration.

    >>> from deadpeer.core.detectors import Fixed
    >>> check_detector(lambda: Fixed(interval=1, margin=2))
    """
    require_seconds("interval", interval)
    _check_empty(make())
    for name, beats in scripts(interval):
        detector = make()
        for sequence, now in beats:
            detector.beat(sequence, now=now)
            _check_silence(detector, now, interval, f"{name}, beat {sequence}")
        _check_old_beats(detector, beats, name)
        _check_fresh(detector, make(), beats, name)
        _check_shift(make, beats, name)
    _check_nonsense(make(), interval)
    _check_memory(make(), interval, most_bytes)


def scripts(interval: float) -> Iterator[tuple[str, Beats]]:
    """
    Yield beats with the name of what happened to them, in order of arrival.

    Args:
        interval: Seconds between beats.
    """
    on_time = [(i, i * interval) for i in range(40)]
    yield "one beat", on_time[:1]
    yield "on time", on_time
    yield "a number that is not zero first", [(i + 7, at - 3.0) for i, at in on_time]
    yield (
        "jitter",
        [(i, at + 0.4 * interval * (i * GOLDEN % 1)) for i, at in on_time],
    )
    yield "every third lost", [(i, at) for i, at in on_time if i % 3]
    yield (
        "silence, then more",
        [(i, at + 90 * interval * (i > TURN)) for i, at in on_time],
    )
    yield (
        "a path that stalls, then lets all go",
        [(i, max(at, 35 * interval) if i > TURN else at) for i, at in on_time],
    )
    yield (
        "a sender that stalls and shifts",
        [(i, at + 8 * interval * (i > TURN)) for i, at in on_time],
    )
    yield (
        "an outage of an hour",
        [(i, at) for i, at in on_time if i < TURN]
        + [(3600 + i, (3600 + i) * interval) for i in range(TURN)],
    )
    yield (
        "slow answers, then quick ones",
        [(i, at + 5 * interval * (not i % 10)) for i, at in on_time],
    )


def _check_empty(detector: Detector) -> None:
    _law(detector.deadline() == math.inf, "an empty detector has no deadline")
    for now in (-1e6, 0.0, 1e6):
        _law(detector.suspicion(now=now) == 0, "an empty detector suspects nobody")


def _check_silence(
    detector: Detector, heard_at: float, interval: float, when: str
) -> None:
    deadline = detector.deadline()
    _law(heard_at < deadline < math.inf, f"a deadline is after its beat: {when}")
    at_deadline = detector.suspicion(now=deadline)
    _law(abs(at_deadline - 1) <= EXACT, f"suspicion is 1 at the deadline: {when}")
    steps = [heard_at + interval * 0.25 * n for n in range(40)]
    steps += [deadline, deadline + interval, deadline + 1e3, deadline + 1e6]
    before = 0.0
    for now in sorted(steps):
        suspicion = detector.suspicion(now=now)
        _law(suspicion >= 0, f"suspicion is never negative: {when}")
        _law(suspicion >= before, f"suspicion never falls in silence: {when}")
        before = suspicion
    _law(detector.deadline() == deadline, f"asking changes nothing: {when}")


def _check_old_beats(detector: Detector, beats: Beats, when: str) -> None:
    deadline = detector.deadline()
    newest, now = beats[-1]
    for old in (newest, newest - 1, newest - 1000):
        detector.beat(old, now=now + 0.5)
        _law(detector.deadline() == deadline, f"an old beat changes nothing: {when}")


def _check_fresh(used: Detector, new: Detector, beats: Beats, when: str) -> None:
    deadline = used.deadline()
    fresh = used.fresh()
    _check_empty(fresh)
    _law(
        deadlines(fresh, beats) == deadlines(new, beats),
        f"a fresh detector is a new one: {when}",
    )
    _law(used.deadline() == deadline, f"a fresh detector is another one: {when}")


def _check_shift(make: Callable[[], Detector], beats: Beats, when: str) -> None:
    for shift in (-12_345.0, 1e6, 1.7e9):
        # What a float can tell apart at that time, a few times over.
        error = 1e-6 + 256 * math.ulp(abs(shift) + beats[-1][1])
        shifted = deadlines(make(), [(i, at + shift) for i, at in beats])
        for one, two in zip(deadlines(make(), beats), shifted, strict=True):
            _law(
                abs(two - shift - one) <= error,
                f"the clock's zero does not matter: {when}, shifted by {shift:g} s",
            )


def _check_nonsense(detector: Detector, interval: float) -> None:
    detector.beat(0, now=0.0)
    detector.beat(1, now=interval)
    deadline = detector.deadline()
    for now in (math.nan, math.inf, -math.inf):
        try:
            detector.beat(2, now=now)
        except ConfigError:
            pass
        else:
            _law(kept=False, name=f"now={now} is refused with ConfigError")
        _law(detector.deadline() == deadline, f"now={now} changes nothing")
    detector.beat(2, now=2 * interval)
    _law(detector.deadline() != deadline, "a beat after nonsense is heard")


def _check_memory(detector: Detector, interval: float, most_bytes: int) -> None:
    for i in range(MANY):
        detector.beat(i, now=i * interval * 1.0001)
    size = size_of(detector)
    _law(size <= most_bytes, f"{size} bytes after {MANY} beats are too many")


def deadlines(detector: Detector, beats: Iterable[tuple[int, float]]) -> list[float]:
    """
    Return the deadline after each beat, as instants in seconds, in their order.

    Args:
        detector: An empty one.
        beats: Numbers and instants, in order of arrival.
    """
    found = []
    for sequence, now in beats:
        detector.beat(sequence, now=now)
        found.append(detector.deadline())
    return found


def _law(kept: bool, name: str) -> None:  # noqa: FBT001 - the law itself
    if not kept:
        raise AssertionError(name)


def size_of(thing: object) -> int:
    """
    Return the bytes that an object takes, with all that only instances hold.

    Args:
        thing: The object; its classes and functions are not counted.
    """
    shared = (type, FunctionType, BuiltinFunctionType, ModuleType)
    seen: dict[int, object] = {}
    todo = [thing]
    while todo:
        found = todo.pop()
        if id(found) not in seen and not isinstance(found, shared):
            seen[id(found)] = found
            todo += gc.get_referents(found)
    return sum(sys.getsizeof(found) for found in seen.values())
