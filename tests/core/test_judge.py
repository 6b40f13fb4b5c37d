"""The judge by its numbers: what it answers, and what it leaves in the row."""

from math import ceil

import pytest
from tests.core.rows import numbers_of

from deadpeer.core.facts import LONG_AGO, Facts
from deadpeer.core.judge import (
    ALIVE,
    CLOSED,
    CONNECTING,
    DEAD,
    DIED,
    LATE_PING,
    NEVER,
    NOTHING,
    PING,
    PUNCTUAL,
    RECOVERED,
    SEQUENCES,
    SUSPECT,
    SUSPECTED,
    UNKNOWN,
    VERIFY,
    Row,
    judge,
    next_look,
)
from deadpeer.policy.heartbeat import Heartbeat

RULES = Heartbeat(interval=20, timeout=8)
DRAINED = Facts(drained=True)


def row(**fields: float) -> Row:
    """A peer that was heard at 0, and what is said otherwise."""
    made = Row(heard_at=0.0, margin=1.0)
    made.wake_at = 20.0
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def asked(**fields: float) -> Row:
    """A peer that was heard at 0 and asked at 20; it is to be looked at in 21."""
    return row(asked_at=20.0, counts_at=20.0, wake_at=21.0, **fields)


def test_a_new_row_has_asked_nothing():
    made = Row(heard_at=5.0, margin=2.0)
    assert numbers_of(made) == {
        "state": ALIVE,
        "heard_at": 5.0,
        "margin": 2.0,
        "asked_at": LONG_AGO,
        "counts_at": LONG_AGO,
        "wake_at": NEVER,
        "pinged_at": LONG_AGO,
        "sequence": 0,
        "srtt": -1.0,
        "rttvar": 0.0,
        "rtt_last": 0.0,
        "rtt_min": NEVER,
        "acked": UNKNOWN,
        "covers": UNKNOWN,
        "delivered": UNKNOWN,
        "suspected_at": NEVER,
        "stretched": 0.0,
        "slept": 0.0,
    }


def test_the_defaults_of_the_facts_accuse_nobody():
    assert Facts() == (
        *(False, False, LONG_AGO, None, LONG_AGO, None, 0.0, None),
        *(0.0, 0.0, 0.0),
    )


def test_the_numbers_of_actions_and_states_are_what_columns_hold():
    actions = (NOTHING, PING, VERIFY, RECOVERED, SUSPECTED, DIED)
    assert actions == (0, 1, 2, 3, 4, 5)
    assert (CONNECTING, ALIVE, SUSPECT, DEAD, CLOSED) == (0, 1, 2, 3, 4)
    assert (PUNCTUAL, LATE_PING, SEQUENCES, UNKNOWN) == (0.05, 0.15, 65536, -1)


@pytest.mark.parametrize("state", [CONNECTING, DEAD, CLOSED])
@pytest.mark.parametrize("facts", [Facts(), DRAINED, Facts(slept=9.0)])
def test_whoever_is_not_judged_is_left_alone(state, facts):
    peer = asked(state=state)
    assert judge(RULES, peer, now=1000.0, facts=facts) == (NOTHING, NEVER)
    assert (peer.state, peer.asked_at, peer.slept) == (state, 20.0, 0.0)


@pytest.mark.parametrize(
    ("now", "answer"), [(19.99, (NOTHING, 20.0)), (20.0, (PING, 21.0))]
)
def test_a_quiet_peer_is_asked_at_its_instant(now, answer):
    assert judge(RULES, row(), now=now) == answer


@pytest.mark.parametrize(
    ("rules", "look_at"),
    [
        (Heartbeat(interval=20, timeout=8), 21.3),
        (Heartbeat(interval=20, timeout=1.2), 21.3),
        (Heartbeat(interval=20, timeout=1.1875), 21.25),
        (Heartbeat(interval=1.125, timeout=8), 2.375),
        (Heartbeat(interval=1.2, timeout=8), 2.5),
        (Heartbeat(interval=20, timeout=8, one_way=True), 21.25),
    ],
)
def test_a_question_waits_for_others_if_there_is_time_for_that(rules, look_at):
    assert next_look(rules, 1.25) == look_at
    assert judge(rules, row(heard_at=1.25), now=1.5) == (NOTHING, look_at)


