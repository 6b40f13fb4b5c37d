"""The assembler: known encodings, and that what goes in comes out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.errors import ConfigError
from deadpeer.kernel.bpf_instructions import (
    Instruction,
    Label,
    Register,
    Width,
    add_atomically,
    add_constant,
    assemble,
    call,
    copy,
    disassemble,
    jump,
    jump_if_equal,
    jump_unless_equal,
    leave,
    load,
    load_map,
    set_constant,
    store_constant,
)

R = Register

# As in RFC 9669 and as an assembler of LLVM gives them, little endian.
KNOWN = [
    (copy(R.R6, R.R1), "bf16000000000000"),
    (set_constant(R.R0, 1), "b700000001000000"),
    (set_constant(R.R3, -1), "b7030000ffffffff"),
    (add_constant(R.R2, -4), "07020000fcffffff"),
    (load(R.R7, R.R6, 0), "6167000000000000"),
    (load(R.R2, R.R6, 8, Width.LONG), "7962080000000000"),
    (store_constant(R.R10, -4, 0), "620afcff00000000"),
    (store_constant(R.R6, 32, -1), "62062000ffffffff"),
    (add_atomically(R.R8, 40, R.R1), "db18280000000000"),
    (call(49), "8500000031000000"),
    (leave(), "9500000000000000"),
]


@pytest.mark.parametrize(("instruction", "code"), KNOWN, ids=lambda x: str(x)[:16])
def test_an_instruction_has_its_known_encoding(instruction, code):
    assert assemble([instruction], "little").hex() == code


def test_a_map_takes_two_instructions():
    code = assemble(load_map(R.R1, 7), "little")

    assert code.hex() == "1811000007000000" + "00" * 8


def test_the_registers_change_places_with_the_byte_order():
    assert assemble([copy(R.R6, R.R1)], "big").hex() == "bf61000000000000"
    assert assemble([load(R.R7, R.R6, 2)], "big").hex() == "6176000200000000"


def test_jumps_count_from_the_instruction_behind_them():
    lines = [
        Label("start"),
        jump_if_equal(R.R1, 3, "end"),
        jump_unless_equal(R.R1, 4, "start"),
        jump("end"),
        Label("end"),
        leave(),
    ]

    assert [i.offset for i in disassemble(assemble(lines, "little"), "little")] == [
        2,
        -2,
        0,
        0,
    ]


INSTRUCTIONS = st.builds(
    Instruction,
    opcode=st.integers(0, 255),
    target=st.integers(0, 10),
    source=st.integers(0, 10),
    offset=st.integers(-(2**15), 2**15 - 1),
    constant=st.integers(-(2**31), 2**31 - 1),
)


@given(st.lists(INSTRUCTIONS), st.sampled_from(["little", "big"]))
def test_what_is_assembled_can_be_taken_apart(program, order):
    code = assemble(program, order)

    assert disassemble(code, order) == tuple(program)
    assert len(code) == 8 * len(program)


def test_a_jump_to_nowhere_is_refused():
    with pytest.raises(ConfigError, match="no label 'away'"):
        assemble([jump("away")], "little")


def test_a_label_that_is_there_twice_is_refused():
    with pytest.raises(ConfigError, match="twice"):
        assemble([Label("here"), leave(), Label("here")], "little")


def test_half_an_instruction_is_refused():
    with pytest.raises(ConfigError, match="ends within an instruction"):
        disassemble(bytes(12), "little")
