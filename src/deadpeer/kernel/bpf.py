"""
bpf(2), as far as programs on a cgroup need it.

Programs, maps and cgroups are descriptors here. A program lives as long as
somebody holds it: a descriptor, a cgroup that it is attached to, or a file (a
pin) in the BPF file system. No compiler and no BTF are needed.

Source: Linux bpf(2); include/uapi/linux/bpf.h, union bpf_attr, bpf_prog_info and
bpf_map_info; kernel/bpf/syscall.c and kernel/bpf/cgroup.c for the errors.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from deadpeer.errors import DeadPeerError, KernelRefused
from deadpeer.kernel.bpf_calls import Command, address, call, unverified

__all__ = [
    "MULTI",
    "Hook",
    "ProgramInfo",
    "attach",
    "attached_ids",
    "create_record",
    "detach",
    "info_of",
    "load",
    "map_by_id",
    "open_pin",
    "pin",
    "program_by_id",
    "program_ids",
    "read_record",
]

MULTI = 2  # BPF_F_ALLOW_MULTI: beside other programs, here and below
REPLACE = 4  # BPF_F_REPLACE: in the place of one of them

LOG_SIZE = 1 << 16
MOST_PROGRAMS = 64  # BPF_CGROUP_MAX_PROGS
MOST_MAPS = 64
ARRAY = 2  # BPF_MAP_TYPE_ARRAY

# The leading fields of each struct of union bpf_attr, in its order.
MAP_CREATE = "=IIIIIII16s"
ELEMENT = "=I4xQQQ"
LOAD = "=IIQQIIQII16sII"
ATTACH = "=IIIII"
QUERY = "=IIIIQI"
OBJECT = "=QII"
NUMBER = "=III"
ASK = "=IIQ"
# struct bpf_prog_info and struct bpf_map_info.
PROGRAM_INFO = struct.Struct("=II8sIIQQQIIQ16s")
MAP_INFO = struct.Struct("=IIIII")

U32 = ctypes.c_uint32


class Hook(IntEnum):
    """Where a program is attached: ``enum bpf_attach_type``."""

    SOCK_OPS = 3
    SETSOCKOPT = 22

    @property
    def kind(self) -> int:
        """The type of the programs that belong there: ``enum bpf_prog_type``."""
        return {Hook.SOCK_OPS: 13, Hook.SETSOCKOPT: 25}[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramInfo:
    """
    What the kernel says of a loaded program.

    Args:
        number: Its number (id), which no later program gets.
        name: The name that its maker gave it; anybody may give any.
        tag: A digest of its instructions, in hexadecimal digits.
        maps: The numbers of the maps that it uses.
    """

    number: int
    name: str
    tag: str
    maps: tuple[int, ...] = ()


def create_record(content: bytes, *, name: str) -> int:
    """
    Make a map of one record, and return its descriptor.

    Args:
        content: The record.
        name: How it is shown; 15 characters at the most.

    Raises:
        AccessDenied: A capability is missing.
        UnsupportedError: This kernel has no BPF.
        KernelRefused: The kernel refused in another way.
    """
    made, _ = call(
        Command.MAP_CREATE, MAP_CREATE, ARRAY, 4, len(content), 1, 0, 0, 0, _name(name)
    )
    key, value = U32(0), ctypes.create_string_buffer(content, len(content))
    try:
        element = made, address(key), address(value), 0
        call(Command.MAP_UPDATE_ELEM, ELEMENT, *element)
    except DeadPeerError:
        os.close(made)
        raise
    return made


def read_record(descriptor: int) -> bytes:
    """
    Return the one record of a map; nothing if it is another kind of map.

    Args:
        descriptor: The map's.

    Raises:
        AccessDenied: A capability is missing.
        UnsupportedError: This kernel has no BPF.
        KernelRefused: That is no map.
    """
    kind, _, key_size, size, entries = MAP_INFO.unpack(_ask(descriptor, MAP_INFO.size))
    if (kind, key_size, entries) != (ARRAY, 4, 1):
        return b""
    key, value = U32(0), ctypes.create_string_buffer(size)
    element = descriptor, address(key), address(value), 0
    call(Command.MAP_LOOKUP_ELEM, ELEMENT, *element)
    return value.raw


def load(hook: Hook, code: bytes, *, name: str, licence: str) -> int:
    """
    Load a program, and return its descriptor.

    Args:
        hook: Where it is going to be attached.
        code: Its instructions.
        name: How it is shown; 15 characters at the most.
        licence: What it declares; some functions of the kernel ask for GPL.

    Raises:
        AccessDenied: A capability is missing.
        UnsupportedError: This kernel has no BPF, or no such hook.
        KernelRefused: The kernel's verifier found something: its words are in
            the message.
    """
    instructions = ctypes.create_string_buffer(code, len(code))
    declared = ctypes.create_string_buffer(licence.encode())
    log = ctypes.create_string_buffer(LOG_SIZE)
    wanted = hook.kind, len(code) // 8, address(instructions), address(declared)
    quiet, talkative = (0, 0, 0), (1, LOG_SIZE, address(log))
    rest = 0, 0, _name(name), 0, hook if hook is Hook.SETSOCKOPT else 0
    try:
        return call(Command.PROG_LOAD, LOAD, *wanted, *quiet, *rest)[0]
    except KernelRefused as error:
        # Once more, for the reasons: a log costs time, so not at first.
        try:
            return call(Command.PROG_LOAD, LOAD, *wanted, *talkative, *rest)[0]
        except KernelRefused:
            raise unverified(error, log.value.decode(errors="replace")) from error


def attach(
    program: int, cgroup: int, hook: Hook, *, instead_of: int | None = None
) -> None:
    """
    Attach a program to a cgroup, beside those of others; it stays when we end.

    Args:
        program: The program's descriptor.
        cgroup: The descriptor of the cgroup's folder.
        hook: Where.
        instead_of: The descriptor of a program that it takes the place of, with
            no moment between.

    Raises:
        AccessDenied: A capability is missing.
        UnsupportedError: This kernel has no BPF, or no such hook.
        KernelRefused: The kernel refused in another way.
    """
    flags = MULTI if instead_of is None else MULTI | REPLACE
    place = cgroup, program, hook, flags, instead_of or 0
    call(Command.PROG_ATTACH, ATTACH, *place)


def detach(program: int, cgroup: int, hook: Hook) -> None:
    """
    Take a program off a cgroup, and leave the others.

    Args:
        program: The program's descriptor.
        cgroup: The descriptor of the cgroup's folder.
        hook: Where it is attached.

    Raises:
        AccessDenied: A capability is missing.
        UnsupportedError: This kernel has no BPF, or no such hook.
        KernelRefused: It is not attached there: errno ENOENT.
    """
    call(Command.PROG_DETACH, ATTACH, cgroup, program, hook, 0, 0)


def attached_ids(cgroup: int, hook: Hook) -> tuple[tuple[int, ...], int]:
    """
    Return the programs on a cgroup, and how they are attached.

    Args:
        cgroup: The descriptor of the cgroup's folder.
        hook: Where.

    Returns:
        The numbers of the programs that are attached to this very cgroup, in
        order; and the flags, ``MULTI`` if others may join them.

    Raises:
        AccessDenied: A capability is missing.
        UnsupportedError: This kernel has no BPF, or no such hook.
        KernelRefused: The kernel refused in another way.
    """
    ids = (U32 * MOST_PROGRAMS)()
    question = cgroup, hook, 0, 0, address(ids), MOST_PROGRAMS
    _, answer = call(Command.PROG_QUERY, QUERY, *question)
    *_, flags, _, found = answer
    return tuple(ids[:found]), flags


def program_ids() -> Iterator[int]:
    """
    Yield the number of every loaded program, lowest first.

    Raises:
        AccessDenied: It takes CAP_SYS_ADMIN.
        UnsupportedError: This kernel has no BPF.
        KernelRefused: The kernel refused in another way.
    """
    last = 0
    while True:
        try:
            _, answer = call(Command.PROG_GET_NEXT_ID, NUMBER, last, 0, 0)
        except KernelRefused as error:
            if error.errno == errno.ENOENT:
                return
            raise
        last = answer[1]
        yield last


def program_by_id(number: int) -> int:
    """
    Return a descriptor for a loaded program, which the caller has to close.

    Args:
        number: The program's number.

    Raises:
        AccessDenied: It takes CAP_SYS_ADMIN.
        UnsupportedError: This kernel has no BPF.
        KernelRefused: There is no such program (any more): errno ENOENT.
    """
    return call(Command.PROG_GET_FD_BY_ID, NUMBER, number, 0, 0)[0]


def map_by_id(number: int) -> int:
    """
    Return a descriptor for a map, which the caller has to close.

    Args:
        number: The map's number.

    Raises:
        AccessDenied: It takes CAP_SYS_ADMIN.
        UnsupportedError: This kernel has no BPF.
        KernelRefused: There is no such map (any more): errno ENOENT.
    """
    return call(Command.MAP_GET_FD_BY_ID, NUMBER, number, 0, 0)[0]


def info_of(program: int) -> ProgramInfo:
    """
    Return what the kernel says of a loaded program.

    Args:
        program: The program's descriptor.

    Raises:
        AccessDenied: A capability is missing.
        UnsupportedError: This kernel has no BPF.
        KernelRefused: That is no program.
    """
    maps = (U32 * MOST_MAPS)()
    room = PROGRAM_INFO.pack(0, 0, b"", 0, 0, 0, 0, 0, 0, MOST_MAPS, address(maps), b"")
    fields = PROGRAM_INFO.unpack(_ask(program, PROGRAM_INFO.size, room))
    many, name = fields[9], fields[11]
    return ProgramInfo(
        number=fields[1],
        name=name.rstrip(b"\0").decode(errors="replace"),
        tag=fields[2].hex(),
        maps=tuple(maps[: min(many, MOST_MAPS)]),
    )


def pin(descriptor: int, path: str) -> None:
    """
    Give a program or a map a file, by which it lives and can be found.

    Args:
        descriptor: The program's, or the map's.
        path: A new file of the BPF file system, without a dot in its name.

    Raises:
        AccessDenied: A capability is missing, or the folder may not be written.
        UnsupportedError: This kernel has no BPF.
        KernelRefused: That is no BPF file system, or there is such a file.
    """
    name = ctypes.create_string_buffer(os.fsencode(path))
    call(Command.OBJ_PIN, OBJECT, address(name), descriptor, 0)


def open_pin(path: str) -> int:
    """
    Return a descriptor for what was pinned, which the caller has to close.

    Args:
        path: The file.

    Raises:
        AccessDenied: The file may not be used.
        UnsupportedError: This kernel has no BPF.
        KernelRefused: There is no such file, or it is none of BPF's.
    """
    name = ctypes.create_string_buffer(os.fsencode(path))
    return call(Command.OBJ_GET, OBJECT, address(name), 0, 0)[0]


def _ask(descriptor: int, size: int, given: bytes = b"") -> bytes:
    """Return the leading part of what the kernel knows of a program or a map."""
    about = ctypes.create_string_buffer(given, size)
    call(Command.OBJ_GET_INFO_BY_FD, ASK, descriptor, size, address(about))
    return about.raw


def _name(name: str) -> bytes:
    return name.encode()[:15]  # BPF_OBJ_NAME_LEN, without its final zero