def test_no_look_comes_before_the_question_is_due():
    # A tenth of 10 · 613.1 is less than 613.1 where binary fractions are rounded.
    rules = Heartbeat(interval=1.7, timeout=2)
    tenths = [number / 10 for number in range(10_000)]
    assert any(ceil((at + 1.7) * 10) / 10 < at + 1.7 for at in tenths)
    for heard_at in tenths:
        look_at = next_look(rules, heard_at)
        assert heard_at + 1.7 <= look_at <= heard_at + 1.8
        assert judge(rules, row(heard_at=heard_at), now=look_at)[0] == PING


def test_a_question_is_complete_in_the_row():
    peer = row(
        covers=9,
        acked=9,
        stretched=3.0,
        slept=7.0,
        pinged_at=1.0,
        sequence=4,
    )
    assert judge(RULES, peer, now=20.5) == (PING, 21.5)
    assert (peer.asked_at, peer.counts_at, peer.pinged_at) == (20.5, 20.5, LONG_AGO)
    assert (peer.covers, peer.acked, peer.covered) == (UNKNOWN, UNKNOWN, False)
    assert (peer.stretched, peer.slept, peer.sequence) == (0.0, 0.0, 5)


def test_after_the_last_sequence_number_comes_zero():
    peer = row(sequence=SEQUENCES - 1)
    judge(RULES, peer, now=20.0)
    assert peer.sequence == 0
    judge(RULES, row(sequence=SEQUENCES - 2), now=20.0)


@pytest.mark.parametrize(
    ("margin", "interval", "look_at"), [(1.0, 20, 1.0), (8.0, 20, 6.0), (5.0, 3, 3.0)]
)
def test_the_first_look_is_at_the_margin_or_early_enough(margin, interval, look_at):
    rules = Heartbeat(interval=interval, timeout=8)
    peer = row(margin=margin)
    assert judge(rules, peer, now=50.0) == (PING, 50.0 + look_at)


def test_heard_in_the_instant_of_the_question_is_an_answer():
    assert judge(RULES, asked(heard_at=20.0), now=21.0) == (NOTHING, 40.0)
    assert judge(RULES, asked(heard_at=19.9), now=21.0)[0] == VERIFY


@pytest.mark.parametrize(
    ("arrived_at", "heard_at"), [(20.0, 20.0), (20.5, 20.5), (99.0, 21.0), (19.9, 0.0)]
)
def test_bytes_in_the_kernel_count_since_the_question_and_until_now(
    arrived_at, heard_at
):
    peer = asked()
    judge(RULES, peer, now=21.0, facts=Facts(arrived_at=arrived_at))
    assert peer.heard_at == heard_at


def test_what_was_heard_later_than_the_kernel_says_stays():
    peer = asked(heard_at=20.75)
    judge(RULES, peer, now=21.0, facts=Facts(arrived_at=20.5))
    assert peer.heard_at == 20.75


def test_a_suspect_that_was_heard_recovers_and_is_asked_in_time():
    peer = asked(state=SUSPECT, heard_at=20.5)
    assert judge(RULES, peer, now=50.0) == (RECOVERED, 40.5)
    assert peer.state == ALIVE
    assert judge(RULES, peer, now=50.0) == (PING, 51.0)


def test_a_sleep_asks_at_once_and_is_remembered():
    peer = asked(state=SUSPECT, slept=5.0)
    assert judge(RULES, peer, now=25.0, facts=Facts(slept=60.0, drained=True)) == (
        PING,
        26.0,
    )
    assert (peer.slept, peer.asked_at, peer.counts_at) == (65.0, 25.0, 25.0)


def test_an_open_question_is_looked_at_in_its_instant_and_again_soon():
    assert judge(RULES, asked(), now=20.99) == (NOTHING, 21.0)
    assert judge(RULES, asked(), now=21.0) == (VERIFY, 21.0 + PUNCTUAL)


