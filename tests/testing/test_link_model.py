"""The link without a loop: its faults, and what a watcher can notice of them."""

import itertools
import math

import pytest
from tests.testing.links import drain, link_of

from deadpeer.errors import ConfigError
from deadpeer.testing import LinkModel, Shape, Side
from deadpeer.testing.kernel_model import Segment
from deadpeer.testing.link_model import Wire

LEFT, RIGHT = Side
NEVER_LOST = 1.0
LOST = 0.0


# What is lost.


def test_a_lost_segment_comes_one_timeout_later_and_what_is_behind_it_waits():
    chances = itertools.chain([LOST], itertools.repeat(NEVER_LOST))
    link = link_of(Shape(delay=0.05, loss=0.5), chance=lambda: next(chances), mss=4)
    link.kernels[LEFT].write(b"lost" + b"late", now=0.0)

    # Round trip 0.1 s, so the timeout is 0.1 + max(0.2, 4 * 0.05) s.
    assert drain(link, RIGHT) == {0.35: b"lostlate"}


def test_several_losses_are_repaired_after_one_timeout():
    chances = itertools.chain(
        [LOST, NEVER_LOST, LOST, NEVER_LOST], itertools.repeat(NEVER_LOST)
    )
    link = link_of(Shape(delay=0.05, loss=0.5), chance=lambda: next(chances), mss=1)
    link.kernels[LEFT].write(b"abcd", now=0.0)

    assert drain(link, RIGHT) == {
        0.35: b"ab",
        0.45: b"cd",
    }


def test_the_pause_between_repetitions_doubles_up_to_two_minutes():
    link = link_of()
    link.cut()
    link.kernels[LEFT].write(b"x", now=0.0)
    instants = [0.0]
    while instants[-1] < 1000:
        instants.append(link.next_at)
        link.advance(now=link.next_at)
    pauses = [later - sooner for sooner, later in itertools.pairwise(instants)]

    assert pauses == pytest.approx([min(0.2 * 2**n, 120) for n in range(len(pauses))])
    assert pauses[-1] == pytest.approx(120)


def test_after_a_mended_cable_the_kernel_repeats_in_its_own_time():
    link = link_of(Shape(delay=0.05))
    link.kernels[LEFT].write(b"x", now=0.0)
    link.cut()
    link.advance(now=5.0)
    link.mend()

    # Sent at 0, and again at 0.3, 0.9, 2.1, 4.5 and 9.3.
    assert drain(link, RIGHT) == {9.35: b"x"}


def test_what_flies_when_the_cable_is_pulled_is_lost():
    link = link_of(Shape(delay=1.0))
    link.kernels[LEFT].write(b"x", now=0.0)
    link.advance(now=0.5)
    link.cut()
    link.mend()
    link.advance(now=1.0)

    assert link.kernels[RIGHT].unread == 0


def test_a_cut_one_way_swallows_acknowledgements_only():
    link = link_of()
    link.cut(towards=LEFT)
    link.kernels[LEFT].write(b"x", now=0.0)
    link.advance(now=10.0)

    assert link.kernels[RIGHT].read(10, now=10.0) == b"x"
    assert link.kernels[LEFT].acked == 0
    assert link.kernels[LEFT].unanswered(now=10.0) == 10.0


# What a watcher asks.


def test_the_kernel_says_when_bytes_arrived_read_or_not():
    link = link_of(Shape(delay=0.5))
    link.kernels[LEFT].write(b"abc", now=1.0)
    link.advance(now=9.0)
    kernel = link.kernels[RIGHT]

    assert (kernel.arrived_at, kernel.unread) == (1.5, 3)
    assert (kernel.read(2, now=9.0), kernel.unread) == (b"ab", 1)
    assert kernel.arrived_at == 1.5


def test_the_kernel_says_what_was_acknowledged_and_when():
    link = link_of(Shape(delay=0.5))
    kernel = link.kernels[LEFT]
    assert (kernel.acked, kernel.acked_at, kernel.rtt) == (0, 0.0, 1.0)

    kernel.write(b"abc", now=3.0)
    link.advance(now=3.9)
    assert (kernel.acked, kernel.outstanding, kernel.acked_at) == (0, 3, 0.0)

    link.advance(now=4.0)
    assert (kernel.acked, kernel.outstanding, kernel.acked_at) == (3, 0, 4.0)


