"""The rules of a fair watcher, one test each, told as stories."""

import pytest
from tests.core.driver import watch
from tests.core.rows import numbers_of

from deadpeer.core.events import (
    Died,
    DrainDue,
    PingDue,
    Reason,
    Recovered,
    Slept,
    Suspected,
    WatcherLate,
)
from deadpeer.core.facts import Facts
from deadpeer.core.judge import LATE_PING
from deadpeer.core.monitor import Monitor
from deadpeer.core.states import State
from deadpeer.policy.heartbeat import Heartbeat

RULES = Heartbeat(interval=20, timeout=10)
BEATS = Heartbeat(interval=20, timeout=10, one_way=True)


def asked(rules: Heartbeat = RULES) -> Monitor:
    """A peer that was heard at 0, and asked at 20."""
    monitor = Monitor(rules, now=0.0)
    monitor.advance(now=20.0)
    return monitor


def test_any_received_byte_is_life():
    monitor = asked()
    monitor.heard(now=20.5)  # no answer to the ping, just bytes

    assert monitor.advance(now=21.0) == ()
    assert monitor.wake_at == 40.5


def test_hearing_never_decides():
    monitor = asked()
    before = numbers_of(monitor.row)
    monitor.heard(now=29.0)

    after = numbers_of(monitor.row)
    assert after == before | {"heard_at": 29.0}


def test_a_ping_is_due_an_interval_after_the_last_byte_heard_whatever_was_sent():
    monitor = Monitor(RULES, now=0.0)
    monitor.heard(now=7.0)
    monitor.pinged(now=19.0)  # sending proves nothing

    assert monitor.advance(now=20.0) == ()
    assert monitor.wake_at == 27.0
    assert monitor.advance(now=27.0) == (PingDue(1),)


def test_a_busy_peer_is_never_asked():
    monitor = Monitor(RULES, now=0.0)
    for second in range(1, 600):
        monitor.heard(now=float(second))
        if monitor.wake_at <= second:
            assert monitor.advance(now=float(second)) == ()
    assert monitor.row.sequence == 0


@pytest.mark.parametrize("flushed_at", [20.0, 29.9, None])
def test_the_deadline_is_armed_when_the_ping_is_due_not_when_it_was_flushed(flushed_at):
    monitor = asked()
    if flushed_at is not None:
        monitor.pinged(now=flushed_at)

    (suspected,) = watch(monitor, until=29.99)
    assert isinstance(suspected, Suspected)
    (died,) = watch(monitor, until=30.0)
    assert isinstance(died, Died)
    assert died.evidence.asked_at == 20.0


def test_nobody_is_accused_before_the_drain():
    monitor = asked()
    for now in (21.0, 30.0, 31.0, 1000.0):
        events = monitor.advance(now=now)
        assert events[-1] == DrainDue()
        assert not any(isinstance(event, (Died, Suspected)) for event in events)
    assert monitor.state is State.ALIVE


def test_what_the_drain_brings_saves():
    monitor = asked()
    assert monitor.advance(now=30.0)[-1] == DrainDue()
    monitor.heard(now=30.0)

    assert monitor.drained(now=30.0) == ()
    assert monitor.state is State.ALIVE
    assert monitor.wake_at == 50.0


def test_what_the_kernel_has_and_nobody_has_read_is_life_too():
    monitor = asked()
    assert monitor.drained(now=30.0, facts=Facts(arrived_at=20.25)) == ()
    assert monitor.row.heard_at == 20.25
    assert monitor.wake_at == 40.3  # in company


def test_what_arrived_before_the_question_is_no_answer():
    monitor = asked()
    (_, died) = watch(monitor, until=30.0, facts=Facts(arrived_at=19.0))
    assert isinstance(died, Died)
    assert died.evidence.heard_at == 0.0  # as it was heard


def test_silence_makes_suspect_and_then_dead():
    monitor = asked()
    told: list[object] = []
    while monitor.state is not State.DEAD:
        now = monitor.wake_at
        told += monitor.advance(now=now)
        told += monitor.drained(now=now)

    suspected, died = (event for event in told if event != DrainDue())
    assert isinstance(suspected, Suspected)
    assert isinstance(died, Died)
    assert (suspected.at, died.at) == (21.0, 30.0)
    assert died.reason is Reason.SILENT
    assert monitor.wake_at == float("inf")


def test_a_suspicion_can_be_taken_back_at_once():
    monitor = asked()
    (suspected,) = watch(monitor, until=21.0)
    assert isinstance(suspected, Suspected)
    monitor.heard(now=21.5)

    assert monitor.wake_at == 21.5  # good news do not wait for a deadline
    assert monitor.advance(now=21.5) == (Recovered(21.5, 0.5),)
    assert monitor.state is State.ALIVE
    assert monitor.wake_at == 41.5


