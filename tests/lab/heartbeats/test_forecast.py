import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.lab.forecast import BACK
from deadpeer.lab.heartbeats.conditions import conditions_for
from deadpeer.lab.heartbeats.forecast import SLACK, Heard, forecast, nominal
from deadpeer.lab.heartbeats.selection import DEADLY, HEARTBEAT
from deadpeer.lab.scenario import Cell, Scenario, Setting
from deadpeer.lab.terms import HARDSHIPS, Expectation, Fault, Situation
from deadpeer.platforms import LINUX
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.policy.keepalive import Keepalive

BEAT = Heartbeat(interval=6.0, timeout=4.0)
SILENT = [
    Fault.CABLE,
    Fault.SILENT_DROP,
    Fault.LOSS_TO_PEER,
    Fault.LOSS_FROM_PEER,
    Fault.PROCESS_STOPPED,
    Fault.FORGOTTEN,
    Fault.LOSS_OF_5,
    Fault.CLOCK_STEPPED,
]


def cell(fault, situation=Situation.IDLE):
    setting = Setting(name=HEARTBEAT, keepalive=Keepalive(), defaults=LINUX.defaults)
    return Cell(id="x", fault=fault, situation=situation, setting=setting)


def plan(fault, **changes):
    found = conditions_for(fault, Scenario(), peers=10)
    return replace(found, heartbeat=BEAT, **changes)


def said(fault, heard, situation=None, **changes):
    if situation is None:
        situation = Situation.CUT_OFF if fault in HARDSHIPS else Situation.IDLE
    return forecast(cell(fault, situation), plan(fault, **changes), heard)


@pytest.mark.parametrize("fault", SILENT)
def test_silence_is_death_an_interval_and_a_timeout_after_the_last_byte(fault):
    found = said(fault, Heard(last=(-2.0, -1.5)))

    assert found.expectation is Expectation.DEAD
    assert (found.earliest, found.latest) == (8.0, 8.5 + SLACK)


@pytest.mark.parametrize("fault", [*DEADLY, Fault.PROCESS_KILLED])
def test_a_bystander_lives(fault):
    found = said(fault, Heard(last=(-2.0, -2.0)), Situation.BYSTANDER)

    assert found.expectation is Expectation.ALIVE
    assert found.earliest == math.inf


@pytest.mark.parametrize("fault", HARDSHIPS)
def test_who_only_sees_a_hardship_lives(fault):
    assert said(fault, Heard(last=(-2.0, 0.0)), Situation.IDLE).expectation is (
        Expectation.ALIVE
    )


@pytest.mark.parametrize("fault", [Fault.PROCESS_KILLED, Fault.NORMAL_CLOSE])
def test_a_goodbye_is_heard_at_once(fault):
    found = said(fault, Heard(last=(-2.0, -2.0), rtt=0.1))

    assert found.expectation is Expectation.CLOSED
    assert (found.earliest, found.latest) == (0.0, pytest.approx(0.45))


def test_while_the_kernel_delivers_the_ping_may_be_behind_it():
    found = said(Fault.SILENT_DROP, Heard(last=(-9.0, -9.0), delivered=(-0.5, 0.5)))

    assert (found.earliest, found.latest) == (1.0, 4.5 + SLACK)


def test_a_watcher_that_stood_still_knows_when_it_woke_and_waits_once_more():
    found = said(Fault.WATCHER_STOPPED, Heard(last=(-1.0, -1.0)), lasts=60.0)

    assert found.earliest == pytest.approx(60, abs=0.2)
    assert found.latest == pytest.approx(64, abs=0.2)


def test_a_standstill_that_ends_before_anything_is_due_changes_nothing():
    found = said(Fault.LOOP_BLOCKED, Heard(last=(-1.0, -1.0)))

    assert (found.earliest, found.latest) == (9.0, 9.0 + SLACK)


def test_a_ping_in_flight_when_the_loop_is_blocked_is_waited_for():
    found = said(Fault.LOOP_BLOCKED_LONGER, Heard(last=(-6.05, -6.05), rtt=0.2))

    assert found.earliest == pytest.approx(3.95)
    assert found.latest == pytest.approx(7.0, abs=0.2)


def test_a_box_that_resets_does_so_when_it_is_asked():
    found = said(Fault.FORGOTTEN_WITH_RESETS, Heard(last=(-2.0, -2.0), rtt=0.1))
    fresh = said(Fault.FORGOTTEN_WITH_RESETS, Heard(last=(-0.1, -0.1), rtt=0.1))

    assert (found.earliest, found.latest) == (4.0, pytest.approx(4.35))
    # Our acknowledgement of what was just heard may still be due.
    assert fresh.earliest == 0.0


def test_a_peer_that_is_back_resets_the_first_ping_that_it_gets():
    later = said(Fault.REBOOT, Heard(last=(-1.0, -1.0)))
    sooner = said(Fault.REBOOT, Heard(last=(-5.5, -5.5)))
    too_late = said(Fault.REBOOT, Heard(last=(-9.0, -9.0)))

    assert (later.earliest, later.latest) == (5.0, pytest.approx(5.25))
    assert BACK[0] <= sooner.earliest <= BACK[1] < sooner.latest < 4.5
    assert (too_late.earliest, too_late.latest) == (1.0, 1.0 + SLACK)


@pytest.mark.parametrize(
    ("asked_for", "may_answer"), [(-1.0, False), (0.04, False), (0.06, True)]
)
def test_only_a_ping_that_arrived_may_still_be_answered(asked_for, may_answer):
    ours = plan(Fault.LOSS_OF_5)
    planned = replace(cell(Fault.LOSS_OF_5), phase=BEAT.interval + asked_for)
    found = nominal(planned, ours)

    assert found.rtt == 0.1
    assert found.last == (-planned.phase, 0.1 if may_answer else -planned.phase)


@given(
    st.sampled_from([f for f in Fault if f not in (Fault.NONE, Fault.OUTAGE)]),
    st.floats(-9, 0),
    st.floats(0, 0.5),
    st.floats(0, 0.3),
)
def test_every_prediction_is_in_order_and_none_breaks_the_promise(
    fault, last, width, rtt
):
    heard = Heard(last=(last, last + width), rtt=rtt)
    found = said(fault, heard, lasts=3.0)
    promised = last + width + BEAT.detection + SLACK

    assert 0 <= found.earliest <= found.latest
    if found.expectation is Expectation.DEAD and fault not in HARDSHIPS:
        assert found.latest <= promised