@pytest.mark.parametrize(
    ("now", "stretched", "counts_at"),
    [
        (21.04, 0.0, 20.0),  # usual
        (22.0, 1.0, 20.0),  # long before the deadline
        (26.0, 5.0, 23.0),  # 5 s more from now: until 31
        (60.0, 39.0, 59.0),  # what was left in 21, and no more: until 67
    ],
)
def test_what_was_lost_is_granted_up_to_what_was_left(now, stretched, counts_at):
    peer = asked(state=SUSPECT)
    peer.wake_at = 21.0
    judge(RULES, peer, now=now)
    assert (peer.stretched, peer.counts_at) == (stretched, counts_at)


def test_what_is_granted_is_used_up():
    peer = asked(state=SUSPECT, stretched=4.0)
    peer.wake_at = 21.0
    judge(RULES, peer, now=26.0)
    # Five seconds late, but four are left to grant: until 30.
    assert (peer.stretched, peer.counts_at) == (9.0, 22.0)
    judge(RULES, peer, now=40.0)
    assert (peer.stretched, peer.counts_at) == (28.0, 22.0)


def test_a_moment_that_was_lost_before_the_deadline_is_granted_too():
    peer = asked(state=SUSPECT)
    peer.wake_at = 27.5
    judge(RULES, peer, now=28.0)
    assert (peer.stretched, peer.counts_at) == (0.5, 20.5)


def test_just_punctual_is_punctual():
    peer = asked()
    judge(RULES, peer, now=21.0, facts=Facts(lateness=PUNCTUAL))
    assert peer.stretched == 0.0


def test_at_the_deadline_nothing_is_left_to_grant():
    peer = asked(state=SUSPECT)
    peer.wake_at = 28.0
    judge(RULES, peer, now=30.0)
    assert (peer.stretched, peer.counts_at) == (2.0, 20.0)


def test_lateness_long_before_the_deadline_moves_nothing():
    peer = asked()
    judge(RULES, peer, now=22.0)
    assert (peer.stretched, peer.counts_at) == (1.0, 20.0)


def test_a_late_drain_is_granted_by_what_it_was_late():
    peer = asked(state=SUSPECT)
    peer.wake_at = 21.0
    assert judge(RULES, peer, now=26.0, facts=DRAINED) == (NOTHING, 31.0)
    assert peer.stretched == 5.0


@pytest.mark.parametrize(
    ("now", "state", "answer"),
    [
        (20.5, ALIVE, (NOTHING, 21.0)),
        (21.0, ALIVE, (SUSPECTED, 28.0)),
        (27.99, ALIVE, (SUSPECTED, 28.0)),
        (27.99, SUSPECT, (NOTHING, 28.0)),
        (28.0, ALIVE, (DIED, NEVER)),
        (28.0, SUSPECT, (DIED, NEVER)),
    ],
)
def test_after_the_drain_the_verdict_is_a_matter_of_two_instants(now, state, answer):
    peer = asked(state=state)
    peer.wake_at = now
    assert judge(RULES, peer, now=now, facts=DRAINED) == answer
    after = {SUSPECTED: SUSPECT, DIED: DEAD}.get(answer[0], state)
    assert peer.state == after


def test_a_look_before_suspicion_leads_to_one_in_an_interval_at_most():
    rules = Heartbeat(interval=2, timeout=8)
    peer = asked(margin=6.0)
    assert judge(rules, peer, now=21.0, facts=DRAINED) == (NOTHING, 23.0)


@pytest.mark.parametrize(
    ("unanswered", "interval", "answer", "state"),
    [
        (7.9, 20, (NOTHING, 24.0), ALIVE),
        (7.9, 0.5, (NOTHING, 23.5), ALIVE),
        (8.0, 20, (DIED, NEVER), DEAD),
    ],
)
def test_a_reader_that_pauses_looks_at_the_kernel_alone(
    unanswered, interval, answer, state
):
    peer = asked()
    peer.wake_at = 23.0
    facts = Facts(drained=True, paused=True, unanswered=unanswered)
    assert (
        judge(Heartbeat(interval=interval, timeout=8), peer, now=23.0, facts=facts)
        == answer
    )
    assert peer.state == state
    assert peer.counts_at == (23.0 if state == ALIVE else 20.0)


