"""
An assembler for the few eBPF instructions that small programs need.

A program is a list of instructions and labels, each made by a function named
after what it does; ``assemble`` finds the labels and gives the bytes that the
kernel loads. An instruction takes eight bytes: opcode, two registers of four bits
each, a 16-bit offset, a 32-bit constant.

Source: Linux Documentation/bpf/standardization/instruction-set.rst (RFC 9669);
include/uapi/linux/bpf.h, struct bpf_insn.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Literal

from deadpeer.errors import ConfigError

__all__ = [
    "ByteOrder",
    "Instruction",
    "Label",
    "Line",
    "Register",
    "Width",
    "add_atomically",
    "add_constant",
    "assemble",
    "call",
    "copy",
    "disassemble",
    "jump",
    "jump_if_equal",
    "jump_unless_equal",
    "leave",
    "load",
    "load_map",
    "set_constant",
    "store_constant",
]

ByteOrder = Literal["little", "big"]

SIZE = 8  # bytes of one instruction

# Classes, sources and modes of an opcode: RFC 9669, sections 3 to 5.
LD, LDX, ST, STX, JMP, ALU64 = 0x00, 0x01, 0x02, 0x03, 0x05, 0x07
CONSTANT, REGISTER = 0x00, 0x08
MEM, ATOMIC, WIDE = 0x60, 0xC0, 0x18
ADD, MOV = 0x00, 0xB0
JA, JEQ, JNE, CALL, EXIT = 0x00, 0x10, 0x50, 0x80, 0x90
MAP_DESCRIPTOR = 1  # BPF_PSEUDO_MAP_FD, in place of a source register


class Register(IntEnum):
    """
    A register: R0 is the result, R1 to R5 are arguments, R6 to R9 survive a call.

    R10 points to the end of the stack, and cannot be written.
    """

    R0 = 0
    R1 = 1
    R2 = 2
    R3 = 3
    R4 = 4
    R5 = 5
    R6 = 6
    R7 = 7
    R8 = 8
    R9 = 9
    R10 = 10


class Width(IntEnum):
    """How much memory an instruction touches."""

    WORD = 0x00  # four bytes
    LONG = 0x18  # eight bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """
    One instruction.

    Args:
        opcode: What it does.
        target: The register that it changes, or whose memory it changes.
        source: The register that it reads.
        offset: How far to jump, in instructions, or where in memory, in bytes.
        constant: A number that is part of it.
        label: For a jump: where to, by name, until it is assembled.
    """

    opcode: int
    target: int = 0
    source: int = 0
    offset: int = 0
    constant: int = 0
    label: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """
    A place to jump to.

    Args:
        name: How jumps name it.
    """

    name: str


Line = Instruction | Label


def copy(target: Register, source: Register) -> Instruction:
    """
    Copy a register into another.

    Args:
        target: The one that changes.
        source: The one that is read.
    """
    return Instruction(opcode=ALU64 | MOV | REGISTER, target=target, source=source)


def set_constant(target: Register, constant: int) -> Instruction:
    """
    Set a register to a number of 32 bits, its sign extended.

    Args:
        target: The register.
        constant: The number.
    """
    return Instruction(opcode=ALU64 | MOV | CONSTANT, target=target, constant=constant)


def add_constant(target: Register, constant: int) -> Instruction:
    """
    Add a number to a register.

    Args:
        target: The register.
        constant: The number.
    """
    return Instruction(opcode=ALU64 | ADD | CONSTANT, target=target, constant=constant)


def load(
    target: Register, source: Register, offset: int, width: Width = Width.WORD
) -> Instruction:
    """
    Load memory into a register.

    Args:
        target: The register.
        source: The register that points to the memory.
        offset: Bytes behind where it points.
        width: How much.
    """
    return Instruction(
        opcode=LDX | MEM | width, target=target, source=source, offset=offset
    )


def store_constant(target: Register, offset: int, constant: int) -> Instruction:
    """
    Store a number of 32 bits in memory.

    Args:
        target: The register that points to the memory.
        offset: Bytes behind where it points.
        constant: The number.
    """
    return Instruction(
        opcode=ST | MEM | Width.WORD, target=target, offset=offset, constant=constant
    )


def add_atomically(target: Register, offset: int, source: Register) -> Instruction:
    """
    Add a register to eight bytes of memory that other processors use too.

    Args:
        target: The register that points to the memory.
        offset: Bytes behind where it points.
        source: What is added.
    """
    return Instruction(
        opcode=STX | ATOMIC | Width.LONG, target=target, source=source, offset=offset
    )


def load_map(target: Register, descriptor: int) -> tuple[Instruction, Instruction]:
    """
    Load the address of a map; the kernel puts it in place of the descriptor.

    Args:
        target: The register.
        descriptor: The map's, in the process that loads the program.
    """
    first = Instruction(
        opcode=LD | WIDE, target=target, source=MAP_DESCRIPTOR, constant=descriptor
    )
    return first, Instruction(opcode=0)


def call(helper: int) -> Instruction:
    """
    Call a function of the kernel; its result is in R0, and R1 to R5 are lost.

    Args:
        helper: Its number, of the list in include/uapi/linux/bpf.h.
    """
    return Instruction(opcode=JMP | CALL, constant=helper)


def jump(label: str) -> Instruction:
    """
    Go on at a label.

    Args:
        label: Its name.
    """
    return Instruction(opcode=JMP | JA, label=label)


def jump_if_equal(register: Register, constant: int, label: str) -> Instruction:
    """
    Go on at a label if a register holds a number.

    Args:
        register: The register.
        constant: The number.
        label: The label's name.
    """
    return Instruction(
        opcode=JMP | JEQ | CONSTANT, target=register, constant=constant, label=label
    )


def jump_unless_equal(register: Register, constant: int, label: str) -> Instruction:
    """
    Go on at a label if a register holds anything but a number.

    Args:
        register: The register.
        constant: The number.
        label: The label's name.
    """
    return Instruction(
        opcode=JMP | JNE | CONSTANT, target=register, constant=constant, label=label
    )


def leave() -> Instruction:
    """End the program; what R0 holds is its result."""
    return Instruction(opcode=JMP | EXIT)


def assemble(lines: Iterable[Line], order: ByteOrder) -> bytes:
    """
    Return the program as the kernel loads it.

    Args:
        lines: Instructions and labels.
        order: The byte order of the machine.

    Raises:
        ConfigError: A jump leads nowhere, or a label is there twice.

    >>> assemble([set_constant(Register.R0, 1), leave()], "little").hex()
    'b7000000010000009500000000000000'
    """
    program: list[Instruction] = []
    places: dict[str, int] = {}
    for line in lines:
        if isinstance(line, Instruction):
            program.append(line)
            continue
        if line.name in places:
            raise _mislabelled(f"the label {line.name!r} is there twice", line.name)
        places[line.name] = len(program)
    return b"".join(
        _encoded(_resolved(instruction, at, places), order)
        for at, instruction in enumerate(program)
    )


def disassemble(code: bytes, order: ByteOrder) -> tuple[Instruction, ...]:
    """
    Return the instructions of a program; jumps have offsets in place of labels.

    Args:
        code: The program as the kernel loads it.
        order: The byte order of the machine.

    Raises:
        ConfigError: That is no whole number of instructions.
    """
    if len(code) % SIZE:
        raise ConfigError(
            f"a program of {len(code)} bytes ends within an instruction",
            hint=f"each takes {SIZE} bytes",
            field="code",
            value=len(code),
        )
    return tuple(
        _decoded(code[at : at + SIZE], order) for at in range(0, len(code), SIZE)
    )


def _resolved(instruction: Instruction, at: int, places: dict[str, int]) -> Instruction:
    if not instruction.label:
        return instruction
    if instruction.label not in places:
        label = instruction.label
        raise _mislabelled(f"there is no label {label!r} to jump to", label)
    # Counted from the instruction behind the jump.
    return replace(instruction, offset=places[instruction.label] - at - 1, label="")


def _mislabelled(message: str, name: str) -> ConfigError:
    return ConfigError(
        message, hint="each label stands in a program once", field="label", value=name
    )


def _encoded(instruction: Instruction, order: ByteOrder) -> bytes:
    # The two registers are bit fields in C, which follow the byte order.
    low, high = instruction.target, instruction.source
    if order == "big":
        low, high = high, low
    return struct.pack(
        _layout(order),
        instruction.opcode,
        low | high << 4,
        instruction.offset,
        instruction.constant,
    )


def _decoded(code: bytes, order: ByteOrder) -> Instruction:
    opcode, registers, offset, constant = struct.unpack(_layout(order), code)
    low, high = registers & 0xF, registers >> 4
    target, source = (high, low) if order == "big" else (low, high)
    return Instruction(
        opcode=opcode, target=target, source=source, offset=offset, constant=constant
    )


def _layout(order: ByteOrder) -> str:
    return "<BBhi" if order == "little" else ">BBhi"