def test_the_kernel_says_what_arrived_behind_a_lost_segment():
    chances = itertools.chain([LOST], itertools.repeat(NEVER_LOST))
    shape = Shape(delay=0.05, loss=0.5)
    link = link_of(shape, chance=lambda: next(chances), mss=4)
    kernel = link.kernels[LEFT]
    kernel.write(b"lost" + b"late", now=0.0)

    link.advance(now=0.1)
    assert (kernel.acked, kernel.delivered) == (0, 1)
    link.advance(now=0.4)  # the first was repeated
    assert (kernel.acked, kernel.delivered) == (8, 2)
    link.cut(towards=LEFT)
    kernel.write(b"once", now=1.0)  # and repeated, since no answer comes
    link.advance(now=1.6)
    link.mend()
    link.advance(now=9.0)
    assert (kernel.acked, kernel.delivered) == (12, 3)


def test_the_kernel_says_how_long_it_takes_to_repeat_a_segment():
    link = link_of(Shape(delay=0.05))
    kernel = link.kernels[LEFT]
    assert kernel.repair == pytest.approx(0.1 + 0.2 + 0.1)

    link.cut()
    kernel.write(b"x", now=0.0)
    link.advance(now=5.0)
    assert kernel.repair == pytest.approx(0.4), "doublings do not count"


def test_the_round_trip_follows_the_link():
    link = link_of(Shape(delay=0.05))
    link.reshape(Shape(delay=0.15))
    now = 0.0
    for _ in range(60):
        link.kernels[LEFT].write(b"x", now=now)
        now += 1
        link.advance(now=now)
        link.kernels[RIGHT].read(1, now=now)

    assert link.kernels[LEFT].rtt == pytest.approx(0.3, rel=0.01)


def test_a_repeated_segment_says_nothing_about_the_round_trip():
    link = link_of(Shape(delay=0.05))
    kernel = link.kernels[LEFT]
    link.cut()
    kernel.write(b"x", now=0.0)
    link.advance(now=5.0)
    link.mend()
    link.advance(now=20.0)

    assert kernel.acked == 1
    assert kernel.rtt == 0.1


def test_a_wire_is_first_in_first_out_whatever_the_jitter():
    chances = iter([1.0, 0.0])
    wire = Wire(shape=Shape(delay=1.0, jitter=0.5), chance=lambda: next(chances))
    wire.carry(Segment(seq=0), 0.0)
    wire.carry(Segment(seq=1), 0.1)

    assert [(at, segment.seq) for at, segment in wire.flying] == [(1.5, 0), (1.5, 1)]


def test_one_lost_segment_is_no_silence():
    link = link_of()
    link.cut()
    kernel = link.kernels[LEFT]
    kernel.write(b"x", now=0.0)
    link.advance(now=0.5)  # repeated once, at 0.2
    assert kernel.unanswered(now=0.5) == 0.0

    link.advance(now=0.75)  # and a second time at 0.6
    assert kernel.unanswered(now=0.75) == 0.75


def test_a_reader_that_stops_closes_the_window_and_its_kernel_goes_on_answering():
    link = link_of(send_buffer=1000, receive_buffer=500)
    kernel = link.kernels[LEFT]
    assert kernel.write(bytes(2000), now=0.0) == 1000
    link.advance(now=600.0)

    assert (kernel.acked, kernel.outstanding, kernel.room) == (500, 500, 500)
    assert link.kernels[RIGHT].unread == 500
    assert kernel.unanswered(now=600.0) == 0.0
    assert 600 - kernel.acked_at < 121  # a probe at least every two minutes

    link.kernels[RIGHT].read(500, now=600.0)
    link.advance(now=600.0)
    assert (kernel.acked, kernel.outstanding) == (1000, 0)


def test_probes_of_a_closed_window_go_unanswered_when_the_cable_is_cut():
    link = link_of(send_buffer=1000, receive_buffer=500)
    kernel = link.kernels[LEFT]
    kernel.write(bytes(1000), now=0.0)
    link.advance(now=10.0)
    assert kernel.unanswered(now=10.0) == 0.0

    link.cut()
    link.advance(now=100.0)
    assert 10 < kernel.unanswered(now=100.0) < 90


