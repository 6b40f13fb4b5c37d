"""The monitor: what it tells, and the round trips that it measures."""

import pytest
from tests.core.driver import watch

from deadpeer.core import judge as codes
from deadpeer.core.detectors.fixed import Fixed
from deadpeer.core.detectors.two_window import TwoWindow
from deadpeer.core.events import (
    Closed,
    Died,
    DrainDue,
    Evidence,
    Online,
    PingDue,
    Reason,
    Recovered,
    Slept,
    Suspected,
    WatcherLate,
)
from deadpeer.core.facts import Facts
from deadpeer.core.monitor import Monitor
from deadpeer.core.rtt import Rtt
from deadpeer.core.states import State
from deadpeer.policy.heartbeat import Heartbeat

RULES = Heartbeat(interval=20, timeout=10)


def asked(rules: Heartbeat = RULES) -> Monitor:
    monitor = Monitor(rules, now=0.0)
    assert monitor.advance(now=20.0) == (PingDue(1),)
    return monitor


def answered(monitor: Monitor, rtt: float) -> None:
    """Ask when it is due, and have the peer answer after so many seconds."""
    now = monitor.row.heard_at + monitor.heartbeat.interval
    (ping,) = monitor.advance(now=now)
    assert isinstance(ping, PingDue)
    monitor.pinged(now=now)
    monitor.answered(ping.sequence, now=now + rtt)


def test_a_peer_goes_through_its_life():
    monitor = Monitor(RULES, now=0.0, connecting=True)
    assert (monitor.state, monitor.wake_at) == (State.CONNECTING, float("inf"))
    assert monitor.opened(now=5.0) == (Online(5.0),)
    assert (monitor.state, monitor.wake_at) == (State.ALIVE, 25.0)
    assert monitor.row.heard_at == 5.0
    assert monitor.opened(now=6.0) == ()
    assert monitor.wake_at == 25.0
    assert monitor.close("bye", now=7.0) == (Closed(7.0, "bye"),)
    assert (monitor.state, monitor.wake_at) == (State.CLOSED, float("inf"))
    assert monitor.close(now=8.0) == ()
    assert monitor.failed(Reason.RESET, now=8.0) == ()


def test_what_was_agreed_before_the_opening_holds_from_there_on():
    monitor = Monitor(RULES, now=0.0, connecting=True)
    monitor.heartbeat = Heartbeat(interval=2, timeout=0.5)
    monitor.opened(now=5.0)
    assert monitor.advance(now=7.0) == (PingDue(1),)
    assert monitor.wake_at == 7.25
    *_, died = watch(monitor, until=7.5)
    assert isinstance(died, Died)


def test_a_broken_connection_is_dead_with_what_is_known():
    monitor = asked()
    facts = Facts(outstanding=7, unanswered=2.0)
    (died,) = monitor.failed(Reason.TIMED_OUT, now=24.0, facts=facts)

    evidence = Evidence(
        heard_at=0.0,
        silence=24.0,
        asked_at=20.0,
        waited=4.0,
        counted=4.0,
        timeout=10.0,
        sequence=1,
        outstanding=7,
        unanswered=2.0,
    )
    assert died == Died(24.0, Reason.TIMED_OUT, evidence)
    assert (monitor.state, monitor.wake_at) == (State.DEAD, float("inf"))
    assert monitor.failed(Reason.RESET, now=25.0) == ()
    assert monitor.close(now=25.0) == ()


def test_a_connection_may_break_before_it_stands():
    monitor = Monitor(RULES, now=0.0, connecting=True)
    (died,) = monitor.failed(Reason.UNREACHABLE, now=3.0)
    assert died == Died(
        3.0,
        Reason.UNREACHABLE,
        Evidence(heard_at=0.0, silence=3.0, timeout=10.0, sequence=0),
    )
    assert monitor.opened(now=4.0) == ()


