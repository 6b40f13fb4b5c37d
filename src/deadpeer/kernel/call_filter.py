"""
Which system calls a launched program is stopped at, as a filter for the kernel.

The filter looks at numbers only: it cannot read what a pointer leads to, nor what
kind of socket a descriptor is. So it stops every ``connect`` and ``listen``, and
``sendto`` and its kin where their flags open a connection (TCP Fast Open); whoever
is told then looks at the socket. Everything else goes on at full speed.

A processor has more than one table of calls: a 64-bit kernel runs 32-bit programs
too, and x86 has a third one, x32, inside the first.

Source: Linux include/uapi/linux/seccomp.h (struct seccomp_data, the verdicts),
include/uapi/linux/audit.h (architectures), arch/x86/entry/syscalls/syscall_64.tbl
and syscall_32.tbl, scripts/syscall.tbl, arch/arm/tools/syscall.tbl (numbers),
include/uapi/linux/net.h (socketcall).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from deadpeer.kernel.classic_bpf import (
    And,
    IfEqual,
    IfSet,
    Label,
    Line,
    Load,
    Return,
    assemble,
)

__all__ = ["MACHINES", "Abi", "Call", "Machine", "Way", "call_filter"]

ALLOW = 0x7FFF0000
NOTIFY = 0x7FC00000
SUCCEED = 0x00050000  # SECCOMP_RET_ERRNO with errno 0: nothing done, 0 returned

# struct seccomp_data, in bytes. Arguments are 64 bits wide; both machines below are
# little-endian, so the low half, which is all of an int, comes first.
NUMBER, ARCHITECTURE, ARGUMENTS, WIDE = 0, 4, 16, 8

MSG_FASTOPEN = 0x20000000  # include/linux/socket.h
X32 = 0x40000000  # __X32_SYSCALL_BIT

AF_INET, AF_INET6 = 2, 10
SOCK_STREAM, SOCK_KINDS = 1, 0xF  # SOCK_TYPE_MASK: the rest are flags
IPPROTO_TCP = 6


class Call(StrEnum):
    """What a stopped program was about to do."""

    CONNECT = "connect"
    LISTEN = "listen"
    SEND = "send"
    SOCKET = "socket"
    MANY = "socketcall"


class Way(StrEnum):
    """
    How sockets get their settings.

    ``BORROW``: the program's own socket is borrowed when it connects or listens.
    ``HAND_OUT``: sockets are made for the program, settings and all, in place of
    its own call of ``socket``; that takes no access to the program.
    """

    BORROW = "borrow"
    HAND_OUT = "hand out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Abi:
    """
    One table of system calls.

    Args:
        architecture: What ``seccomp_data.arch`` holds.
        calls: Number to call.
        flags: Of those that send: which argument has the flags.
        setsockopt: The numbers of that call.
    """

    architecture: int
    calls: Mapping[int, Call]
    flags: Mapping[int, int]
    setsockopt: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """
    One kind of processor, as ``uname -m`` names it.

    Args:
        seccomp: The number of the call ``seccomp``.
        abis: The tables that its programs can use, its own first.
    """

    seccomp: int
    abis: tuple[Abi, ...] = field(repr=False)

    @property
    def calls(self) -> dict[tuple[int, int], Call]:
        """Which of our calls it is, by architecture and number."""
        return {
            (abi.architecture, number): call
            for abi in self.abis
            for number, call in abi.calls.items()
        }


def _calls(
    *, socket: int, connect: int, listen: int, sends: Iterable[int], bit: int = 0
) -> dict[int, Call]:
    return {
        socket | bit: Call.SOCKET,
        connect | bit: Call.CONNECT,
        listen | bit: Call.LISTEN,
        **{send | bit: Call.SEND for send in sends},
    }


X86_64 = Abi(
    architecture=0xC000003E,
    calls={
        **_calls(socket=41, connect=42, listen=50, sends=(44, 46, 307)),
        **_calls(socket=41, connect=42, listen=50, sends=(44, 518, 538), bit=X32),
    },
    flags={44: 3, 46: 2, 307: 3, X32 | 44: 3, X32 | 518: 2, X32 | 538: 3},
    setsockopt=(54, X32 | 541),
)
I386 = Abi(
    architecture=0x40000003,
    calls={
        **_calls(socket=359, connect=362, listen=363, sends=(369, 370, 345)),
        102: Call.MANY,
    },
    flags={369: 3, 370: 2, 345: 3},
    setsockopt=(366,),
)
AARCH64 = Abi(
    architecture=0xC00000B7,
    calls=_calls(socket=198, connect=203, listen=201, sends=(206, 211, 269)),
    flags={206: 3, 211: 2, 269: 3},
    setsockopt=(208,),
)
ARM = Abi(
    architecture=0x40000028,
    calls=_calls(socket=281, connect=283, listen=284, sends=(290, 296, 374)),
    flags={290: 3, 296: 2, 374: 3},
    setsockopt=(294,),
)

MACHINES: dict[str, Machine] = {
    "x86_64": Machine(seccomp=317, abis=(X86_64, I386)),
    "aarch64": Machine(seccomp=277, abis=(AARCH64, ARM)),
}

# socketcall(number, pointer to the arguments): which of its numbers.
SOCKETCALLS = {3: Call.CONNECT, 4: Call.LISTEN}


def call_filter(
    machine: Machine,
    way: Way,
    *,
    pinned: Iterable[tuple[int, int]] = (),
) -> bytes:
    """
    Return the filter, assembled.

    Args:
        machine: The processor.
        way: How sockets get their settings, which decides where to stop.
        pinned: Options (level, number) that the program cannot set any more: the
            call does nothing and succeeds.

    Raises:
        ConfigError: The program is too long for its jumps.
    """
    options: dict[int, list[int]] = {}
    for level, number in pinned:
        options.setdefault(level, []).append(number)
    return assemble(list(_lines(machine, way, options)))


def _lines(machine: Machine, way: Way, pinned: dict[int, list[int]]) -> Iterator[Line]:
    yield Load(ARCHITECTURE)
    for abi in machine.abis:
        yield IfEqual(abi.architecture, f"calls of {abi.architecture}")
    yield Return(ALLOW)
    for abi in machine.abis:
        yield Label(f"calls of {abi.architecture}")
        yield from _choice(abi, way, pinned=bool(pinned))
    if way is Way.BORROW:
        yield from _sends(machine)
        yield from _many()
    else:
        yield from _sockets()
    yield from _pinned(pinned)
    yield Label("notify")
    yield Return(NOTIFY)


def _choice(abi: Abi, way: Way, *, pinned: bool) -> Iterator[Line]:
    """Go by the number of the call."""
    yield Load(NUMBER)
    for number, call in abi.calls.items():
        if (call is Call.SOCKET) is not (way is Way.HAND_OUT):
            continue
        match call:
            case Call.SEND:
                yield IfEqual(number, f"flags in {abi.flags[number]}")
            case Call.SOCKET | Call.MANY:
                yield IfEqual(number, call.value)
            case _:
                yield IfEqual(number, "notify")
    if pinned:
        for number in abi.setsockopt:
            yield IfEqual(number, "setsockopt")
    yield Return(ALLOW)


def _sends(machine: Machine) -> Iterator[Line]:
    for index in sorted({at for abi in machine.abis for at in abi.flags.values()}):
        yield Label(f"flags in {index}")
        yield _argument(index)
        yield IfSet(MSG_FASTOPEN, "notify")
        yield Return(ALLOW)


def _many() -> Iterator[Line]:
    yield Label(Call.MANY.value)
    yield _argument(0)
    for number in SOCKETCALLS:
        yield IfEqual(number, "notify")
    yield Return(ALLOW)


def _sockets() -> Iterator[Line]:
    """Stop at sockets that will be TCP."""
    yield Label(Call.SOCKET.value)
    yield _argument(0)
    yield IfEqual(AF_INET, "family")
    yield IfEqual(AF_INET6, "family")
    yield Return(ALLOW)
    yield Label("family")
    yield _argument(1)
    yield And(SOCK_KINDS)
    yield IfEqual(SOCK_STREAM, "stream")
    yield Return(ALLOW)
    yield Label("stream")
    yield _argument(2)
    yield IfEqual(0, "notify")
    yield IfEqual(IPPROTO_TCP, "notify")
    yield Return(ALLOW)


def _pinned(options: dict[int, list[int]]) -> Iterator[Line]:
    if not options:
        return
    yield Label("setsockopt")
    yield _argument(1)
    for level in options:
        yield IfEqual(level, f"options of {level}")
    yield Return(ALLOW)
    for level, numbers in options.items():
        yield Label(f"options of {level}")
        yield _argument(2)
        for number in numbers:
            yield IfEqual(number, "succeed")
        yield Return(ALLOW)
    yield Label("succeed")
    yield Return(SUCCEED)


def _argument(index: int) -> Load:
    return Load(ARGUMENTS + WIDE * index)