@pytest.mark.parametrize(
    ("now", "rules", "more", "action"),
    [
        (40.0, RULES, {}, PING),
        (39.9, RULES, {}, NOTHING),
        (40.0, RULES, {"outstanding": 0}, PING),
        (40.0, RULES, {"outstanding": 3}, NOTHING),
        (40.0, RULES, {"unanswered": 0.1}, NOTHING),
        (40.0, Heartbeat(interval=20, timeout=8, one_way=True), {}, NOTHING),
    ],
)
def test_a_reader_that_pauses_for_long_asks_again_if_nothing_is_on_its_way(
    now, rules, more, action
):
    peer = asked()
    peer.wake_at = now
    facts = Facts(drained=True, paused=True, **more)
    told, wake_at = judge(rules, peer, now=now, facts=facts)
    assert told == action
    assert peer.asked_at == (now if action == PING else 20.0)
    assert peer.counts_at == now
    assert wake_at == now + 1.0


def delivery(now: float, peer: Row, **facts: float) -> tuple[int, float]:
    peer.wake_at = now
    known = Facts(drained=True, **facts)
    return judge(RULES, peer, now=now, facts=known)


def test_the_first_look_at_a_delivery_only_notes_where_it_is():
    peer = asked()
    assert delivery(21.0, peer, acked=100, acked_at=20.9, outstanding=50) == (
        NOTHING,
        22.0,
    )
    assert (peer.acked, peer.covers, peer.covered) == (100, 150, False)
    assert (peer.counts_at, peer.state) == (20.0, ALIVE)


def test_a_delivery_that_stands_still_is_suspicious_at_the_second_look():
    peer = asked()
    delivery(21.0, peer, acked=0, acked_at=20.9, outstanding=50)
    assert delivery(22.0, peer, acked=0, acked_at=21.9, outstanding=50) == (
        SUSPECTED,
        23.0,
    )
    assert delivery(27.5, peer, acked=0, acked_at=27.4, outstanding=50) == (
        NOTHING,
        28.0,
    )
    assert delivery(28.0, peer, acked=0, acked_at=27.9, outstanding=50) == (DIED, NEVER)


def test_a_delivery_that_gets_on_counts_from_its_latest_progress():
    peer = asked()
    delivery(21.0, peer, acked=0, acked_at=20.9, outstanding=50)
    assert delivery(22.0, peer, acked=1, acked_at=21.75, outstanding=49) == (
        NOTHING,
        22.75,
    )
    assert (peer.acked, peer.counts_at) == (1, 21.75)
    delivery(23.0, peer, acked=2, acked_at=21.5, outstanding=48)
    assert (peer.acked, peer.counts_at) == (2, 21.75)  # never back


def test_a_delivery_that_is_done_counts_from_the_margin_before():
    peer = asked()
    delivery(21.0, peer, acked=0, acked_at=20.0, outstanding=50)
    assert delivery(27.5, peer, acked=50, acked_at=27.0, outstanding=0) == (
        SUSPECTED,
        34.0,
    )
    assert (peer.acked, peer.covered, peer.counts_at) == (50, True, 26.0)
    delivery(30.0, peer, acked=90, acked_at=30.0, outstanding=0)
    assert (peer.acked, peer.counts_at) == (50, 26.0)


def test_a_delivery_that_is_done_early_moves_nothing_back():
    peer = asked()
    delivery(21.0, peer, acked=50, acked_at=20.1, outstanding=0)
    assert (peer.covered, peer.counts_at) == (True, 20.0)


def test_progress_from_nothing_is_progress():
    peer = asked(acked=0, covers=50)
    delivery(22.0, peer, acked=1, acked_at=21.5, outstanding=49)
    assert peer.counts_at == 21.5


def test_progress_is_looked_at_again_before_the_margin_is_over():
    peer = asked(margin=3.0)
    delivery(23.0, peer, acked=0, acked_at=20.9, outstanding=50)
    answer = delivery(24.0, peer, acked=1, acked_at=23.5, outstanding=49)
    assert answer == (NOTHING, 25.0)


def test_a_short_sleep_is_a_sleep():
    assert judge(RULES, asked(), now=20.5, facts=Facts(slept=0.5)) == (PING, 21.5)


BEATS = Heartbeat(interval=20, timeout=8, one_way=True)


