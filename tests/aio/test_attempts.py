from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deadpeer.aio.attempts import interleaved


def test_families_take_turns():
    six: list[Any] = [(6, n) for n in range(3)]
    four: list[Any] = [(4, n) for n in range(2)]
    assert interleaved([*six, *four], 1) == [
        six[0], four[0], six[1], four[1], six[2],
    ]  # fmt: skip
    assert interleaved([*six, *four], 2) == [
        six[0], six[1], four[0], six[2], four[1],
    ]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from([4, 6]), st.integers())), st.integers(1, 5))
def test_no_address_is_lost_and_the_first_stays_first(found, first):
    turned = interleaved(found, first)
    assert sorted(turned) == sorted(found)
    assert turned[:1] == found[:1]
    for family in (4, 6):
        assert [i for i in turned if i[0] == family] == [
            i for i in found if i[0] == family
        ]
