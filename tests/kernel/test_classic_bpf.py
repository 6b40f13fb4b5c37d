"""The assembler: what it writes does what was meant, and mistakes are told."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.classic_bpf_machine import executed

from deadpeer.errors import ConfigError
from deadpeer.kernel.classic_bpf import (
    And,
    IfEqual,
    IfSet,
    Label,
    Load,
    Return,
    assemble,
)

WORDS = st.integers(0, 2**32 - 1)


def word(number: int) -> bytes:
    return struct.pack("=I", number)


def test_an_instruction_is_encoded_as_the_kernel_has_it():
    assert assemble([Return(0x7FFF0000)]) == bytes.fromhex("06000000 0000ff7f")


@given(WORDS, WORDS)
def test_equal_goes_to_the_label_and_unequal_on(asked, held):
    program = assemble([Load(0), IfEqual(asked, "yes"), Return(0), *yes()])

    assert executed(program, word(held)) == int(asked == held)


@given(WORDS, WORDS)
def test_a_set_bit_goes_to_the_label(mask, held):
    program = assemble([Load(0), IfSet(mask, "yes"), Return(0), *yes()])

    assert executed(program, word(held)) == int(mask & held != 0)


@given(WORDS, WORDS)
def test_and_keeps_some_bits(mask, held):
    program = assemble([Load(0), And(mask), IfEqual(mask & held, "yes"), *no(), *yes()])

    assert executed(program, word(held)) == 1


def test_a_word_is_taken_from_its_offset():
    program = assemble([Load(4), IfEqual(7, "yes"), Return(0), *yes()])

    assert executed(program, word(0) + word(7)) == 1


@pytest.mark.parametrize(
    "lines",
    [
        [IfEqual(1, "nowhere"), Return(0)],
        [Label("back"), Load(0), IfEqual(1, "back"), Return(0)],
        [IfEqual(1, "far"), *[Load(0)] * 256, Label("far"), Return(0)],
    ],
    ids=["nowhere", "backward", "too far"],
)
def test_a_jump_that_cannot_be_made_is_refused(lines):
    with pytest.raises(ConfigError, match="does not go forward"):
        assemble(lines)


def yes() -> list[Label | Return]:
    return [Label("yes"), Return(1)]


def no() -> list[Return]:
    return [Return(0)]
