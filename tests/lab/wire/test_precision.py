from hypothesis import given
from hypothesis import strategies as st

from deadpeer.lab.wire.precision import Precision


def test_it_is_said_of_measured_packets():
    found = Precision.of([n / 1000 for n in range(100)], forwarded=120, lost=3)

    assert (found.p50, found.p99, found.worst) == (0.05, 0.099, 0.099)
    assert (found.measured, found.forwarded, found.dropped) == (100, 120, 3)


def test_nothing_measured_is_nothing_late():
    assert Precision.of([]) == Precision()


@given(st.lists(st.floats(0, 10), min_size=1))
def test_the_worst_is_no_better_than_the_usual(lateness):
    found = Precision.of(lateness)

    assert min(lateness) <= found.p50 <= found.p99 <= found.worst == max(lateness)


def test_in_words_it_says_what_was_measured():
    found = Precision.of([0.0001, 0.0004], forwarded=2, overflowed=1)

    assert str(found) == (
        "2 packets forwarded, 1 dropped; late by 0.40 ms (median), 0.40 ms (99 %),"
        " 0.40 ms (worst)"
    )


def test_of_several_wires_all_packets_count_and_the_worst_times():
    one = Precision.of([0.1, 0.3], forwarded=2)
    other = Precision.of([0.2], forwarded=1, lost=4)

    assert Precision.together([one, other]) == Precision(
        p50=0.3, p99=0.3, worst=0.3, measured=3, forwarded=3, lost=4
    )
    assert Precision.together([]) is None
