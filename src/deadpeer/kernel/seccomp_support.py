"""
Whether this machine's kernel can tell one process of another's system calls.

Source: Linux seccomp(2) on SECCOMP_GET_ACTION_AVAIL and SECCOMP_GET_NOTIF_SIZES,
include/uapi/linux/seccomp.h, kernel/seccomp.c.
"""

import ctypes
import errno
import os
import struct
import sys
from typing import Any

from deadpeer.errors import AccessDenied, KernelRefused, UnsupportedError
from deadpeer.kernel.call_filter import MACHINES, Machine

__all__ = ["refusal", "this_machine"]

GET_ACTION_AVAIL = 2
GET_NOTIF_SIZES = 3
RET_USER_NOTIF = 0x7FC00000

# struct seccomp_notif and seccomp_notif_resp, in bytes.
SIZES = (80, 24)

# Linux tells the listener of the last process's end since 5.9. Without it a helper
# would stay for ever.
LEAST_KERNEL = (5, 9)


def this_machine() -> Machine:
    """
    Return this machine's row, if its kernel can tell of system calls.

    Raises:
        UnsupportedError: It cannot, or its numbers are not known here.
    """
    if not sys.platform.startswith("linux"):
        raise _unsupported("this system is not Linux")
    uname = os.uname()
    machine = MACHINES.get(uname.machine)
    if machine is None or struct.calcsize("P") != 8:  # noqa: PLR2004 - 64 bits
        raise UnsupportedError(
            f"the system calls of {uname.machine} are not known here",
            hint=f"it works on {' and '.join(MACHINES)}, with a 64-bit Python",
            option="seccomp",
            platform=uname.machine,
        )
    if _version(uname.release) < LEAST_KERNEL:
        raise _unsupported(f"this is Linux {uname.release}")
    _require_notifications(machine)
    return machine


def refusal(number: int) -> AccessDenied | KernelRefused:
    """
    Return what a refused filter means.

    Args:
        number: The error's number.
    """
    if number in (errno.EPERM, errno.EACCES):
        return AccessDenied(
            "a sandbox forbids to supervise system calls",
            hint="in a container: allow seccomp in its seccomp profile",
            capability="CAP_SYS_ADMIN",
        )
    if number == errno.EBUSY:
        return KernelRefused(
            "this process is supervised already: the kernel allows one supervisor",
            hint="it runs under another `deadpeer run`, or in a container whose"
            " runtime supervises it",
            operation="seccomp(SECCOMP_SET_MODE_FILTER)",
            errno=number,
        )
    return KernelRefused(
        f"the filter is not taken: {os.strerror(number)}",
        operation="seccomp(SECCOMP_SET_MODE_FILTER)",
        errno=number,
    )


def _require_notifications(machine: Machine) -> None:
    library: Any = ctypes.CDLL(None, use_errno=True)
    action = ctypes.c_uint32(RET_USER_NOTIF)
    call = library.syscall
    if call(machine.seccomp, GET_ACTION_AVAIL, 0, ctypes.byref(action)) != 0:
        number = ctypes.get_errno()
        if number in (errno.EPERM, errno.EACCES):
            raise refusal(number)
        raise _unsupported("this kernel has no seccomp user notification")
    sizes = (ctypes.c_uint16 * 3)()
    call(machine.seccomp, GET_NOTIF_SIZES, 0, ctypes.byref(sizes))
    if tuple(sizes[:2]) != SIZES:
        raise _unsupported("this kernel has notifications of another shape")


def _unsupported(why: str) -> UnsupportedError:
    least = ".".join(map(str, LEAST_KERNEL))
    return UnsupportedError(
        f"programs cannot be supervised: {why}",
        hint=f"it needs Linux {least} or later with CONFIG_SECCOMP_FILTER",
        option="seccomp",
    )


def _version(release: str) -> tuple[int, ...]:
    """
    Return the first two numbers of a kernel's release.

    >>> _version("6.8.0-45-generic"), _version("5.10.1+")
    ((6, 8), (5, 10))
    """
    major, _, rest = release.partition(".")
    minor = rest.partition(".")[0].partition("-")[0]
    return tuple(int(part) if part.isdigit() else 0 for part in (major, minor))
