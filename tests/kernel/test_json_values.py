"""Values out of a file: of the right type, or refused with what they are."""

import pytest

from deadpeer.kernel.json_values import (
    Malformed,
    a_list,
    a_number,
    a_text,
    a_truth,
    an_object,
    or_none,
    parsed,
)


@pytest.mark.parametrize(
    ("read", "right", "wrong"),
    [
        (a_text, "x", 1),
        (a_number, 0, True),
        (a_number, 7, -1),
        (a_number, 1 << 64, 1.0),
        (a_truth, False, 0),
        (a_list, [], {}),
        (an_object, {}, 1),
    ],
)
def test_a_value_is_of_its_type_or_refused(read, right, wrong):
    assert read(right) is right
    for other in (wrong, None):
        with pytest.raises(Malformed, match=str(other)[:5]):
            read(other)


def test_a_value_that_may_be_missing_is_none_or_read():
    assert or_none(a_number, None) is None
    assert or_none(a_number, 7) == 7
    with pytest.raises(Malformed):
        or_none(a_number, "7")


def test_a_refusal_does_not_repeat_a_whole_file():
    with pytest.raises(Malformed) as caught:
        a_number("x" * 10_000)

    assert len(str(caught.value)) < 100


def test_an_object_has_what_it_has_to_have():
    assert an_object({"a": 1, "b": 2}, "a") == {"a": 1, "b": 2}
    with pytest.raises(Malformed, match="b is missing"):
        an_object({"a": 1}, "a", "b")


def test_what_is_no_json_says_where():
    assert parsed('{"a": [1]}') == {"a": [1]}
    with pytest.raises(Malformed, match=r"^it is no JSON \(line 2, column 1\)$"):
        parsed("[1,\n")


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 100_000])
def test_json_that_python_cannot_hold_is_refused(text):
    with pytest.raises(Malformed, match="it is no JSON that any program of ours"):
        parsed(text)