def test_the_whole_story_of_a_death():
    monitor = asked()
    row = Evidence(
        heard_at=0.0,
        silence=21.0,
        asked_at=20.0,
        waited=1.0,
        counted=1.0,
        timeout=10.0,
        sequence=1,
    )
    assert monitor.advance(now=21.0) == (DrainDue(),)
    assert monitor.drained(now=21.0) == (Suspected(21.0, row),)
    assert monitor.advance(now=30.0) == (DrainDue(),)
    dead = Evidence(
        heard_at=0.0,
        silence=30.0,
        asked_at=20.0,
        waited=10.0,
        counted=10.0,
        timeout=10.0,
        sequence=1,
    )
    assert monitor.drained(now=30.0) == (Died(30.0, Reason.SILENT, dead),)


def test_a_suspicion_is_told_once_and_its_end_with_its_length():
    monitor = asked()
    assert len(watch(monitor, until=25.0)) == 1
    assert watch(monitor, until=26.0) == ()
    monitor.heard(now=26.5)
    assert monitor.advance(now=27.0) == (Recovered(27.0, 6.0),)
    assert watch(monitor, until=45.0) == ()


def test_evidence_of_a_quiet_peer_says_that_nothing_was_asked():
    monitor = asked()
    monitor.heard(now=20.5)
    assert monitor.evidence(now=22.0) == Evidence(
        heard_at=20.5, silence=1.5, timeout=10.0, sequence=1
    )
    monitor = asked()
    monitor.heard(now=20.0)
    assert monitor.evidence(now=22.0).asked_at is None


def test_time_that_does_not_count_is_not_counted():
    monitor = asked()
    monitor.drained(now=21.0, facts=Facts(paused=True))
    assert monitor.evidence(now=23.0).counted == 2.0
    assert monitor.evidence(now=20.5).counted == 0.0
    assert monitor.evidence(now=23.0).waited == 3.0


@pytest.mark.parametrize(("acked", "covered"), [(None, None), (10, False), (15, True)])
def test_evidence_says_whether_the_question_was_delivered(acked, covered):
    monitor = asked()
    monitor.pinged(now=20.0, covers=15)
    monitor.drained(now=21.0, facts=Facts(acked=acked, acked_at=20.5, outstanding=5))
    assert monitor.evidence(now=21.0).covered is covered
    monitor.heard(now=22.0)
    assert monitor.evidence(now=22.0).covered is None


def test_evidence_reads_like_a_sentence():
    assert str(Evidence(heard_at=0.0, silence=1.25)) == "silent for 1.250 s"
    full = Evidence(
        heard_at=0.0,
        silence=31.5,
        asked_at=20.0,
        waited=11.5,
        timeout=10.0,
        sequence=3,
        lateness=1.5,
        covered=False,
        outstanding=800,
        unanswered=2.0,
        slept=60.0,
    )
    assert str(full) == (
        "silent for 31.500 s, question 3 unanswered for 11.500 s of 10 s, "
        "800 bytes not acknowledged, the kernel's probes unanswered for 2.000 s, "
        "this watcher was late by 1.500 s, this machine slept for 60 s"
    )


def test_a_late_watcher_tells_its_lateness_and_carries_on():
    monitor = asked()
    assert monitor.advance(now=24.0) == (WatcherLate(24.0, 3.0), DrainDue())
    (suspected,) = monitor.drained(now=24.0)
    assert isinstance(suspected, Suspected)
    assert suspected.evidence.lateness == 3.0
    late = Facts(lateness=5.0)
    assert monitor.advance(now=30.0, facts=late) == (WatcherLate(30.0, 5.0), DrainDue())


def test_a_sleep_is_told_also_where_nothing_has_to_be_sent():
    beats = Monitor(Heartbeat(interval=20, timeout=10, one_way=True), now=0.0)
    assert beats.advance(now=5.0, facts=Facts(slept=9.0)) == (Slept(5.0, 9.0),)
    monitor = Monitor(RULES, now=0.0)
    told = monitor.advance(now=5.0, facts=Facts(slept=9.0))
    assert told == (Slept(5.0, 9.0), PingDue(1))
    monitor.drained(now=6.0)
    assert monitor.state is State.SUSPECT
    told = monitor.advance(now=7.0, facts=Facts(slept=9.0))
    assert told == (Slept(7.0, 9.0), PingDue(2))


