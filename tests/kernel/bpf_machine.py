"""
A machine for the few instructions that our BPF programs are made of.

It knows as much as they need: memory in named pieces (the context, the stack, the
map's record, the socket), the two helpers, and counting atomically. What a program
does that is not known here is an error.
"""

import struct
from dataclasses import dataclass, field
from typing import Any

from deadpeer.kernel.bpf_instructions import disassemble

__all__ = ["Machine"]

NUMBERS = {0x61: "<I", 0x79: "<Q"}


@dataclass(frozen=True, slots=True)
class Pointer:
    """Where in which piece of memory."""

    piece: str
    at: int = 0


@dataclass
class Machine:
    """One run of a program: what it is given, and what it did."""

    context: dict[int, int]
    record: bytearray
    protocol: int = 6
    refused: frozenset[int] = frozenset()
    has_record: bool = True
    stored: dict[int, int] = field(default_factory=dict)
    options: list[tuple[int, int, int]] = field(default_factory=list)

    def run(self, code: bytes) -> int:  # noqa: C901, PLR0912 - a line for each opcode
        """Run a program, and return its result."""
        program = disassemble(code, "little")
        registers: list[Any] = [None] * 11
        registers[1], registers[10] = Pointer("context"), Pointer("stack")
        at = 0
        for _ in range(1000):
            one = program[at]
            at += 1
            to, of = one.target, one.source
            match one.opcode:
                case 0xBF:
                    registers[to] = registers[of]
                case 0xB7:
                    registers[to] = one.constant
                case 0x07:
                    pointer = registers[to]
                    registers[to] = Pointer(pointer.piece, pointer.at + one.constant)
                case 0x61 | 0x79:
                    registers[to] = self._load(registers[of], one.offset)
                case 0x62:
                    self._store(registers[to], one.offset, one.constant)
                case 0xDB:
                    self._add(registers[to], one.offset, registers[of])
                case 0x18:
                    registers[to], at = Pointer("map"), at + 1
                case 0x85:
                    registers[0] = self._call(one.constant, registers)
                    registers[1:6] = [None] * 5
                case 0x05:
                    at += one.offset
                case 0x15:
                    at += one.offset if registers[to] == one.constant else 0
                case 0x55:
                    at += one.offset if registers[to] != one.constant else 0
                case 0x95:
                    return int(registers[0])
                case _:
                    raise AssertionError(one)
        raise AssertionError("it never ends")

    def _load(self, pointer: Pointer, offset: int) -> object:
        where = pointer.at + offset
        if pointer.piece == "socket":
            assert where == 12
            return self.protocol
        assert pointer.piece == "context"
        value = self.context.get(where)
        return Pointer("socket") if value is None else value

    def _store(self, pointer: Pointer, offset: int, value: int) -> None:
        if pointer.piece == "context":
            self.stored[offset] = value
        else:
            assert (pointer.piece, offset, value) == ("stack", -4, 0)

    def _add(self, pointer: Pointer, offset: int, value: int) -> None:
        assert pointer.piece == "record"
        [before] = struct.unpack_from("=Q", self.record, pointer.at + offset)
        struct.pack_into("=Q", self.record, pointer.at + offset, before + value)

    def _call(self, helper: int, registers: list[Any]) -> object:
        if helper == 1:
            assert (registers[1], registers[2]) == (
                Pointer("map"),
                Pointer("stack", -4),
            )
            return Pointer("record") if self.has_record else 0
        assert helper == 49
        context, level, number, value, size = registers[1:6]
        assert (context, value.piece, size) == (Pointer("context"), "record", 4)
        [wanted] = struct.unpack_from("=I", self.record, value.at)
        if number in self.refused:
            return -22
        self.options.append((level, number, wanted))
        return 0
