"""
The system call bpf(2): what is asked, in which bytes, and what its refusals mean.

Source: Linux bpf(2); include/uapi/linux/bpf.h, union bpf_attr; kernel/bpf/syscall.c
and kernel/bpf/cgroup.c for the errors; arch/*/syscall*.tbl for the numbers.
"""

import ctypes
import errno
import functools
import os
import struct
from enum import IntEnum
from typing import Any

from deadpeer.errors import (
    AccessDenied,
    DeadPeerError,
    KernelRefused,
    UnsupportedError,
)
from deadpeer.kernel.descriptors import NONE_LEFT, no_descriptor_left

__all__ = ["CAPABILITIES", "Command", "address", "call", "unverified"]

CAPABILITIES = "CAP_BPF and CAP_NET_ADMIN"

NUMBERS = {
    "x86_64": 321,
    "aarch64": 280,
    "riscv64": 280,
    "loongarch64": 280,
    "s390x": 351,
    "ppc64le": 361,
    "ppc64": 361,
    "i686": 357,
    "armv7l": 386,
}


class Command(IntEnum):
    """What bpf(2) is asked to do: ``enum bpf_cmd``."""

    MAP_CREATE = 0
    MAP_LOOKUP_ELEM = 1
    MAP_UPDATE_ELEM = 2
    PROG_LOAD = 5
    OBJ_PIN = 6
    OBJ_GET = 7
    PROG_ATTACH = 8
    PROG_DETACH = 9
    PROG_GET_NEXT_ID = 11
    PROG_GET_FD_BY_ID = 13
    MAP_GET_FD_BY_ID = 14
    OBJ_GET_INFO_BY_FD = 15
    PROG_QUERY = 16


BY_NUMBER = (
    Command.PROG_GET_NEXT_ID,
    Command.PROG_GET_FD_BY_ID,
    Command.MAP_GET_FD_BY_ID,
)


def call(
    command: Command, layout: str, *values: int | bytes
) -> tuple[int, tuple[Any, ...]]:
    """
    Call bpf(2).

    Args:
        command: What is asked.
        layout: The arguments' layout, as for the module ``struct``: the leading
            part of ``union bpf_attr``, gaps included.
        values: The arguments.

    Returns:
        The result, often a descriptor; and the arguments as the kernel left them.

    Raises:
        AccessDenied: A capability is missing.
        UnsupportedError: This kernel has no BPF, or not this of it.
        KernelRefused: The kernel refused in another way.
    """
    given = struct.pack(layout, *values)
    attributes = ctypes.create_string_buffer(given, len(given))
    result: int = _syscall()(_number(), int(command), attributes, len(given))
    if result < 0:
        raise _translated(command, ctypes.get_errno())
    return result, struct.unpack(layout, attributes.raw)


def address(buffer: Any) -> int:
    """
    Return where a buffer lies in memory; it has to outlive the call.

    Args:
        buffer: Made by ``ctypes``.
    """
    return ctypes.addressof(buffer)


def unverified(error: KernelRefused, log: str) -> DeadPeerError:
    """
    Return the error that says why a program was not loaded.

    Args:
        error: The refusal.
        log: What the kernel's verifier said; empty if it was not reached.
    """
    if not log.strip():
        if error.errno != errno.EINVAL:
            return error
        return UnsupportedError(
            "this kernel does not know this type of BPF program",
            hint="it needs CONFIG_CGROUP_BPF, and Linux 5.3 for setsockopt",
            option="BPF_PROG_LOAD",
        )
    # The reason is at the end, before a line of statistics.
    lines = [line for line in log.splitlines() if not line.startswith("processed ")]
    reason = " / ".join(line.strip() for line in lines[-3:])
    return KernelRefused(
        f"the kernel's verifier refused the program: {reason}",
        hint="nothing was attached; please report it with the kernel's version",
        operation=error.operation,
        errno=error.errno,
    )


@functools.cache
def _syscall() -> Any:
    return ctypes.CDLL(None, use_errno=True).syscall


@functools.cache
def _number() -> int:
    uname = os.uname() if hasattr(os, "uname") else None
    if uname is None or uname.sysname != "Linux" or uname.machine not in NUMBERS:
        here = f"{uname.sysname} on {uname.machine}" if uname else os.name
        raise UnsupportedError(
            f"this system, {here}, has no BPF programs that we know how to load",
            hint="set the options on each socket: deadpeer explain --code",
            option="bpf",
        )
    return NUMBERS[uname.machine]


def _translated(command: Command, number: int) -> DeadPeerError:
    asked = f"bpf(BPF_{command.name})"
    if number == errno.ENOSYS:
        return UnsupportedError(
            "this kernel, or a sandbox around it, has no bpf(2)",
            hint="it needs CONFIG_BPF_SYSCALL; in a container, a seccomp profile"
            " that allows bpf",
            option="bpf",
        )
    # The verifier's own refusals are EACCES, and have a log.
    if number == errno.EPERM or (
        number == errno.EACCES and command is not Command.PROG_LOAD
    ):
        return _denied(command, asked)
    if number == errno.EINVAL and command is Command.PROG_QUERY:
        return UnsupportedError(
            "this kernel has no BPF programs on cgroups",
            hint="it needs CONFIG_CGROUP_BPF, and Linux 5.3 for setsockopt",
            option="BPF_PROG_QUERY",
        )
    if number in NONE_LEFT:
        return no_descriptor_left(number, asked)
    return KernelRefused(
        f"{asked} failed: {os.strerror(number)}", operation=asked, errno=number
    )


def _denied(command: Command, asked: str) -> AccessDenied:
    if command in BY_NUMBER:
        needed, words = "CAP_SYS_ADMIN", "CAP_SYS_ADMIN"
    else:
        needed, words = CAPABILITIES, f"{CAPABILITIES}, or CAP_SYS_ADMIN,"
    return AccessDenied(
        f"{asked} is not allowed to this user",
        hint=f"it needs {words} outside of any user namespace; run it with sudo",
        capability=needed,
    )
