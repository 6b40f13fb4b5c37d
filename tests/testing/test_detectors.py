"""The public contract catches a detector that breaks any of its laws."""

import math

import pytest

from deadpeer.core.detectors import Fixed
from deadpeer.errors import ConfigError
from deadpeer.testing.detectors import check_detector, size_of


class Good:
    """As short as a detector can be: the silence of a beat and a second."""

    def __init__(self):
        self.sequence, self.heard_at = -math.inf, -math.inf

    def beat(self, sequence, *, now):
        if sequence <= self.sequence:
            return
        if not math.isfinite(now):
            raise ConfigError("no instant")
        self.sequence, self.heard_at = sequence, now

    def deadline(self):
        return self.heard_at + 2 if math.isfinite(self.heard_at) else math.inf

    def suspicion(self, *, now):
        if not math.isfinite(self.heard_at):
            return 0.0
        return max(0.0, (now - self.heard_at) / (self.deadline() - self.heard_at))

    def fresh(self):
        return type(self)()


class EagerWhenEmpty(Good):
    def deadline(self):
        return self.heard_at + 2 if math.isfinite(self.heard_at) else 10.0


class SuspectsStrangers(Good):
    def suspicion(self, *, now):
        return super().suspicion(now=now) if math.isfinite(self.heard_at) else 0.5


class LateDeadline(Good):
    def suspicion(self, *, now):
        return super().suspicion(now=now) * 1.1


class NegativeAtFirst(Good):
    def suspicion(self, *, now):
        return super().suspicion(now=now) - 1e-3 * (now == self.heard_at)


class Forgets(Good):
    def suspicion(self, *, now):
        found = super().suspicion(now=now)
        return found if found < 100 else 1.0


class LearnsFromQuestions(Good):
    asked = 0

    def suspicion(self, *, now):
        self.asked += 1
        return super().suspicion(now=now)

    def deadline(self):
        return super().deadline() + 1e-6 * self.asked


class HearsOldBeats(Good):
    def beat(self, sequence, *, now):
        self.sequence = -math.inf
        super().beat(sequence, now=now)


class FreshIsTheSame(Good):
    def fresh(self):
        return self


class FreshForgetsItsSettings(Good):
    def fresh(self):
        return Fixed(interval=1, margin=5)


class ReadsTheClock(Good):
    def deadline(self):
        later = super().deadline()
        return later + 0.5 * (later > 1000) if math.isfinite(later) else later


class TakesNonsense(Good):
    def beat(self, sequence, *, now):
        if math.isfinite(now):
            super().beat(sequence, now=now)


class BreaksOnNonsense(Good):
    def beat(self, sequence, *, now):
        if not math.isfinite(now):
            self.sequence = self.heard_at = -math.inf
        super().beat(sequence, now=now)


class Hoards(Good):
    def __init__(self):
        super().__init__()
        self.history = []

    def beat(self, sequence, *, now):
        super().beat(sequence, now=now)
        self.history.append((sequence, now))


BROKEN = {
    EagerWhenEmpty: "an empty detector has no deadline",
    SuspectsStrangers: "an empty detector suspects nobody",
    LateDeadline: "suspicion is 1 at the deadline",
    NegativeAtFirst: "suspicion is never negative",
    Forgets: "suspicion never falls in silence",
    LearnsFromQuestions: "asking changes nothing|suspicion is 1",
    HearsOldBeats: "an old beat changes nothing",
    FreshIsTheSame: "an empty detector has no deadline",
    FreshForgetsItsSettings: "a fresh detector is a new one",
    ReadsTheClock: "the clock's zero does not matter",
    TakesNonsense: "refused with ConfigError",
    BreaksOnNonsense: "changes nothing",
    Hoards: "bytes after .* beats are too many",
}


def test_a_detector_that_keeps_the_laws_passes():
    check_detector(Good)


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_a_broken_law_is_named(kind):
    with pytest.raises(AssertionError, match=BROKEN[kind]):
        check_detector(kind)


def test_size_counts_what_is_held_and_each_thing_once():
    big = bytes(100_000)

    assert 100_000 < size_of([big, big]) < 100_500
    assert size_of(Good()) < 2_000


@pytest.mark.parametrize("interval", [0, -1.0, math.nan])
def test_beats_have_a_time_between_them(interval):
    with pytest.raises(ConfigError, match="interval"):
        check_detector(Good, interval=interval)