def test_without_an_answered_ping_there_is_no_round_trip():
    monitor = asked()
    monitor.answered(1, now=20.5)  # it was never handed over
    assert monitor.rtt is None
    assert monitor.row.heard_at == 20.5
    monitor.pinged(now=20.6)
    monitor.answered(7, now=20.7)
    assert monitor.rtt is None
    assert monitor.row.heard_at == 20.7


def test_round_trips_come_from_answered_pings_only():
    monitor = Monitor(RULES, now=0.0)
    answered(monitor, 0.25)
    assert monitor.rtt == Rtt(last=0.25, smoothed=0.25, variance=0.125, smallest=0.25)
    answered(monitor, 0.75)
    assert monitor.rtt == Rtt(
        last=0.75, smoothed=0.3125, variance=0.21875, smallest=0.25
    )
    row = monitor.row
    monitor.answered(row.sequence, now=row.heard_at + 5)  # again: tells nothing
    monitor.heard(now=row.heard_at + 1)
    assert monitor.rtt == Rtt(
        last=0.75, smoothed=0.3125, variance=0.21875, smallest=0.25
    )


def test_a_round_trip_of_nothing_is_one():
    monitor = Monitor(RULES, now=0.0)
    answered(monitor, 0.0)
    assert monitor.rtt == Rtt(last=0.0, smoothed=0.0, variance=0.0, smallest=0.0)


def test_an_answer_that_comes_before_its_ping_was_handed_over_is_no_round_trip():
    monitor = asked()
    monitor.pinged(now=20.0)
    monitor.heard(now=21.0)
    assert monitor.advance(now=41.0) == (PingDue(2),)
    monitor.answered(2, now=41.0)
    assert monitor.rtt is None


def test_an_answer_that_was_perhaps_read_late_is_no_round_trip():
    monitor = asked()
    monitor.pinged(now=20.0)
    monitor.advance(now=25.0)
    monitor.answered(1, now=25.0)
    assert monitor.rtt is None

    monitor = Monitor(RULES, now=0.0)
    monitor.advance(now=5.0, facts=Facts(slept=9.0))
    monitor.pinged(now=5.0)
    monitor.answered(1, now=5.5)
    assert monitor.rtt is None
    answered(monitor, 0.5)
    assert monitor.rtt is not None


@pytest.mark.parametrize(
    ("rtts", "margin"),
    [
        ([0.125], 1.0),  # 0.125 + 4 · 0.0625 is below the floor
        ([1.0], 3.0),  # 1 + 4 · 0.5
        ([1.0, 1.0], 2.5),  # 1 + 4 · 0.375
        ([1.0, 2.0], 4.5),  # the last counts: 2 + 4 · 0.625
        ([2.0, 1.0], 5.875),  # 1.875 + 4 · 1: so does the average
        ([9.0], 10.0),  # never beyond the timeout
    ],
)
def test_the_margin_follows_the_round_trips_between_floor_and_timeout(rtts, margin):
    monitor = Monitor(RULES, now=0.0)
    for rtt in rtts:
        answered(monitor, rtt)
    assert monitor.row.margin == margin
    now = monitor.row.heard_at + 20
    monitor.advance(now=now)
    assert monitor.wake_at == now + min(margin, 7.5)


def test_a_detector_sets_the_margin_instead():
    monitor = Monitor(RULES, now=0.0, detector=Fixed(interval=20, margin=3))
    answered(monitor, 0.5)
    assert monitor.row.margin == 3.5
    answered(monitor, 0.25)
    assert monitor.row.margin == 3.25
    assert monitor.rtt is not None


def test_a_detector_is_a_prototype_that_peers_do_not_share():
    prototype = Fixed(interval=20, margin=3)
    one = Monitor(RULES, now=0.0, detector=prototype)
    other = Monitor(RULES, now=0.0, detector=prototype)
    assert one.detector is not prototype
    assert one.detector is not other.detector
    answered(one, 0.5)
    assert prototype.deadline() == float("inf")


def test_a_detector_learns_on_when_the_sequence_numbers_begin_anew():
    monitor = Monitor(RULES, now=0.0, detector=TwoWindow(interval=20, margin=1, long=4))
    monitor.row.sequence = codes.SEQUENCES - 3
    for _ in range(4):
        answered(monitor, 0.5)
    for _ in range(6):
        answered(monitor, 2.5)
    assert monitor.row.sequence < 10
    assert monitor.row.margin == pytest.approx(3.5)


