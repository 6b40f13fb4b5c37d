"""What TCP promises holds for the link without a loop, whatever happens to it."""

import itertools
import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.testing.links import dice, drain, link_of

from deadpeer.testing import Shape, Side

LEFT, RIGHT = Side


@dataclass(frozen=True)
class Step:
    after: float
    what: str
    size: int


STEPS = st.builds(
    Step,
    after=st.sampled_from([0.0, 0.001, 0.02, 0.3, 2.0]),
    what=st.sampled_from(
        ["write", "write", "write", "read", "read", "cut", "cut one way", "mend"]
    ),
    size=st.integers(1, 2000),
)
SHAPES = st.builds(
    Shape,
    delay=st.sampled_from([0.0, 0.01, 0.3]),
    jitter=st.sampled_from([0.0, 0.05]),
    bandwidth=st.sampled_from([math.inf, 20_000.0]),
    loss=st.sampled_from([0.0, 0.05, 0.4]),
)


@given(
    SHAPES,
    st.lists(STEPS, max_size=25),
    st.integers(0, 5),
    st.sampled_from([1, 700, 4096]),
    st.sampled_from([50, 1448]),
)
def test_bytes_arrive_in_order_and_none_is_lost_once_the_cable_is_back(
    shape, steps, seed, buffer, mss
):
    link = link_of(
        shape,
        chance=dice(seed),
        send_buffer=buffer,
        receive_buffer=buffer,
        mss=mss,
    )
    now, numbers = 0.0, itertools.cycle(range(251))
    sent, read, acked = bytearray(), bytearray(), 0
    writer, reader = link.kernels[LEFT], link.kernels[RIGHT]
    for step in steps:
        now += step.after
        link.advance(now=now)
        if step.what == "write":
            data = bytes(itertools.islice(numbers, min(step.size, writer.room)))
            assert writer.write(data, now=now) == len(data)
            sent += data
        elif step.what == "read":
            read += reader.read(step.size, now=now)
        elif step.what == "mend":
            link.mend()
        else:
            link.cut(towards=RIGHT if step.what == "cut one way" else None)
        assert sent.startswith(read)
        assert reader.unread <= buffer
        assert writer.outstanding <= buffer
        assert acked <= writer.acked <= len(read) + reader.unread
        acked = writer.acked
    link.mend()
    writer.shutdown(now=now)
    read += reader.read(1 << 20, now=now)
    read += b"".join(drain(link, RIGHT).values())

    assert read == sent
    assert reader.eof
    assert writer.outstanding == 0
    assert writer.acked == len(sent) + 1  # the end counts
    assert link.next_at == math.inf


@given(SHAPES, st.lists(STEPS, max_size=20), st.integers(0, 3))
def test_it_makes_no_difference_how_late_time_is_told(shape, steps, seed):
    def play(*, often: bool) -> list[object]:
        link = link_of(shape, chance=dice(seed), send_buffer=9000)
        now = 0.0
        seen: list[object] = []
        for step in steps:
            now += step.after
            while often and link.next_at <= now:
                link.advance(now=link.next_at)
            link.advance(now=now)
            kernels = link.kernels.values()
            seen += [
                (k.acked, k.acked_at, k.arrived_at, k.unread, k.unanswered(now=now))
                for k in kernels
            ]
            if step.what == "write":
                link.kernels[LEFT].write(bytes(step.size), now=now)
                link.kernels[RIGHT].write(bytes(step.size // 2), now=now)
            elif step.what == "read":
                link.kernels[RIGHT].read(step.size, now=now)
            elif step.what == "mend":
                link.mend()
            else:
                link.cut()
        return seen

    assert play(often=True) == play(often=False)


@given(st.floats(0.0, 10.0), st.floats(1000.0, 1e9), st.integers(1, 20_000))
def test_delay_and_bandwidth_hold(delay, bandwidth, size):
    link = link_of(Shape(delay=delay, bandwidth=bandwidth))
    link.kernels[LEFT].write(bytes(size), now=0.0)

    came = drain(link, RIGHT)

    assert sum(map(len, came.values())) == size
    assert max(came) == pytest.approx(size / bandwidth + delay, abs=1e-8)
    arrived = itertools.accumulate(map(len, came.values()))
    for instant, so_far in zip(came, arrived, strict=True):
        assert instant >= so_far / bandwidth + delay - 1e-6


def test_jitter_delays_by_what_it_may_and_keeps_the_order():
    link = link_of(Shape(delay=1.0, jitter=0.5), mss=1)
    link.kernels[LEFT].write(bytes(range(100)), now=0.0)

    came = drain(link, RIGHT)

    assert b"".join(came.values()) == bytes(range(100))
    assert 1.0 <= min(came) < max(came) <= 1.5