# How it ends.


def test_the_end_of_the_stream_comes_behind_the_bytes_and_the_other_way_stays_open():
    link = link_of()
    left, right = link.kernels.values()
    left.write(b"last", now=0.0)
    left.shutdown(now=0.0)
    link.advance(now=0.0)
    assert (right.read(10, now=0.0), right.eof) == (b"last", True)
    assert left.write(b"more", now=0.0) == 0

    right.write(b"answer", now=1.0)
    link.advance(now=1.0)
    assert (left.read(10, now=1.0), left.eof) == (b"answer", False)


def test_a_box_that_resets_fails_both_ends_or_the_one_that_is_told():
    link = link_of()
    link.reset(towards=RIGHT)
    assert [kernel.failed for kernel in link.kernels.values()] == [False, True]

    link.reset()
    assert all(kernel.failed for kernel in link.kernels.values())


def test_a_machine_that_restarted_answers_with_a_reset():
    link = link_of(Shape(delay=0.5))
    link.kernels[RIGHT].forget()
    link.advance(now=100.0)
    assert not link.kernels[LEFT].failed  # nobody asked

    link.kernels[LEFT].write(b"x", now=100.0)
    link.advance(now=101.0)
    assert link.kernels[LEFT].failed


def test_a_socket_closed_with_unread_bytes_resets():
    link = link_of()
    link.kernels[LEFT].write(b"x", now=0.0)
    link.advance(now=0.0)
    link.kernels[RIGHT].close(now=0.0)
    link.advance(now=0.0)

    assert link.kernels[LEFT].failed


def test_what_comes_to_a_closed_socket_is_answered_with_a_reset():
    link = link_of()
    link.kernels[RIGHT].close(now=0.0)
    link.advance(now=0.0)
    assert (link.kernels[LEFT].eof, link.kernels[LEFT].failed) == (True, False)

    link.kernels[LEFT].write(b"x", now=1.0)
    link.advance(now=1.0)
    assert link.kernels[LEFT].failed


def test_what_had_arrived_before_a_reset_can_be_read():
    link = link_of()
    link.kernels[LEFT].write(b"x", now=0.0)
    link.advance(now=0.0)
    link.reset()

    assert link.kernels[RIGHT].read(10, now=0.0) == b"x"


def test_what_was_written_before_a_close_is_still_delivered():
    link = link_of(Shape(delay=0.5, bandwidth=1000.0))
    link.kernels[LEFT].write(bytes(5000), now=0.0)
    link.kernels[LEFT].close(now=0.0)

    assert sum(map(len, drain(link, RIGHT).values())) == 5000


# What cannot be.


@pytest.mark.parametrize(
    "bad",
    [
        {"delay": -1.0},
        {"delay": math.inf},
        {"jitter": math.nan},
        {"bandwidth": 0.0},
        {"bandwidth": math.nan},
        {"loss": -0.1},
        {"loss": 1.1},
        {"loss": math.nan},
        {"loss": "0.1"},
        {"bandwidth": "1000"},
        {"bandwidth": None},
    ],
)
def test_a_shape_that_cannot_be_is_refused(bad):
    with pytest.raises(ConfigError) as caught:
        Shape(**bad)

    assert caught.value.field in bad


@pytest.mark.parametrize(
    "bad", [{"mss": 0}, {"send_buffer": 1.5}, {"receive_buffer": -1}]
)
def test_a_buffer_that_cannot_be_is_refused(bad):
    with pytest.raises(ConfigError) as caught:
        LinkModel(now=0.0, **bad)

    assert caught.value.field in bad


@pytest.mark.parametrize("fault", [LinkModel.cut, LinkModel.reset])
def test_a_link_has_two_sides(fault):
    link = link_of()
    with pytest.raises(ConfigError) as caught:
        fault(link, towards="nowhere")

    assert caught.value.field == "towards"
    assert not any(kernel.failed for kernel in link.kernels.values())


def test_jitter_and_loss_need_a_source_of_chance():
    with pytest.raises(ConfigError):
        LinkModel(Shape(loss=0.1), now=0.0)
    with pytest.raises(ConfigError):
        LinkModel(now=0.0).reshape(Shape(jitter=0.1))
