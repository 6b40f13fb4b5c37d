"""The kernel's machine for classic BPF, as far as filters of system calls need it."""

import struct

__all__ = ["executed"]


def executed(program: bytes, data: bytes) -> int:
    """Return the verdict of a program on some data."""
    instructions = list(struct.iter_unpack("=HBBI", program))
    at, taken = 0, 0
    while True:
        code, if_true, if_false, constant = instructions[at]
        at += 1
        match code:
            case 0x20:
                (taken,) = struct.unpack_from("=I", data, constant)
            case 0x54:
                taken &= constant
            case 0x15:
                at += if_true if taken == constant else if_false
            case 0x45:
                at += if_true if taken & constant else if_false
            case 0x06:
                return int(constant)
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")
