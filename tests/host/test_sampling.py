"""What a watch tells of successive looks, in virtual time."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.host.looks import (
    PROTECTED,
    UNKNOWN,
    UNPROTECTED,
    about,
    look,
    quiet,
    unheard,
)

from deadpeer.host.changes import ChangeKind, DeathReason
from deadpeer.host.sampling import Sampler
from deadpeer.kernel.tcp_info import TcpState
from deadpeer.kernel.tcp_table import Timer

SUSPECT, DEAD, RECOVERED, UNPROTECTED_ONE = ChangeKind
HOUR = 3600


@pytest.fixture
def sampler():
    return Sampler()


def told(sampler, *rows, now=0.0, judgement=PROTECTED, space=1, **fields):
    """Take a look, learn all that there is to learn, and return what is told."""
    sampler.see(space, look(*rows), now=now, **fields)
    for stranger in sampler.strangers():
        sampler.learn(stranger, about(judgement), now=now)
    return [(change.kind, change.row.cookie) for change in sampler.changes()]


def test_a_calm_connection_is_nothing_to_tell(sampler):
    assert told(sampler, quiet(1)) == []
    assert told(sampler, quiet(1), now=1) == []
    assert len(sampler) == 1


def test_one_unanswered_probe_accuses_nobody(sampler):
    told(sampler, quiet(1))

    assert told(sampler, unheard(1, 1), now=1) == []


def test_two_unanswered_probes_are_told_once(sampler):
    told(sampler, quiet(1))

    assert told(sampler, unheard(1, 2), now=1) == [(SUSPECT, 1)]
    assert told(sampler, unheard(1, 3), now=2) == []


def test_retransmissions_make_a_suspect_too(sampler):
    info = bytes([1, 0, 2, 0]) + bytes(228)
    waiting = quiet(1, timer=Timer.RETRANSMIT, retransmits=2, info=info)

    assert told(sampler, waiting) == [(SUSPECT, 1)]


def test_a_suspect_that_answers_has_recovered(sampler):
    told(sampler, quiet(1))
    told(sampler, unheard(1), now=1)
    sampler.see(1, look(quiet(1)), now=4)
    (change,) = sampler.changes()

    assert change.kind is RECOVERED
    assert change.suspect_for == 3


def test_a_write_after_two_probes_does_not_clear_a_suspect(sampler):
    told(sampler, unheard(1))
    info = bytes([1, 0, 0, 2]) + bytes(228)
    # The retransmission timer hides the probes from the first part of a message.
    written = quiet(1, timer=Timer.RETRANSMIT, retransmits=0, info=info)

    assert told(sampler, written, now=1) == []


def test_a_suspect_that_the_kernel_gave_up_has_timed_out(sampler):
    told(sampler, unheard(1), timeouts=5)
    sampler.see(1, look(), now=3, timeouts=6)
    (change,) = sampler.changes()

    assert (change.kind, change.reason) == (DEAD, DeathReason.TIMED_OUT)
    assert change.suspect_for == 3
    assert change.about.who.process == "game"


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (5, 5, DeathReason.RESET),
        (5, 7, DeathReason.TIMED_OUT),
        (5, 6, DeathReason.UNKNOWN),
        (None, 6, DeathReason.UNKNOWN),
        (5, None, DeathReason.UNKNOWN),
    ],
)
def test_how_two_suspects_ended_the_counter_tells(sampler, before, after, reason):
    told(sampler, unheard(1), unheard(2), timeouts=before)
    sampler.see(1, look(), now=1, timeouts=after)

    assert [change.reason for change in sampler.changes()] == [reason, reason]


def test_one_that_ends_between_two_looks_has_died_if_the_kernel_counted_it(sampler):
    told(sampler, unheard(1, probes=1), timeouts=0)

    assert told(sampler, timeouts=1, now=1) == [(DEAD, 1)]


def test_a_timeout_of_one_that_is_not_watched_accuses_no_other():
    sampler = Sampler(matches=lambda row: row.cookie == 1)
    told(sampler, unheard(1, probes=1), unheard(2), timeouts=0)

    assert told(sampler, timeouts=1, now=1) == []


def test_how_one_ended_is_not_known_if_another_one_may_have_been_counted():
    sampler = Sampler(matches=lambda row: row.cookie == 1)
    told(sampler, unheard(1), unheard(2), timeouts=0)
    sampler.see(1, look(), now=1, timeouts=1)

    assert [change.reason for change in sampler.changes()] == [DeathReason.UNKNOWN]


def test_a_timeout_that_was_counted_in_a_torn_look_counts_in_the_next(sampler):
    told(sampler, unheard(1), timeouts=0)
    assert told(sampler, now=1, timeouts=1, is_whole=False) == []
    sampler.see(1, look(), now=2, timeouts=1)

    assert [change.reason for change in sampler.changes()] == [DeathReason.TIMED_OUT]


def test_one_that_ends_after_a_single_probe_was_closed(sampler):
    told(sampler, unheard(1, probes=1), timeouts=0)

    assert told(sampler, timeouts=0, now=1) == []


def test_a_calm_connection_that_ends_was_closed(sampler):
    told(sampler, quiet(1), timeouts=0)

    # Somebody else's attempt to connect was given up meanwhile.
    assert told(sampler, timeouts=1, now=1) == []
    assert len(sampler) == 0


def test_one_that_was_ended_from_here_is_told_as_that(sampler):
    told(sampler, unheard(1), timeouts=0)
    (cookie,) = look(unheard(1))
    sampler.killed(1, cookie)
    sampler.see(1, look(), now=1, timeouts=0)

    assert [change.reason for change in sampler.changes()] == [DeathReason.KILLED]


def test_a_look_with_gaps_takes_nobody_for_gone(sampler):
    told(sampler, unheard(1), quiet(2), timeouts=0)

    assert told(sampler, quiet(2), now=1, timeouts=1, is_whole=False) == []
    assert told(sampler, quiet(2), now=2, timeouts=1) == [(DEAD, 1)]


def test_a_namespace_that_is_gone_accuses_nobody(sampler):
    told(sampler, unheard(1))
    sampler.forget(1)

    assert sampler.changes() == ()
    assert len(sampler) == 0


def test_two_namespaces_may_have_the_same_cookie(sampler):
    told(sampler, quiet(1), space=1)
    told(sampler, quiet(1), space=2)

    assert told(sampler, unheard(1), space=2, now=1) == [(SUSPECT, 1)]
    assert len(sampler) == 2


def test_listening_sockets_and_leftovers_are_not_watched(sampler):
    states = (TcpState.LISTEN, TcpState.TIME_WAIT, TcpState.SYN_SENT, TcpState.CLOSE)
    told(sampler, *(quiet(n, state=state) for n, state in enumerate(states)))

    assert len(sampler) == 0


def test_what_was_unprotected_from_the_beginning_is_no_news(sampler):
    assert told(sampler, quiet(1), judgement=UNPROTECTED) == []
    assert told(sampler, quiet(1), judgement=UNPROTECTED, now=1) == []


def test_an_unprotected_connection_is_told_when_it_still_is_at_the_second_look(sampler):
    told(sampler)

    assert told(sampler, quiet(1), judgement=UNPROTECTED, now=1) == []
    assert told(sampler, quiet(1), judgement=UNPROTECTED, now=2) == [
        (UNPROTECTED_ONE, 1)
    ]
    assert told(sampler, quiet(1), judgement=UNPROTECTED, now=3) == []
    assert sampler.strangers() == []


def test_a_program_that_sets_its_options_after_it_connected_is_left_in_peace(sampler):
    told(sampler)

    assert told(sampler, quiet(1), judgement=UNPROTECTED, now=1) == []
    assert told(sampler, quiet(1), now=2) == []
    assert sampler.strangers() == []


def test_a_connection_that_loses_its_protection_is_told(sampler):
    told(sampler, quiet(1))
    sampler.ask_again(1, look(quiet(1)))
    told(sampler, quiet(1), judgement=UNPROTECTED, now=1)

    assert told(sampler, quiet(1), judgement=UNPROTECTED, now=2) == [
        (UNPROTECTED_ONE, 1)
    ]


def test_one_that_nobody_has_accepted_is_asked_until_somebody_has(sampler):
    sampler.see(1, look(quiet(1, inode=0)), now=0)
    (stranger,) = sampler.strangers()
    sampler.learn(stranger, about(UNKNOWN), now=0, is_final=False)
    assert len(sampler.strangers()) == 1

    sampler.learn(stranger, about(), now=1)
    assert sampler.strangers() == []


def test_only_what_matches_is_watched():
    sampler = Sampler(matches=lambda row: row.ends.remote_port == 443)
    other, mine = quiet(1), quiet(2, remote=("198.51.100.7", 443))
    sampler.see(1, look(other, mine), now=0)

    assert len(sampler) == 1
    assert told(sampler, unheard(1), mine, now=1) == []


def test_connections_of_other_processes_are_left_when_that_is_known():
    sampler = Sampler(wanted=lambda known: known.who.process == "db")
    sampler.see(1, look(unheard(1)), now=0)
    (stranger,) = sampler.strangers()
    sampler.learn(stranger, about(process="game"), now=0)

    assert sampler.changes() == ()
    assert len(sampler) == 0


def test_one_that_nobody_has_accepted_may_be_of_those_who_are_meant():
    sampler = Sampler(wanted=lambda known: known.who.process == "db")
    for now in range(3):
        sampler.see(1, look(unheard(1, inode=0)), now=now)
        (stranger,) = sampler.strangers()
        sampler.learn(stranger, about(process=""), now=now, is_final=False)
        assert sampler.changes() == ()
        assert len(sampler) == 0

    sampler.see(1, look(unheard(1)), now=3)
    (stranger,) = sampler.strangers()
    sampler.learn(stranger, about(process="db"), now=3)

    assert [change.kind for change in sampler.changes()] == [SUSPECT]
    sampler.see(1, look(unheard(1)), now=4)
    assert sampler.strangers() == []


def test_one_that_nobody_had_accepted_was_there_before_another_selection(sampler):
    sampler.select(matches=lambda _: True, wanted=lambda known: known.who.process)
    sampler.see(1, look(quiet(1, inode=0)), now=0)
    (stranger,) = sampler.strangers()
    sampler.learn(stranger, about(process=""), now=0, is_final=False)
    assert sampler.changes() == ()
    sampler.select(matches=lambda _: True, wanted=lambda _: True)

    for now in (1, 2, 3):
        assert told(sampler, quiet(1), now=now, judgement=UNPROTECTED) == []


def test_another_selection_keeps_the_story_of_what_is_in_both(sampler):
    told(sampler, unheard(1), quiet(2))
    sampler.select(matches=lambda row: row.cookie == 1, wanted=lambda _: True)
    assert len(sampler) == 1

    assert told(sampler, quiet(1), quiet(2), now=1) == [(RECOVERED, 1)]
    sampler.select(matches=lambda _: True, wanted=lambda _: True)
    assert told(sampler, quiet(1), quiet(2), now=2, judgement=UNPROTECTED) == []
    assert len(sampler) == 2


ROWS = st.dictionaries(st.integers(1, 6), st.integers(0, 4), max_size=6)


@given(st.lists(st.tuples(ROWS, st.integers(0, 3), st.booleans()), max_size=12))
def test_the_told_changes_of_a_connection_make_sense(looks):
    """Suspect and recovered take turns, and nobody dies twice."""
    sampler, timeouts = Sampler(), 0
    stories: dict[int, list[ChangeKind]] = {}
    for now, (rows, more, is_whole) in enumerate(looks):
        timeouts += more
        made = [unheard(cookie, probes) for cookie, probes in rows.items()]
        for kind, cookie in told(
            sampler, *made, now=now, timeouts=timeouts, is_whole=is_whole
        ):
            stories.setdefault(cookie, []).append(kind)
        watched = list(sampler.watched())
        assert {row.cookie for _, _, row, _ in watched} >= rows.keys()
    for story in stories.values():
        is_suspect = False
        for kind in story:
            assert (kind is SUSPECT) is (kind is not DEAD and not is_suspect)
            is_suspect = kind is SUSPECT


@pytest.mark.slow
def test_an_hour_of_looks_takes_no_more_memory_than_its_first_ten_minutes():
    """A hundred connections, of which five end and five are new in each second."""
    calm = [quiet(n) for n in range(5 * HOUR + 100)]
    loud = [unheard(n) for n in range(5 * HOUR + 100)]
    sampler, sizes = Sampler(), []
    tracemalloc.start()
    try:
        for now in range(HOUR):
            rows = calm[5 * now : 5 * now + 90] + loud[5 * now + 90 : 5 * now + 100]
            assert told(sampler, *rows, now=now, timeouts=5 * now) or now == 0
            if now % 60 == 59:
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()

    assert len(sizes) == 60
    assert max(sizes) < max(sizes[:10]) + 10_000
