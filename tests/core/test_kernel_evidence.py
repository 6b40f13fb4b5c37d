"""An onlooker: two unanswered packets are suspicious, a timeout of them is a death."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.core.events import (
    Change,
    Closed,
    Died,
    Online,
    Reason,
    Recovered,
    Suspected,
)
from deadpeer.core.facts import Facts
from deadpeer.core.kernel_evidence import Onlooker, probing
from deadpeer.core.states import State
from deadpeer.errors import ConfigError
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.policy.timers import lateness

RULES = Heartbeat(interval=20.0, timeout=10.0)


def onlooker():
    made = Onlooker(RULES, now=0.0)
    assert made.opened(now=0.0) == (Online(0.0),)
    return made


def test_silence_alone_accuses_nobody():
    one = onlooker()
    for now in range(100):
        assert one.look(now=float(now * 3600), facts=Facts(acked_at=0.0)) == ()
    assert one.state is State.ALIVE


def test_what_goes_unanswered_is_suspicious_then_deadly():
    one = onlooker()
    (suspected,) = one.look(now=25.0, facts=Facts(acked_at=0.0, unanswered=4.0))
    assert isinstance(suspected, Suspected)
    assert suspected.evidence.unanswered == 4.0
    assert suspected.evidence.silence == 25.0
    assert one.look(now=27.5, facts=Facts(unanswered=6.5)) == ()
    assert one.look(now=30.9, facts=Facts(unanswered=9.9)) == ()
    assert one.wake_at == pytest.approx(31.0), "it looks again exactly at the end"
    (died,) = one.look(now=31.0, facts=Facts(unanswered=10.0))
    assert isinstance(died, Died)
    assert died.reason is Reason.SILENT
    assert one.wake_at == math.inf
    assert one.look(now=32.0, facts=Facts()) == ()


def test_an_acknowledgement_takes_the_suspicion_back():
    one = onlooker()
    one.look(now=25.0, facts=Facts(unanswered=4.0))
    assert one.look(now=27.5, facts=Facts(acked_at=26.0)) == (Recovered(27.5, 2.5),)
    assert one.heard_at == 26.0


def test_the_kernels_own_verdict_is_one():
    (died,) = onlooker().failed(Reason.RESET, now=1.0)
    assert isinstance(died, Died)
    assert died.reason is Reason.RESET


def test_nothing_is_said_after_the_end_or_before_the_start():
    one = Onlooker(RULES, now=0.0)
    assert one.look(now=1.0, facts=Facts(unanswered=99.0)) == ()
    assert one.opened(now=1.0)
    assert one.opened(now=1.0) == ()
    assert one.close("done", now=2.0) == (Closed(2.0, "done"),)
    assert one.close(now=2.0) == ()
    assert one.failed(Reason.RESET, now=2.0) == ()
    assert one.look(now=3.0, facts=Facts(unanswered=99.0)) == ()


@given(dead_at=st.floats(0.0, 1000.0), late=st.floats(0.0, 0.05))
def test_a_death_is_told_when_its_time_is_up_whenever_it_was(dead_at, late):
    """Something goes unanswered from *dead_at* on; looks come late, not early."""
    one = onlooker()
    now = 0.0
    told: list[Change] = []
    while one.state is not State.DEAD:
        now = one.wake_at + late
        unanswered = max(0.0, now - dead_at)
        told += one.look(now=now, facts=Facts(unanswered=unanswered))
    suspected, died = told
    assert isinstance(suspected, Suspected)
    assert isinstance(died, Died)
    assert 0 <= died.at - dead_at - RULES.timeout <= 0.05 + 0.002
    # It was seen coming: a warning that comes with the verdict is none.
    assert 0 <= suspected.at - dead_at <= RULES.timeout / 4 + 0.05


heartbeats = st.builds(
    Heartbeat,
    interval=st.floats(1.0, 600.0),
    timeout=st.floats(2.5, 120.0),
)


@given(heartbeat=heartbeats)
def test_two_probes_are_unanswered_before_the_promise_ends(heartbeat):
    try:
        made = probing(heartbeat)
    except ConfigError:
        return
    assert made.idle
    assert made.interval
    assert made.probes
    late = lateness(float(made.idle)) + lateness(float(made.interval))
    assert made.idle + late + made.interval <= heartbeat.detection + 0.5
    assert made.idle <= heartbeat.interval
    # The kernel's own verdict comes behind ours, and so does not hide it.
    assert made.interval * made.probes > heartbeat.timeout


@pytest.mark.parametrize(("interval", "timeout"), [(0.5, 5.0), (5.0, 1.0)])
def test_a_kernel_cannot_probe_faster_than_it_counts(interval, timeout):
    with pytest.raises(ConfigError) as caught:
        probing(Heartbeat(interval=interval, timeout=timeout))
    assert "whole seconds" in caught.value.hint


@given(interval=st.floats(1.0, 10_000.0))
def test_what_the_refusal_asks_for_is_enough(interval):
    """The hint: interval >= 1, timeout >= 2 + interval / 6, and so within >= 6."""
    probing(Heartbeat(interval=interval, timeout=2 + interval / 6))
    probing(Heartbeat.within(5 + interval))


def test_a_refusal_shows_no_more_digits_than_a_person_reads():
    with pytest.raises(
        ConfigError, match=r"interval=1\.333, timeout=0\.6667;"
    ) as caught:
        probing(Heartbeat.within(2))
    assert "within=6" in caught.value.hint
