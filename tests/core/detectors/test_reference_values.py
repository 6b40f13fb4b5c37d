"""Each detector's deadlines, against its paper's formula computed a second way."""

import math
import random
import statistics
from fractions import Fraction

import pytest

from deadpeer.core.detectors import (
    Bertier,
    Chen,
    Fixed,
    PhiExponential,
    PhiNormal,
    TwoWindow,
)

INTERVAL = Fraction(1, 2)


def beats(seed: int = 7, count: int = 200) -> list[tuple[int, Fraction]]:
    """Return jittered beats, a fifth of them lost, in whole milliseconds."""
    draw = random.Random(seed)  # noqa: S311
    found = []
    for sequence in range(3, 3 + count):
        late = Fraction(draw.randrange(400), 1000)
        if draw.random() < 0.8:
            found.append((sequence, 100 + sequence * INTERVAL + late))
    return sorted(found, key=lambda beat: beat[1])


def newest(told):
    """Yield the history after each beat that was newer than all before."""
    history: list[tuple[int, Fraction]] = []
    for sequence, at in told:
        if not history or sequence > history[-1][0]:
            history.append((sequence, at))
            yield sequence, at, list(history)


def expected(history, sequence: int, size: int) -> Fraction:
    """EA of the paper, by its sum."""
    last = history[-size:]
    offsets = sum((at - i * INTERVAL for i, at in last), start=Fraction(0))
    return offsets / len(last) + sequence * INTERVAL


def compare(detector, reference):
    checked = 0
    for sequence, at, history in newest(beats()):
        detector.beat(sequence, now=float(at))
        wanted = max(reference(sequence, at, history), float(at) + detector.floor)
        assert detector.deadline() == pytest.approx(wanted, abs=1e-7)
        checked += 1
    assert checked > 100


def test_fixed():
    compare(
        Fixed(interval=0.5, margin=0.3, floor=0.01),
        lambda sequence, at, history: float(at + INTERVAL) + 0.3,
    )


@pytest.mark.parametrize("size", [1, 5, 50, 1000])
def test_chen(size):
    compare(
        Chen(interval=0.5, margin=0.3, window=size, floor=0.01),
        lambda sequence, at, history: (
            float(expected(history, sequence + 1, size)) + 0.3
        ),
    )


@pytest.mark.parametrize(("short", "long"), [(1, 1000), (2, 20)])
def test_two_window(short, long):
    compare(
        TwoWindow(interval=0.5, margin=0.3, short=short, long=long, floor=0.01),
        lambda sequence, at, history: (
            float(
                max(
                    expected(history, sequence + 1, short),
                    expected(history, sequence + 1, long),
                )
            )
            + 0.3
        ),
    )


@pytest.mark.parametrize("size", [4, 1000])
def test_bertier(size):
    beta, phi, gamma = Fraction(1), Fraction(4), Fraction(1, 10)
    state = {"delay": Fraction(0), "spread": Fraction(0)}

    def reference(sequence, at, history):
        if len(history) > 1:
            error = at - expected(history[:-1], sequence, size) - state["delay"]
            state["delay"] += gamma * error
            state["spread"] += gamma * (abs(error) - state["spread"])
        margin = beta * state["delay"] + phi * state["spread"]
        return float(
            expected(history, sequence + 1, size) + max(margin, Fraction(1, 100))
        )

    compare(Bertier(interval=0.5, window=size, floor=0.01), reference)


class Gaps:
    """The gaps that a φ detector should have recorded, in plain lists."""

    def __init__(self, prior, size):
        self.all = list(prior)
        self.size = size
        self.heard_at = self.deadline = None

    def after(self, at):
        if self.deadline is not None and float(at) < self.deadline:
            self.all.append(float(at - self.heard_at))
        self.heard_at = at
        return self.all[-self.size :]


@pytest.mark.parametrize("size", [2, 30, 1000])
def test_phi_normal(size):
    gaps = Gaps([0.375, 0.625], size)
    z = -statistics.NormalDist().inv_cdf(1e-8)

    def reference(sequence, at, history):
        seen = gaps.after(at)
        margin = max(z * statistics.pstdev(seen), 0.01)
        gaps.deadline = float(at) + max(statistics.fmean(seen), 0.5) + margin
        return gaps.deadline

    compare(PhiNormal(interval=0.5, window=size, floor=0.01), reference)


@pytest.mark.parametrize("size", [1, 30, 1000])
def test_phi_exponential(size):
    gaps = Gaps([0.5], size)

    def reference(sequence, at, history):
        mean = max(statistics.fmean(gaps.after(at)), 0.5)
        # P_later(t) = exp(-t / mean) = 10 ** -2
        gaps.deadline = float(at) + max(-mean * math.log(1e-2), mean + 0.01)
        return gaps.deadline

    compare(
        PhiExponential(interval=0.5, threshold=2.0, window=size, floor=0.01), reference
    )


def test_cassandras_eight_is_eighteen_means():
    detector = PhiExponential(interval=1.0)
    detector.beat(0, now=0.0)

    assert detector.deadline() == pytest.approx(18.42, abs=0.005)
    assert detector.suspicion(now=9.21) == pytest.approx(0.5, abs=1e-3)


def test_the_first_deadline_of_phi_comes_from_the_prior():
    # Gaps of 0.75 and 1.25: mean 1, standard deviation 0.25.
    detector = PhiNormal(interval=1.0, floor=0.1)
    detector.beat(0, now=0.0)

    assert detector.deadline() == pytest.approx(1 + 5.612001 * 0.25, abs=1e-6)
