import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.lab.forecast import (
    ARP_GIVES_UP,
    BACK,
    Facts,
    forecast,
    judge,
    nominal_facts,
    with_forecast,
)
from deadpeer.lab.scenario import TOLERANCE, Cell, Scenario, Setting
from deadpeer.lab.selection import DEADLY, choose_cells
from deadpeer.lab.terms import Expectation, Fault, Outcome, Situation
from deadpeer.platforms import LINUX, Defaults
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.policy.keepalive import Keepalive

PLAN = Setting(
    name="plan",
    keepalive=Keepalive(idle=2, interval=1, user_timeout=4.5),
    defaults=LINUX.defaults,
    promise=12.0,
)
NOTHING = Setting(name="nothing", keepalive=Keepalive(), defaults=LINUX.defaults)


def cell(fault=Fault.CABLE, situation=Situation.IDLE, setting=PLAN, **more):
    return Cell(
        id="c",
        fault=fault,
        situation=situation,
        setting=setting,
        observed_for=15.0,
        **more,
    )


def found(fault, situation, setting=PLAN, **facts):
    facts = {"silence": (0.1, 0.1)} | facts
    return forecast(cell(fault, situation, setting), Facts(**facts))


def test_an_idle_peer_is_missed_at_a_keepalive_tick():
    idle = found(Fault.SILENT_DROP, Situation.IDLE)

    # Probes at 2, 3 and 4 s of silence; at 5 s the user timeout has passed.
    assert idle.expectation is Expectation.DEAD
    assert idle.earliest == pytest.approx(4.9)
    assert idle.latest < 5.5


def test_longer_silence_before_the_fault_is_earlier_notice_after_it():
    late, early = (
        found(Fault.SILENT_DROP, Situation.IDLE, silence=(s, s)) for s in (0.1, 1.1)
    )

    assert late.earliest - early.earliest == pytest.approx(1.0)
    assert late.latest - early.latest == pytest.approx(1.0)


@pytest.mark.parametrize("fault", [Fault.OUTAGE, Fault.NONE])
@pytest.mark.parametrize("setting", [PLAN, NOTHING])
def test_where_nobody_dies_nothing_may_be_reported(fault, setting):
    live = found(fault, Situation.IDLE, setting)

    assert live.expectation is Expectation.ALIVE
    assert live.earliest == live.latest == math.inf


@pytest.mark.parametrize("fault", [Fault.PROCESS_KILLED, Fault.NORMAL_CLOSE])
def test_a_goodbye_is_heard_at_once_whatever_is_set(fault):
    for setting in (PLAN, NOTHING):
        said = found(fault, Situation.IDLE, setting, rtt=0.2)

        assert said.expectation is Expectation.CLOSED
        assert said.latest < 1.0


def test_without_an_interface_a_connect_fails_at_once():
    failed = found(Fault.OWN_NIC_DOWN, Situation.CONNECTING)

    assert failed.earliest == 0.0
    assert failed.latest < 1.0


def test_a_router_that_finds_no_host_ends_a_connect_that_nothing_limits():
    said = found(Fault.CABLE, Situation.CONNECTING, NOTHING)
    unsaid = found(Fault.SILENT_DROP, Situation.CONNECTING, NOTHING)

    assert (said.earliest, said.latest) == ARP_GIVES_UP
    assert unsaid.expectation is Expectation.UNNOTICED


def test_a_user_timeout_shorter_than_the_router_needs_comes_first():
    quick = replace(PLAN, keepalive=Keepalive(user_timeout=2.0))

    assert found(Fault.CABLE, Situation.CONNECTING, quick).latest < 3.0


def test_a_peer_without_state_resets_the_first_that_asks():
    idle = found(Fault.REBOOT, Situation.IDLE)

    # Probes at 1.9, 2.9 and so on after the fault.
    assert idle.earliest == BACK[0]
    assert idle.latest < 4.0
    assert "reset" in idle.why


def test_a_peer_without_state_is_not_noticed_by_who_asks_nothing():
    assert found(Fault.REBOOT, Situation.IDLE, NOTHING).latest == math.inf


def test_a_retransmission_is_reset_without_any_setting():
    sent = found(
        Fault.REBOOT, Situation.UNACKNOWLEDGED, NOTHING, written_at=(0, 0), rto=0.2
    )

    assert sent.expectation is Expectation.DEAD
    # Retransmissions at 0.4, 0.8, 1.6 and 3.2 s.
    assert BACK[0] <= sent.earliest < 3.2 < sent.latest < 4.5


def test_while_data_is_in_flight_no_keepalive_probe_is_reckoned_with():
    probing = replace(PLAN, keepalive=Keepalive(idle=1, interval=1, probes=9))
    sent = found(
        Fault.REBOOT,
        Situation.IDLE_THEN_WRITE,
        probing,
        written_at=(0.5, 0.5),
        rto=0.2,
    )

    # Probes would come every second; the retransmission is at 0.5 + 3.2 s.
    assert sent.latest > 3.7


def test_a_probe_that_may_come_before_the_write_may_be_the_one_that_is_reset():
    slower = replace(PLAN, keepalive=Keepalive(idle=7, interval=1, user_timeout=12))
    sent = found(
        Fault.REBOOT, Situation.IDLE_THEN_WRITE, slower, written_at=(7.5, 7.5), rto=0.2
    )

    # The probe is due at 6.9 s, and up to half a second late.
    assert sent.earliest == pytest.approx(6.9)
    assert 7.5 < sent.latest < 8.0


