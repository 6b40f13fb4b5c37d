"""What holds for every peer, every heartbeat and every watcher."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.core.driver import Driver
from tests.core.rows import numbers_of
from tests.core.scripts import (
    Call,
    MonitorPlayer,
    RowPlayer,
    Script,
    Told,
    heartbeats,
    play,
    scripts,
)

from deadpeer.core.events import Died, PingDue, Reason, Suspected, WatcherLate
from deadpeer.core.facts import Facts
from deadpeer.core.judge import DEAD, NEVER, NOTHING, PUNCTUAL, judge
from deadpeer.core.states import CODES, TRANSITIONS, State

instants = st.integers(0, 400).map(lambda quarters: quarters / 4)
lateness = st.integers(0, 160).map(lambda eighths: eighths / 8)


def rows(script: Script) -> list[Told]:
    return play(script, RowPlayer(script.heartbeat, start=script.start))


@given(scripts())
def test_the_judge_and_the_monitor_play_a_script_alike(script):
    monitor = MonitorPlayer(script.heartbeat, start=script.start)
    assert play(script, monitor) == rows(script)


@given(scripts(), st.integers(-500, 500))
def test_shifting_all_instants_shifts_all_that_is_told(script, shift):
    shifted = Script(
        heartbeat=script.heartbeat, start=script.start + shift, steps=script.steps
    )
    for before, after in zip(rows(script), rows(shifted), strict=True):
        assert after.now == pytest.approx(before.now + shift)
        assert after.wake_at == pytest.approx(before.wake_at + shift)
        assert after[2:3] + after[4:] == before[2:3] + before[4:]


@given(scripts())
def test_every_change_of_state_stands_in_the_table(script):
    state = State.ALIVE
    for told in rows(script):
        after = CODES[told.state]
        ways = {after for (before, _), after in TRANSITIONS.items() if before is state}
        assert after in ways | {state}
        state = after


@given(scripts())
def test_the_dead_stay_dead_and_want_no_more(script):
    trace = rows(script)
    dead = [told for told in trace if told.state == DEAD]
    assert trace[len(trace) - len(dead) :] == dead
    assert all(told.wake_at == NEVER for told in dead)
    assert all(told.action == NOTHING for told in dead[1:])


@given(scripts())
def test_nobody_dies_before_the_drain(script):
    state = State.ALIVE
    for told in rows(script):
        if CODES[told.state] not in (state, State.ALIVE):
            assert told.call is Call.DRAINED
        state = CODES[told.state]


@given(scripts())
def test_whatever_happens_a_wake_up_that_is_carried_out_leads_on(script):
    """No driver is made to spin: a look that changes nothing looks later again."""
    for told in rows(script):
        if told.call is Call.DRAINED and told.action == NOTHING:
            assert told.wake_at > told.now or script.heartbeat.one_way


@given(scripts(), st.floats(0, 1))
def test_a_look_that_is_too_early_changes_nothing(script, share):
    player = RowPlayer(script.heartbeat, start=script.start)
    trace = play(script, player)
    now = trace[-1].now if trace else script.start
    row = player.row
    early = now + share * (min(row.wake_at, now + 100) - now)
    assume(now <= early < row.wake_at)
    # Heard in the very instant of a sleep's end, it is asked again in an interval.
    assume(row.slept == 0 or row.heard_at < row.asked_at)
    before = numbers_of(row)
    action, wake_at = judge(script.heartbeat, row, now=early)
    # A peer that was heard meanwhile is looked at later than it was planned.
    assert action == NOTHING
    assert wake_at >= row.wake_at
    assert numbers_of(row) == before


@given(heartbeats(), instants)
def test_a_peer_that_falls_silent_dies_at_the_promised_instant(heartbeat, start):
    driver = Driver(heartbeat, start=start)
    driver.run(until=start + 2 * heartbeat.detection)

    *warning, died = driver.changes
    assert isinstance(died, Died)
    assert died.at == start + heartbeat.detection
    assert died.reason is Reason.SILENT
    asked_at = start + heartbeat.interval
    if heartbeat.floor < heartbeat.timeout:
        (suspected,) = warning
        assert isinstance(suspected, Suspected)
        assert suspected.at == asked_at + heartbeat.floor
    assert died.evidence.asked_at == asked_at
    assert died.evidence.counted == heartbeat.timeout


@given(heartbeats(), st.lists(instants, max_size=30), lateness)
def test_nobody_dies_earlier_than_the_promise(heartbeat, beats, late):
    driver = Driver(heartbeat, beats=beats, late=late)
    driver.run(until=2000)

    assert driver.death is not None
    silent_for = driver.death.at - driver.death.evidence.heard_at
    assert silent_for >= heartbeat.detection
    for suspected in driver.changes:
        if isinstance(suspected, Suspected):
            assert suspected.at <= driver.death.at
            assert suspected.evidence.silence >= heartbeat.interval


@given(heartbeats(), lateness, st.integers(0, 8))
def test_a_watcher_that_is_always_late_finds_a_death_all_the_same(
    heartbeat, late, sixteenths
):
    late += sixteenths / 16
    driver = Driver(heartbeat, late=late)
    driver.run(until=5000)

    assert driver.death is not None
    # It asks late, has used up what it may grant late, grants, and looks late.
    stretch = 0 if late <= PUNCTUAL else heartbeat.timeout + late
    assert driver.death.at <= heartbeat.detection + stretch + 2 * late


@given(
    heartbeats(one_way=False),
    st.floats(0, 0.9),
    st.lists(st.tuples(instants, st.integers(0, 240)), max_size=5),
)
def test_a_peer_that_answers_in_time_outlives_every_blockade_of_the_watcher(
    heartbeat, share, blocks
):
    """Each look comes before the bytes are read, as some event loops have it."""
    blocked = [(at, at + quarters / 4) for at, quarters in blocks]
    driver = Driver(heartbeat, rtt=share * heartbeat.timeout, blocked=blocked)
    driver.run(until=200)

    assert driver.death is None


@given(heartbeats(one_way=False), st.floats(0, 0.9), instants, st.integers(1, 4000))
def test_one_huge_jump_accuses_nobody_whose_bytes_wait_in_the_kernel(
    heartbeat, share, at, quarters
):
    """The watcher is stopped, and only the kernel's instant tells of the answer."""
    driver = Driver(heartbeat, rtt=share * heartbeat.timeout)
    driver.run(until=at)
    now = at + quarters / 4
    facts = Facts(arrived_at=now)
    driver.monitor.advance(now=now, facts=facts)
    told = driver.monitor.drained(now=now, facts=facts)

    assert not any(isinstance(event, (Died, Suspected)) for event in told)


