"""
An assembler for classic BPF, as far as filters of system calls need it.

A program is a list of lines, one instruction each, and labels between them. Jumps
go forward only, so a program always ends.

Source: Linux Documentation/networking/filter.rst (the instruction set),
include/uapi/linux/bpf_common.h and filter.h (its encoding).
"""

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from deadpeer.errors import ConfigError

__all__ = ["And", "IfEqual", "IfSet", "Label", "Line", "Load", "Return", "assemble"]

# linux/bpf_common.h: class, size, mode, operation and source, put together.
LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
JUMP_SET = 0x45  # BPF_JMP | BPF_JSET | BPF_K
RETURN = 0x06  # BPF_RET | BPF_K

# struct sock_filter: code, jump if true, jump if false, constant.
INSTRUCTION = struct.Struct("=HBBI")
FARTHEST = 255


class Load(NamedTuple):
    """Take the 32-bit word at an offset, in bytes, of what is looked at."""

    offset: int


class And(NamedTuple):
    """Keep only these bits of what was taken."""

    mask: int


class IfEqual(NamedTuple):
    """Go to a label if what was taken equals a number, else on to the next line."""

    number: int
    label: str


class IfSet(NamedTuple):
    """Go to a label if one of these bits is set, else on to the next line."""

    mask: int
    label: str


class Return(NamedTuple):
    """End with a verdict."""

    verdict: int


class Label(NamedTuple):
    """A place to go to; no instruction."""

    name: str


Line = Load | And | IfEqual | IfSet | Return | Label


def assemble(lines: Sequence[Line]) -> bytes:
    """
    Return a program as the kernel takes it: eight bytes an instruction.

    Args:
        lines: The program.

    Raises:
        ConfigError: A jump leads nowhere, backward or too far.
    """
    places = dict(_places(lines))
    instructions = [line for line in lines if not isinstance(line, Label)]
    return b"".join(_encoded(at, line, places) for at, line in enumerate(instructions))


def _places(lines: Sequence[Line]) -> Iterator[tuple[str, int]]:
    at = 0
    for line in lines:
        if isinstance(line, Label):
            yield line.name, at
        else:
            at += 1


def _encoded(at: int, line: Line, places: dict[str, int]) -> bytes:
    match line:
        case Load(offset):
            return INSTRUCTION.pack(LOAD_WORD, 0, 0, offset)
        case And(mask):
            return INSTRUCTION.pack(AND, 0, 0, mask)
        case IfEqual(number, label):
            return INSTRUCTION.pack(JUMP_EQUAL, _jump(at, label, places), 0, number)
        case IfSet(mask, label):
            return INSTRUCTION.pack(JUMP_SET, _jump(at, label, places), 0, mask)
        case Return(verdict):
            return INSTRUCTION.pack(RETURN, 0, 0, verdict)
        case Label(name):
            raise ConfigError(f"label {name!r} is no instruction", field="lines")


def _jump(at: int, label: str, places: dict[str, int]) -> int:
    """Return how many instructions are left out."""
    left_out = places.get(label, at) - at - 1
    if not 0 <= left_out <= FARTHEST:
        raise ConfigError(
            f"the jump from instruction {at} to {label!r} does not go forward by"
            f" 0 to {FARTHEST}",
            hint="labels stand below the lines that name them",
            field="lines",
            value=label,
        )
    return left_out