def test_a_missing_beat_is_noted_for_when_it_was_due_and_nothing_is_sent():
    peer = row()
    assert judge(BEATS, peer, now=25.0) == (NOTHING, 21.0)
    assert (peer.asked_at, peer.counts_at, peer.sequence) == (20.0, 20.0, 0)


def test_after_a_sleep_a_beat_may_take_an_interval_more():
    peer = row()
    assert judge(BEATS, peer, now=30.0, facts=Facts(slept=9.0)) == (NOTHING, 51.0)
    assert (peer.asked_at, peer.counts_at) == (30.0, 50.0)


def test_a_beat_has_nothing_of_ours_to_wait_for():
    peer = asked()
    facts = Facts(drained=True, acked=0, acked_at=20.5, outstanding=9)
    assert judge(BEATS, peer, now=21.0, facts=facts) == (SUSPECTED, 28.0)
    assert (peer.acked, peer.covers) == (UNKNOWN, UNKNOWN)


def test_what_covers_the_question_is_not_moved_by_what_is_sent_later():
    peer = asked(covers=50)
    delivery(21.0, peer, acked=10, acked_at=20.5, outstanding=9000)
    assert peer.covers == 50
    delivery(22.0, peer, acked=50, acked_at=21.5, outstanding=9000)
    assert peer.covered


def test_a_kernel_without_instants_made_its_progress_now():
    peer = asked(acked=0, covers=50)
    delivery(23.0, peer, acked=1)
    assert peer.counts_at == 23.0


def test_an_instant_that_is_not_yet_is_now():
    peer = asked(acked=0, covers=50)
    delivery(23.0, peer, acked=1, acked_at=99.0)
    assert peer.counts_at == 23.0


def test_a_kernel_that_tells_no_count_is_not_followed():
    peer = asked(acked=3, covers=50)
    assert delivery(23.0, peer, outstanding=9) == (SUSPECTED, 24.0)
    assert (peer.acked, peer.covers) == (3, 50)


@pytest.mark.parametrize(
    ("before", "after", "counts_at"),
    [(3, 4, 24.5), (0, 1, 24.5), (3, 3, 20.0), (UNKNOWN, 4, 20.0)],
)
def test_a_segment_more_is_progress_where_the_count_of_bytes_stands_still(
    before, after, counts_at
):
    peer = asked()
    facts = Facts(drained=True, acked=10, acked_at=20.5, outstanding=9)
    for now, delivered in ((21.0, before), (25.0, after)):
        peer.wake_at = now
        seen = facts._replace(delivered=delivered, acked_at=now - 0.5)
        judge(RULES, peer, now=now, facts=seen)
    assert peer.counts_at == counts_at
    assert peer.delivered == after


@pytest.mark.parametrize(
    ("repair", "dead_at"), [(0.0, 28.0), (7.5, 28.0), (11.5, 31.55), (99.0, 36.0)]
)
def test_a_line_that_takes_long_to_repeat_what_it_lost_is_waited_for(repair, dead_at):
    peer = asked()
    facts = Facts(drained=True, acked=10, acked_at=20.0, outstanding=9, repair=repair)
    answers = []
    for now in (21.0, dead_at - 0.125, dead_at):
        peer.wake_at = now
        answers.append(judge(RULES, peer, now=now, facts=facts))
    assert answers == [(NOTHING, 22.0), (SUSPECTED, dead_at), (DIED, NEVER)]


def test_a_repair_takes_its_time_from_when_the_ping_left():
    peer = asked(pinged_at=20.125)
    facts = Facts(drained=True, acked=10, acked_at=20.0, outstanding=9, repair=8.0)
    for now in (21.0, 22.0, 28.0):
        peer.wake_at = now
        answer = judge(RULES, peer, now=now, facts=facts)
    assert answer == (NOTHING, 28.125 + PUNCTUAL)


def test_a_question_that_was_delivered_has_no_repair_to_wait_for():
    peer = asked()
    facts = Facts(drained=True, acked=10, acked_at=20.0, outstanding=0, repair=99.0)
    for now in (21.0, 28.0):
        peer.wake_at = now
        answer = judge(RULES, peer, now=now, facts=facts)
    assert answer == (DIED, NEVER)
