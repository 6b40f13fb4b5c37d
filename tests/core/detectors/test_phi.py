"""φ is computed exactly: against tables, other algorithms and its own asymptote."""

import math
import statistics
from decimal import Decimal, localcontext
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.core.detectors.phi_normal import FAR, PhiNormal, phi, quantile


def exact_phi(y: str) -> Decimal:
    """
    Return φ by the continued fraction of the normal tail, to 40 digits.

    Q(y) = e^(−y²/2)/√(2π) / (y + 1/(y + 2/(y + 3/(y + …)))), Abramowitz and
    Stegun 26.2.14: neither erfc nor the series that the code uses.
    """
    with localcontext() as context:
        context.prec = 60
        point = Decimal(y)
        below = point
        for k in range(4000, 0, -1):
            below = point + k / below
        pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494")
        log_q = -point * point / 2 - (2 * pi).ln() / 2 - below.ln()
        return -log_q / Decimal(10).ln()


@pytest.mark.parametrize(
    "y",
    ["1", "2.5", "5.612", "8.3", "20", "29.999", "30", "30.001", "37.6", "50", "1e3"],
)
def test_it_is_exact_near_and_far(y):
    assert phi(float(y)) == pytest.approx(float(exact_phi(y)), rel=1e-14)


@pytest.mark.parametrize(
    ("digits", "y"),
    [
        # The upper quantiles of the normal distribution, as in every table of it.
        (1, 1.281552),
        (2, 2.326348),
        (3, 3.090232),
        (4, 3.719016),
        (5, 4.264891),
        (6, 4.753424),
        (8, 5.612001),
        (9, 5.997807),
    ],
)
def test_the_quantile_is_the_one_of_the_tables(digits, y):
    assert quantile(digits) == pytest.approx(y, abs=1e-6)
    assert phi(y) == pytest.approx(digits, abs=1e-5)


@pytest.mark.parametrize("digits", [1, 3, 8, 12, 16, 100, 300])
def test_the_quantile_is_the_one_of_the_standard_library(digits):
    tail = statistics.NormalDist().inv_cdf(10.0**-digits)

    assert quantile(digits) == pytest.approx(-tail, rel=1e-8)


@given(digits=st.floats(0.1, 1e6))
def test_the_quantile_is_where_phi_is(digits):
    assert phi(quantile(digits)) == pytest.approx(digits, rel=1e-12)


def test_what_akka_calls_eight_is_seven():
    # Its logistic stand-in reaches 8 at y = 5.226; the exact value there is 7.06.
    y = 5.226
    e = math.exp(-y * (1.5976 + 0.070566 * y * y))

    assert -math.log10(e / (1 + e)) == pytest.approx(8, abs=2e-3)
    assert phi(y) == pytest.approx(7.06, abs=5e-3)


def test_there_is_no_cliff_where_one_minus_the_distribution_is_zero():
    assert 1 - statistics.NormalDist().cdf(8.3) == 0
    assert phi(8.2) == pytest.approx(15.92, abs=0.01)
    assert phi(8.3) == pytest.approx(16.28, abs=0.01)
    assert 315 < phi(38) < phi(38.5) < phi(39) < 335


def test_it_never_falls_not_even_where_the_series_takes_over():
    steps = [FAR + n * 1e-6 for n in range(-2000, 2000)]
    wide = [n / 100 for n in range(-4500, 6000)]

    for ys in (steps, wide):
        assert all(phi(one) <= phi(two) for one, two in pairwise(ys))


@given(y=st.floats(-1e300, 1e300))
def test_it_is_a_number_for_any_y(y):
    assert phi(y) >= 0
    assert phi(math.inf) == math.inf


def test_long_before_the_expected_beat_it_is_almost_nothing():
    assert phi(0) == pytest.approx(math.log10(2))
    assert phi(-10) == pytest.approx(7.62e-24 / math.log(10), rel=1e-3, abs=0)


def test_the_floor_is_one_under_sigma():
    # On a perfect link sigma tends to 0; the deadline stops at mean + floor,
    # and suspicion there is phi(z) / threshold, as if sigma were floor / z.
    detector = PhiNormal(interval=1.0, floor=0.5, window=100)
    for sequence in range(300):
        detector.beat(sequence, now=float(sequence))

    assert detector.deadline() == pytest.approx(299 + 1 + 0.5, abs=1e-9)
    sigma = 0.5 / quantile(8)
    half = statistics.NormalDist(1.0, sigma).cdf(1.25)
    assert detector.suspicion(now=300.25) == pytest.approx(-math.log10(1 - half) / 8)
