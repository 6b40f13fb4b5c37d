"""How a death is told that happens while somebody looks: never as another one."""

from collections.abc import Iterator
from functools import partial

from hypothesis import given
from hypothesis import strategies as st
from tests.host.looks import look, unheard

from deadpeer.host.changes import DeathReason
from deadpeer.host.sampling import Sampler
from deadpeer.kernel.timeout_counter import unmoved

Deaths = dict[int, DeathReason]
TIMED_OUT, RESET, UNKNOWN = (
    DeathReason.TIMED_OUT,
    DeathReason.RESET,
    DeathReason.UNKNOWN,
)


class Kernel:
    """
    Connections of which each has left two probes unanswered, and how they end.

    Whoever looks at it takes time: between any two of the things it is asked, the next
    of the steps happens, and some connections end.
    """

    def __init__(self, many: int, steps: list[Deaths]) -> None:
        self.alive = set(range(many))
        self.ended: Deaths = {}
        self._order = range(many)
        self._steps: Iterator[Deaths] = iter(steps)

    def count(self) -> int:
        """Return how many timed out: what takes one step."""
        self._step()
        return list(self.ended.values()).count(TIMED_OUT)

    def dump(self):
        """Return what there is, one connection at each step."""
        return look(*(unheard(n) for n in self._order if self._is_alive(n)))

    def finish(self) -> None:
        """Have all the steps happen that are left."""
        for deaths in self._steps:
            self._end(deaths)

    def _is_alive(self, number: int) -> bool:
        self._step()
        return number in self.alive

    def _step(self) -> None:
        self._end(next(self._steps, {}))

    def _end(self, deaths: Deaths) -> None:
        for number in deaths.keys() & self.alive:
            self.alive.discard(number)
            self.ended[number] = deaths[number]


def told(kernel: Kernel, *, looks: int) -> list[tuple[int, DeathReason]]:
    """Return which connections were told to be dead, and how."""
    sampler, found = Sampler(), []
    for now in range(looks):
        if now == looks - 1:
            kernel.finish()
        rows, timeouts = unmoved(kernel.count, kernel.dump)
        sampler.see(1, rows, now=now, timeouts=timeouts)
        found += [
            (change.row.cookie, change.reason)
            for change in sampler.changes()
            if change.reason
        ]
    return found


STEP = st.one_of(
    st.just(Deaths()),
    st.dictionaries(st.integers(0, 3), st.sampled_from([TIMED_OUT, RESET]), max_size=2),
)


@given(st.lists(STEP, max_size=60))
def test_no_death_is_told_as_another_whenever_it_happens(steps):
    kernel = Kernel(4, [{}] * 6 + steps)
    found = told(kernel, looks=9)

    assert sorted(number for number, _ in found) == sorted(kernel.ended)
    for number, reason in found:
        assert reason in (kernel.ended[number], UNKNOWN)


@given(st.sampled_from([TIMED_OUT, RESET]), st.integers(0, 11), st.integers(0, 1))
def test_how_a_single_one_ended_is_known_whenever_it_happens(reason, step, number):
    # Two looks at two connections, the second from the fifth step on.
    kernel = Kernel(2, [{}] * step + [{number: reason}])

    assert told(kernel, looks=4) in ([(number, reason)], [])


def test_a_count_that_moves_in_each_look_belongs_to_none():
    numbers = iter(range(100))

    assert unmoved(partial(next, numbers), lambda: "seen") == ("seen", None)


def test_a_look_without_a_count_leaves_the_next_one_without_an_answer():
    """What was counted since the last but one may have been of those told before."""
    sampler = Sampler()
    sampler.see(1, look(unheard(1), unheard(2)), now=0, timeouts=0)
    sampler.see(1, look(unheard(2)), now=1, timeouts=None)
    sampler.see(1, look(), now=2, timeouts=1)

    reasons = [change.reason for change in sampler.changes() if change.reason]
    assert reasons == [UNKNOWN, UNKNOWN]
