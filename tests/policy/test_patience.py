"""What a router's report does to the end of a user timeout."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.platforms import Defaults
from deadpeer.policy import Keepalive, State, predict
from deadpeer.policy.patience import put_off, with_reports

SECONDS = st.floats(0, 100)


@pytest.mark.parametrize(
    ("timeout", "untold", "told"), [(3.95, 4.38, 4.96), (2.195, 2.64, 3.39)]
)
def test_the_bounds_hold_what_was_measured(timeout, untold, told):
    def latest(*, reports):
        # Written late enough for a report to come at any moment.
        return predict(
            Keepalive(user_timeout=timeout),
            State.UNACKNOWLEDGED,
            written_at=(9.0, 9.0),
            defaults=Defaults(hz=250),
            reports=reports,
        ).latest

    assert untold <= latest(reports=False) - 9 < told <= latest(reports=True) - 9


@given(timeout=st.floats(1, 1000), rto_max=st.floats(1, 120))
def test_no_report_puts_the_end_off_by_more_than_the_longest_pause(timeout, rto_max):
    assert put_off(timeout, 0.2, rto_max) <= rto_max * 1.13 + 0.01


@given(end=SECONDS, more=SECONDS, first=SECONDS, last=SECONDS)
def test_a_report_never_brings_the_end_forward(end, more, first, last):
    latest = with_reports(end, more, (min(first, last), max(first, last)))
    assert end <= latest <= end + more


def test_a_router_needs_three_seconds_before_it_reports():
    assert with_reports(2.9, 1.0, (0.0, 0.0)) == 2.9
    assert with_reports(3.1, 1.0, (0.0, 0.0)) == 4.1
    assert with_reports(5.9, 1.0, (0.0, 0.0)) == 5.9
    assert with_reports(6.0, 1.0, (0.0, 0.0)) == 7.0
