"""
The two BPF programs that protect the connections of a cgroup.

The keeper (``sock_ops``) sets the keepalive options of a connection when it
begins to connect, when it is established, and when it was accepted. The guard
(``cgroup/setsockopt``) stands before ``setsockopt``: a program that sets one of
these options itself is told that it worked, and nothing changes.

Both read from, and count in, the record of ``deadpeer.kernel.bpf_terms``.

Source: Linux include/uapi/linux/bpf.h, struct bpf_sock_ops, struct bpf_sockopt,
struct bpf_sock; Documentation/bpf/prog_cgroup_sockopt.rst; net/core/filter.c,
sol_tcp_sockopt().
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from deadpeer.kernel.bpf_instructions import (
    ByteOrder,
    Label,
    Line,
    Register,
    Width,
    add_atomically,
    add_constant,
    assemble,
    call,
    copy,
    jump,
    jump_if_equal,
    jump_unless_equal,
    leave,
    load,
    load_map,
    set_constant,
    store_constant,
)
from deadpeer.kernel.bpf_terms import Setting, counter_at

__all__ = ["LICENCE", "guard", "keeper"]

LICENCE = "Dual MIT/GPL"

# Helpers, by their numbers: __BPF_FUNC_MAPPER.
LOOK_UP, SET_OPTION = 1, 49

# struct bpf_sock_ops begins with what happened: BPF_SOCK_OPS_TCP_CONNECT_CB,
# _ACTIVE_ESTABLISHED_CB, _PASSIVE_ESTABLISHED_CB.
HAPPENED = 0
CONNECTING, CONNECTED, ACCEPTED = 3, 4, 5

# struct bpf_sockopt: the socket, and what is to be set on it.
SOCKET, LEVEL, OPTION, LENGTH = 0, 24, 28, 32
BYPASS = -1  # as the length: the kernel's own setsockopt is not called
PROTOCOL = 12  # in struct bpf_sock
TCP, MPTCP = 6, 262  # include/uapi/linux/in.h

KEY_AT = -4  # on the stack: the index of the map's one record
PROCEED = 1

R = Register


def keeper(chosen: Sequence[Setting], descriptor: int, order: ByteOrder) -> bytes:
    """
    Return the program that sets the options of new connections.

    Args:
        chosen: The options; their values are read from the map.
        descriptor: The map's.
        order: The byte order of the machine.

    Raises:
        ConfigError: An option is there twice.
    """
    return assemble(_keeper(chosen, descriptor), order)


def guard(chosen: Sequence[Setting], descriptor: int, order: ByteOrder) -> bytes:
    """
    Return the program that keeps others from setting these options.

    Args:
        chosen: The options.
        descriptor: The map's.
        order: The byte order of the machine.

    Raises:
        ConfigError: An option is there twice.
    """
    return assemble(_guard(chosen, descriptor), order)


def _keeper(chosen: Sequence[Setting], descriptor: int) -> Iterator[Line]:
    yield copy(R.R6, R.R1)
    yield load(R.R7, R.R6, HAPPENED)
    for happened in (CONNECTING, CONNECTED, ACCEPTED):
        yield jump_if_equal(R.R7, happened, "work")
    yield jump("end")
    yield Label("work")
    yield from _find_record(descriptor)
    yield jump_if_equal(R.R0, 0, "end")
    yield copy(R.R8, R.R0)
    for setting in chosen:
        taken = f"{setting.key} taken"
        yield copy(R.R1, R.R6)
        yield set_constant(R.R2, setting.level)
        yield set_constant(R.R3, setting.number)
        yield copy(R.R4, R.R8)
        yield add_constant(R.R4, setting.at)
        yield set_constant(R.R5, 4)  # bytes of the value
        yield call(SET_OPTION)
        yield jump_if_equal(R.R0, 0, taken)
        yield from _count("refused", R.R8)
        yield Label(taken)
    yield jump_unless_equal(R.R7, CONNECTED, "not made")
    yield from _count("made", R.R8)
    yield Label("not made")
    yield jump_unless_equal(R.R7, ACCEPTED, "end")
    yield from _count("accepted", R.R8)
    yield Label("end")
    yield set_constant(R.R0, PROCEED)
    yield leave()


def _guard(chosen: Sequence[Setting], descriptor: int) -> Iterator[Line]:
    yield copy(R.R6, R.R1)
    # These options are set on other sockets than TCP's, too.
    yield load(R.R2, R.R6, SOCKET, Width.LONG)
    yield load(R.R3, R.R2, PROTOCOL)
    yield jump_if_equal(R.R3, TCP, "of TCP")
    yield jump_unless_equal(R.R3, MPTCP, "end")
    yield Label("of TCP")
    yield load(R.R2, R.R6, LEVEL)
    yield load(R.R3, R.R6, OPTION)
    by_level = attrgetter("level")
    for level, group in groupby(sorted(chosen, key=by_level), key=by_level):
        other = f"not of level {level}"
        yield jump_unless_equal(R.R2, level, other)
        for setting in group:
            yield jump_if_equal(R.R3, setting.number, "swallow")
        yield jump("end")
        yield Label(other)
    yield jump("end")
    yield Label("swallow")
    yield store_constant(R.R6, LENGTH, BYPASS)
    yield from _find_record(descriptor)
    yield jump_if_equal(R.R0, 0, "end")
    yield from _count("swallowed", R.R0)
    yield Label("end")
    yield set_constant(R.R0, PROCEED)
    yield leave()


def _find_record(descriptor: int) -> Iterator[Line]:
    """Leave the address of the record in R0; zero, in theory, if there is none."""
    yield store_constant(R.R10, KEY_AT, 0)
    yield from load_map(R.R1, descriptor)
    yield copy(R.R2, R.R10)
    yield add_constant(R.R2, KEY_AT)
    yield call(LOOK_UP)


def _count(name: str, record: Register) -> Iterator[Line]:
    yield set_constant(R.R1, 1)
    yield add_atomically(record, counter_at(name), R.R1)