@given(heartbeats(one_way=False), st.floats(0, 0.9), instants, instants)
def test_a_death_is_found_in_the_bound_after_any_life(heartbeat, share, dies_at, start):
    dies_at += start
    driver = Driver(
        heartbeat, start=start, rtt=share * heartbeat.timeout, dies_at=dies_at
    )
    driver.run(until=dies_at + 3 * heartbeat.detection)

    assert driver.death is not None
    assert driver.death.at - driver.death.evidence.heard_at == pytest.approx(
        heartbeat.detection
    )
    changes = [event for event in driver.changes if not isinstance(event, WatcherLate)]
    assert changes[-1] is driver.death


@given(heartbeats(), st.data())
def test_any_byte_before_the_verdict_saves(heartbeat, data):
    share = data.draw(st.floats(0, 0.99))
    heard_at = heartbeat.interval + share * heartbeat.timeout
    driver = Driver(heartbeat, beats=[heard_at])
    driver.run(until=heard_at + heartbeat.interval)

    assert driver.death is None
    assert driver.monitor.row.heard_at == heard_at
    driver.run(until=heard_at + 2 * heartbeat.detection)
    assert driver.death is not None
    assert driver.death.at == pytest.approx(heard_at + heartbeat.detection)


@given(
    heartbeats(one_way=False),
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 100)), min_size=1, max_size=40
    ),
)
def test_the_deadline_moves_by_no_more_than_the_acknowledgements_justify(
    heartbeat, growth
):
    """Never beyond the timeout after the last acknowledgement that meant progress."""
    acked, acked_at = 0, heartbeat.interval
    driver = Driver(heartbeat)
    driver.run(until=heartbeat.interval)
    monitor = driver.monitor
    for count, age in growth:
        now = monitor.wake_at
        if now == NEVER:
            break
        if count:
            acked, acked_at = acked + count, max(acked_at, now - age / 100)
        facts = Facts(acked=acked, acked_at=acked_at, outstanding=300)
        monitor.advance(now=now, facts=facts)
        monitor.drained(now=now, facts=facts)
        assert monitor.row.counts_at <= acked_at
    last = monitor.evidence(now=0.0).asked_at
    assert last == heartbeat.interval


@given(heartbeats(one_way=False))
def test_a_living_idle_peer_is_asked_once_an_interval_and_makes_no_news(heartbeat):
    driver = Driver(heartbeat, rtt=heartbeat.floor / 2)
    period = heartbeat.interval + heartbeat.floor / 2
    driver.run(until=20.5 * period)

    pings = [event for _, event in driver.told if isinstance(event, PingDue)]
    assert driver.changes == []
    assert len(pings) == pytest.approx(20, abs=1)
    assert [ping.sequence for ping in pings] == list(range(1, len(pings) + 1))
