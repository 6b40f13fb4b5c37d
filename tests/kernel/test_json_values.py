"""Values out of a file: of the right type, or refused with what they are."""

import pytest

from deadpeer.kernel.json_values import a_list, a_number, a_text, a_truth, or_none


@pytest.mark.parametrize(
    ("read", "right", "wrong"),
    [
        (a_text, "x", 1),
        (a_number, 0, True),
        (a_number, 7, -1),
        (a_number, 1 << 64, 1.0),
        (a_truth, False, 0),
        (a_list, [], {}),
    ],
)
def test_a_value_is_of_its_type_or_refused(read, right, wrong):
    assert read(right) is right
    for other in (wrong, None):
        with pytest.raises(TypeError, match=str(other)[:5]):
            read(other)


def test_a_value_that_may_be_missing_is_none_or_read():
    assert or_none(a_number, None) is None
    assert or_none(a_number, 7) == 7
    with pytest.raises(TypeError):
        or_none(a_number, "7")


def test_a_refusal_does_not_repeat_a_whole_file():
    with pytest.raises(TypeError) as caught:
        a_number("x" * 10_000)

    assert len(str(caught.value)) < 100