def test_a_late_watcher_grants_time_and_says_so():
    monitor = asked()  # to be looked at in 21, and in 30 for the last time

    assert monitor.advance(now=29.0) == (WatcherLate(29.0, 8.0), DrainDue())
    (suspected,) = watch(monitor, until=36.9)
    assert isinstance(suspected, Suspected)
    assert monitor.wake_at == 37.0  # what was lost, from now on
    assert monitor.advance(now=37.0) == (DrainDue(),)
    (died,) = monitor.drained(now=37.0)
    assert isinstance(died, Died)
    assert died.evidence.lateness == 8.0
    assert "this watcher was late" in str(died.evidence)


def test_a_block_puts_the_verdict_off_by_no_more_than_its_length():
    monitor = asked()
    monitor.drained(now=21.0)  # suspect; to be looked at in 30

    assert monitor.advance(now=33.0) == (WatcherLate(33.0, 3.0), DrainDue())
    (died,) = monitor.drained(now=33.0)
    assert isinstance(died, Died)
    assert died.evidence.lateness == 3.0


def test_a_driver_that_knows_of_more_lateness_is_believed():
    monitor = asked()  # to be looked at in 21

    late = Facts(lateness=9.0)
    assert monitor.advance(now=29.0, facts=late) == (WatcherLate(29.0, 9.0), DrainDue())
    monitor.drained(now=29.0, facts=late)
    assert monitor.wake_at == 38.0


def test_a_drain_that_takes_long_is_lateness_too():
    monitor = asked()
    assert monitor.advance(now=21.0) == (DrainDue(),)

    late, suspected = monitor.drained(now=29.05)
    assert late == WatcherLate(29.05, pytest.approx(8.0))
    assert isinstance(suspected, Suspected)
    assert monitor.wake_at == pytest.approx(37.05)


def test_a_timer_within_its_usual_lateness_grants_nothing():
    monitor = asked()
    monitor.drained(now=21.0)

    assert monitor.advance(now=30.04) == (DrainDue(),)
    assert isinstance(monitor.drained(now=30.04)[0], Died)


def test_lateness_is_no_excuse_for_ever():
    monitor = asked()
    late, now = 4.0, 21.0
    while monitor.state is not State.DEAD:
        now = monitor.wake_at + late
        monitor.advance(now=now)
        monitor.drained(now=now)

    assert now == 30.0 + late


def test_a_watcher_that_was_stopped_for_a_minute_gives_the_peer_its_time():
    monitor = asked()  # the wake-up in 21 comes in 80
    assert monitor.advance(now=80.0) == (WatcherLate(80.0, 59.0), DrainDue())
    (suspected,) = monitor.drained(now=80.0)  # everything was read, and it is late
    assert isinstance(suspected, Suspected)

    (died,) = watch(monitor, until=90.0)
    assert isinstance(died, Died)
    assert died.at == 89.0  # what was left of the timeout when it should have looked


def test_a_sleep_of_the_machine_asks_anew():
    monitor = asked()
    monitor.drained(now=21.0)
    slept = Facts(slept=3600.0)

    assert monitor.advance(now=29.0, facts=slept) == (Slept(29.0, 3600.0), PingDue(2))
    assert monitor.wake_at == 30.0
    assert watch(monitor, until=38.99) == ()  # the whole timeout, from now on
    (died,) = watch(monitor, until=39.0)
    assert isinstance(died, Died)
    assert died.reason is Reason.SUSPENDED
    assert died.evidence.slept == 3600.0
    assert "slept for 3600 s" in str(died.evidence)


def test_a_peer_that_outlived_a_sleep_is_not_reproached_with_it():
    monitor = Monitor(RULES, now=0.0)
    monitor.advance(now=5.0, facts=Facts(slept=60.0))
    monitor.heard(now=5.2)
    assert monitor.evidence(now=6.0).slept == 0.0

    monitor.advance(now=25.2)
    (_, died) = watch(monitor, until=35.2)
    assert isinstance(died, Died)
    assert died.reason is Reason.SILENT


def test_while_we_do_not_read_only_the_kernel_may_accuse():
    monitor = asked()
    now = monitor.wake_at
    while now < 1000:
        assert monitor.advance(now=now) == (DrainDue(),)
        assert monitor.drained(now=now, facts=Facts(paused=True, unanswered=9.9)) == ()
        assert monitor.wake_at == now + 1.25
        now = monitor.wake_at
    assert monitor.state is State.ALIVE

    (died,) = monitor.drained(now=now, facts=Facts(paused=True, unanswered=10.0))
    assert isinstance(died, Died)
    assert died.reason is Reason.SILENT
    assert "probes unanswered for 10.000 s" in str(died.evidence)