def test_a_suspect_that_answers_is_looked_at_at_once():
    monitor = asked()
    monitor.pinged(now=20.0)
    watch(monitor, until=22.0)
    monitor.answered(1, now=22.5)
    assert monitor.wake_at == 22.5
    assert monitor.rtt is not None
    monitor.heard(now=23.0)
    assert monitor.advance(now=23.0) == (Recovered(23.0, 2.0),)
    monitor.heard(now=24.0)
    assert monitor.wake_at == 43.0


def test_a_sleep_of_half_a_second_is_a_sleep():
    monitor = Monitor(RULES, now=0.0)
    told = monitor.advance(now=5.0, facts=Facts(slept=0.5))
    assert told == (Slept(5.0, 0.5), PingDue(1))
    *_, died = watch(monitor, until=15.0)
    assert isinstance(died, Died)
    assert died.reason is Reason.SUSPENDED


def test_who_closes_need_not_say_why():
    assert Monitor(RULES, now=0.0).close(now=1.0) == (Closed(1.0, ""),)


def test_every_verdict_shows_round_trips_and_what_the_kernel_knows():
    monitor = Monitor(RULES, now=0.0)
    answered(monitor, 0.25)
    monitor.advance(now=40.25)
    suspected, died = watch(monitor, until=50.25, facts=Facts(outstanding=7))
    for told in (suspected, died):
        assert isinstance(told, Suspected | Died)
        assert told.evidence.rtt == monitor.rtt
        assert told.evidence.outstanding == 7


@pytest.mark.parametrize(
    ("acked_at", "reason"), [(20.0, Reason.BACKPRESSURED), (19.9, Reason.SILENT)]
)
def test_only_a_kernel_that_was_heard_since_the_question_is_backpressured(
    acked_at, reason
):
    monitor = asked()
    facts = Facts(acked=5, acked_at=acked_at, outstanding=9)
    *_, died = watch(monitor, until=30.0, facts=facts)
    assert isinstance(died, Died)
    assert died.reason is reason


class Recorder(Fixed):
    """A detector that remembers its beats."""

    def __init__(self) -> None:
        super().__init__(interval=20, margin=3)
        self.beats: list[tuple[int, float]] = []

    def beat(self, sequence: int, *, now: float) -> None:
        self.beats.append((sequence, now))
        super().beat(sequence, now=now)

    def fresh(self) -> "Recorder":
        return Recorder()


def test_a_detector_sees_beats_on_a_schedule_whatever_was_between_them():
    monitor = Monitor(RULES, now=0.0, detector=Recorder())
    answered(monitor, 0.5)
    monitor.heard(now=1000.0)
    answered(monitor, 0.25)
    assert isinstance(monitor.detector, Recorder)
    assert monitor.detector.beats == [(1, 20.5), (2, 40.25)]


@pytest.mark.parametrize("interval", [1, 20, 300])
def test_a_detector_of_another_interval_sets_the_same_margin(interval):
    detector = Fixed(interval=interval, margin=2)
    monitor = Monitor(RULES, now=0.0, detector=detector)
    answered(monitor, 0.5)
    assert monitor.row.margin == 2.5


class Learner:
    """A detector that is nobody's child: it has no interval that it was told."""

    def __init__(self) -> None:
        self.beats: list[float] = []

    def beat(self, sequence: int, *, now: float) -> None:
        self.beats.append(now)

    def deadline(self) -> float:
        return self.beats[-1] + 23.0

    def suspicion(self, *, now: float) -> float:
        return now / self.deadline()

    def fresh(self) -> "Learner":
        return Learner()


def test_a_detector_that_tells_no_interval_is_told_beats_of_the_heartbeat():
    monitor = Monitor(RULES, now=0.0, detector=Learner())
    answered(monitor, 0.5)
    assert isinstance(monitor.detector, Learner)
    assert monitor.detector.beats == [20.5]
    assert monitor.row.margin == 3.5
