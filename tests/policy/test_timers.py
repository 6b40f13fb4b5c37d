"""The kernel's arithmetic, against the kernel's documents and measurements."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.platforms import Defaults
from deadpeer.policy.timers import (
    first_retransmission,
    give_up_after,
    lateness,
    persist_schedule,
    syn_schedule,
)

SECONDS = st.floats(0.001, 100_000)


@given(seconds=st.floats(1, 100_000))
def test_a_timer_is_late_by_an_eighth_at_the_most(seconds):
    assert 0 < lateness(seconds) <= seconds * 8 / 63 + 0.01


@given(a=SECONDS, b=SECONDS)
def test_a_longer_timer_is_never_less_late(a, b):
    assert (a <= b) == (lateness(a) <= lateness(b)) or lateness(a) == lateness(b)


@pytest.mark.parametrize(
    ("retries", "rto_max", "seconds"),
    [(15, 120, 924.6), (8, 120, 102.2), (15, 1, 14.4), (15, 2, 27.0), (4, 120, 6.2)],
)
def test_giving_up_agrees_with_ip_sysctl_and_the_kernel_model(
    retries, rto_max, seconds
):
    assert give_up_after(retries, rto_max) == pytest.approx(seconds)


@given(retries=st.integers(1, 30), rto_max=st.floats(1, 120))
def test_more_retries_or_longer_pauses_never_give_up_sooner(retries, rto_max):
    assert give_up_after(retries, rto_max) <= give_up_after(retries + 1, rto_max)
    # The threshold moves in powers of two, so compare a doubling.
    assert give_up_after(retries, rto_max) <= give_up_after(retries, 2 * rto_max) + 1e-9


@pytest.mark.parametrize(("rtt", "measured"), [(0.02, 0.49), (0.2, 0.92), (0.6, 1.77)])
def test_the_slack_of_the_user_timeout_covers_what_was_measured(rtt, measured):
    earliest, latest = first_retransmission(rtt, Defaults())
    # The measurement holds the lateness of the last timer, too.
    assert earliest <= measured <= latest + lateness(2.0)


@pytest.mark.parametrize(
    ("retries", "linear", "gives_up"), [(6, 0, 127), (6, 4, 131), (3, 4, 19), (1, 0, 3)]
)
def test_a_connect_gives_up_when_the_documents_say(retries, linear, gives_up):
    sent, at = syn_schedule(Defaults(syn_retries=retries, syn_linear=linear), 120)
    assert at == gives_up
    assert len(sent) == 1 + retries + linear
    assert sent == sorted(sent)


def test_window_probes_double_up_to_the_longest_pause():
    assert persist_schedule(0.25, 1.0, 5) == [0.25, 0.75, 1.75, 2.75, 3.75]