def test_probes_before_data_that_cannot_leave_count_against_it():
    patient = replace(
        PLAN, keepalive=Keepalive(idle=7, interval=1, probes=5, rto_max=1.04)
    )
    sent = found(
        Fault.OWN_NIC_DOWN, Situation.IDLE_THEN_WRITE, patient, written_at=(11.5, 11.5)
    )

    # Measured on Linux 6.18: 21.42 s.
    assert 11.5 < sent.earliest < 21.42 < sent.latest


def test_data_that_never_left_is_given_up_from_its_first_sending():
    sent = found(
        Fault.OWN_NIC_DOWN, Situation.UNACKNOWLEDGED, written_at=(-0.05, -0.05), rtt=0.2
    )

    assert sent.earliest == pytest.approx(4.45)


@given(
    fault=st.sampled_from([*DEADLY, Fault.PROCESS_KILLED, Fault.NORMAL_CLOSE]),
    situation=st.sampled_from(Situation),
    setting=st.sampled_from([PLAN, NOTHING]),
    silence=st.floats(0, 2),
    written_at=st.floats(0, 12),
    closed=st.floats(0, 2),
    rtt=st.floats(0, 0.3),
)
def test_every_cell_gets_a_prediction_in_order(
    fault, situation, setting, silence, written_at, closed, rtt
):
    writes = situation in (Situation.UNACKNOWLEDGED, Situation.IDLE_THEN_WRITE)
    closes = situation in (Situation.ZERO_WINDOW, Situation.READER_PAUSES)
    facts = Facts(
        silence=(silence, silence),
        written_at=(written_at, written_at) if writes else None,
        closed=(closed, closed) if closes else None,
        rtt=rtt,
    )

    said = forecast(cell(fault, situation, setting), facts)

    assert 0 <= said.earliest <= said.latest
    assert said.why


def predicted(expectation=Expectation.DEAD, earliest=4.0, latest=5.0, **more):
    return cell(expectation=expectation, earliest=earliest, latest=latest, **more)


@pytest.mark.parametrize(
    ("outcome", "at", "words"),
    [
        (Outcome.DEAD, 4.5, ""),
        (Outcome.DEAD, 4.0 - TOLERANCE / 2, ""),
        (Outcome.DEAD, 5.0 + TOLERANCE / 2, ""),
        (Outcome.REFUSED, 4.5, ""),
        (Outcome.DEAD, 3.9, "too early"),
        (Outcome.DEAD, 5.1, "too late"),
        (Outcome.CLOSED, 4.5, "nobody ended it"),
        (Outcome.ALIVE, None, "not reported"),
    ],
)
def test_a_death_must_be_reported_within_its_prediction(outcome, at, words):
    wrong = judge(predicted(), outcome, at)

    assert words in wrong
    assert bool(wrong) == bool(words)


def test_a_death_must_be_reported_within_the_promise_too():
    hasty = predicted(latest=99.0, setting=replace(PLAN, promise=4.4))

    assert "promise" in judge(hasty, Outcome.DEAD, 4.5)


def test_a_report_about_a_live_peer_is_wrong_whenever_it_comes():
    live = predicted(Expectation.ALIVE, math.inf, math.inf, fault=Fault.NONE)

    assert "live peer" in judge(live, Outcome.DEAD, 4.5)
    assert judge(live, Outcome.ALIVE, None) == ""


def test_what_is_predicted_for_later_may_not_be_reported_in_time():
    unnoticed = predicted(Expectation.UNNOTICED, 900.0, 1000.0)

    assert judge(unnoticed, Outcome.ALIVE, None) == ""
    assert "too early" in judge(unnoticed, Outcome.DEAD, 14.0)


@pytest.mark.parametrize("within", [6.0, 10.0, 30.0])
def test_every_death_is_predicted_within_the_promise(within):
    cells = choose_cells(Scenario(within=within, full=True))
    dying = [
        c
        for c in cells
        if c.setting.promise
        and not c.peer_lives
        and c.fault is not Fault.PROCESS_STOPPED
    ]

    assert all(c.expectation is not Expectation.UNNOTICED for c in dying)
    assert all(c.latest <= within for c in dying)


def test_a_cell_takes_its_prediction_with_it():
    asked = cell(phase=0.1)

    told = with_forecast(asked, nominal_facts(asked, 0.0))

    assert (told.earliest, told.latest) != (asked.earliest, asked.latest)
    assert told.why


@pytest.mark.parametrize("within", [6.0, 30.0])
def test_no_setting_of_the_kernel_is_expected_to_see_a_stopped_process(within):
    cells = choose_cells(Scenario(within=within, full=True, heartbeats=False))
    stopped = [c for c in cells if c.fault is Fault.PROCESS_STOPPED]

    assert stopped
    assert all(c.expectation is Expectation.UNNOTICED for c in stopped)
    assert all(math.isinf(c.earliest) for c in stopped)


def test_a_heartbeat_that_misses_its_bound_is_not_forgiven_a_busy_lab():
    late = replace(
        predicted(Expectation.DEAD, 4.0, 5.0),
        setting=Setting(
            name="heartbeat",
            keepalive=Keepalive(),
            defaults=Defaults(),
            heartbeat=Heartbeat(interval=3, timeout=2),
        ),
    )

    assert judge(late, Outcome.DEAD, 4.99) == ""
    assert "too late" in judge(late, Outcome.DEAD, 5.01)