def test_who_begins_to_read_again_gives_the_peer_its_time():
    monitor = asked()
    watch(monitor, until=29.0, facts=Facts(paused=True))

    assert watch(monitor, until=29.99) == ()
    (suspected,) = watch(monitor, until=30.0)  # the margin after reading was off
    assert isinstance(suspected, Suspected)
    assert monitor.wake_at == 39.0


def test_a_peer_that_beats_unasked_is_never_asked():
    monitor = Monitor(BEATS, now=0.0)
    assert monitor.advance(now=20.0) == ()
    assert monitor.row.sequence == 0
    assert monitor.wake_at == 21.0


@pytest.mark.parametrize(
    ("timeout", "now", "asked_at"),
    [
        (10.0, 20.0 + LATE_PING, 20.0),
        (10.0, 20.1875, 20.1875),  # that is late; the peer gets its time
        (0.25, 20.03125, 20.0),
        (0.25, 20.04, 20.04),  # a moment is less where the timeout is short
    ],
)
def test_a_ping_that_leaves_a_moment_late_was_asked_when_it_was_due(
    timeout, now, asked_at
):
    monitor = Monitor(Heartbeat(interval=20, timeout=timeout), now=0.0)
    assert monitor.advance(now=now) == (PingDue(1),)
    assert monitor.row.asked_at == monitor.row.counts_at == asked_at
    assert monitor.wake_at == now + monitor.row.margin


def test_a_ping_that_waited_for_others_makes_no_watcher_late():
    hasty = Heartbeat(interval=20, timeout=8, suspect_after=0.0625)
    monitor = Monitor(hasty, now=0.03125)
    assert monitor.advance(now=20.125) == (PingDue(1),)
    assert monitor.advance(now=20.15625) == ()  # a look would find nothing yet
    assert [type(event) for event in watch(monitor, until=21.0)] == [Suspected]


def test_a_beat_is_due_when_it_is_due_and_not_when_we_look():
    monitor = Monitor(BEATS, now=0.0)
    monitor.advance(now=20.04)

    suspected, died = watch(monitor, until=30.0)
    assert isinstance(suspected, Suspected)
    assert "its beat missing for 1.000 s of 10 s" in str(suspected.evidence)
    assert suspected.at == 21.0
    assert isinstance(died, Died)
    assert died.evidence.asked_at == 20.0


def test_after_a_sleep_a_beat_has_its_whole_time():
    monitor = asked(BEATS)
    assert monitor.advance(now=25.0, facts=Facts(slept=60.0)) == (Slept(25.0, 60.0),)
    assert monitor.wake_at == 46.0
    suspected, died = watch(monitor, until=55.0)
    assert isinstance(suspected, Suspected)
    assert isinstance(died, Died)
    assert (suspected.at, died.at) == (46.0, 55.0)
    assert died.reason is Reason.SUSPENDED


def test_a_watcher_of_beats_that_was_stopped_accuses_nobody():
    monitor = Monitor(BEATS, now=0.0)
    assert monitor.advance(now=80.0) == ()  # what was due in 20 is missing
    assert monitor.wake_at == 21.0
    assert monitor.advance(now=80.0) == (WatcherLate(80.0, 59.0), DrainDue())
    (suspected,) = monitor.drained(now=80.0)  # a warning, and no accusation
    assert isinstance(suspected, Suspected)
    assert monitor.wake_at == 89.0


def test_the_acknowledgements_of_a_peer_that_beats_unasked_excuse_nothing():
    monitor = asked(BEATS)
    on_its_way = Facts(acked=0, acked_at=20.9, outstanding=5)
    monitor.drained(now=21.0, facts=on_its_way)
    assert monitor.wake_at == 30.0
    (died,) = watch(monitor, until=30.0, facts=on_its_way._replace(acked=4))
    assert isinstance(died, Died)
    assert died.reason is Reason.SILENT


def test_before_the_connection_stands_and_after_it_ended_nothing_is_judged():
    monitor = Monitor(RULES, now=0.0, connecting=True)
    for _ in range(2):
        assert monitor.wake_at == float("inf")
        assert monitor.advance(now=1000.0) == ()
        assert monitor.drained(now=1000.0, facts=Facts(slept=5.0)) == ()
        monitor.close(now=1000.0)
