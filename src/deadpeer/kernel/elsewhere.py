"""
Asking something in the network namespace of another process.

``/proc/sys/net`` shows the settings of whoever looks. So one thread of this
process goes over, looks, and ends there; the rest of the process never leaves.

Source: Linux setns(2), network_namespaces(7).
"""

import ctypes
import errno
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from deadpeer.errors import AccessDenied, KernelRefused
from deadpeer.kernel.procfs import namespace_of

__all__ = ["in_namespace_of"]

_CLONE_NEWNET = 0x40000000  # include/uapi/linux/sched.h

T = TypeVar("T")


def in_namespace_of(pid: int, action: Callable[[], T]) -> T:
    """
    Call *action* in the network namespace of a process.

    Args:
        pid: The process.
        action: What to call. Sockets that it makes, and what it reads under
            ``/proc/sys/net``, belong to that namespace.

    Returns:
        What *action* returned; what it raised is raised here.

    Raises:
        ConfigError: There is no such process.
        AccessDenied: It takes CAP_SYS_ADMIN to go there.
        KernelRefused: The kernel refused in another way.
    """
    if namespace_of(pid) == namespace_of(os.getpid()):
        return action()
    outcome: list[T] = []
    failure: list[BaseException] = []

    def go() -> None:
        try:
            _enter(pid)
            outcome.append(action())
        except BaseException as error:  # noqa: BLE001 - raised by the caller
            failure.append(error)

    # Only the calling thread moves, and a thread cannot be moved back without
    # a privilege that may be gone by then: so it is a thread of its own.
    thread = threading.Thread(target=go, name=f"netns-of-{pid}")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _enter(pid: int) -> None:
    path = f"/proc/{pid}/ns/net"
    library = ctypes.CDLL(None, use_errno=True)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _refused(pid, error.errno or errno.EIO) from error
    try:
        if library.setns(descriptor, _CLONE_NEWNET) != 0:
            raise _refused(pid, ctypes.get_errno())
    finally:
        os.close(descriptor)


def _refused(pid: int, number: int) -> Exception:
    if number in (errno.EPERM, errno.EACCES):
        return AccessDenied(
            f"the network namespace of process {pid} may not be entered",
            hint="it needs CAP_SYS_ADMIN; run the command with sudo",
            capability="CAP_SYS_ADMIN",
            pid=pid,
        )
    return KernelRefused(
        f"the network namespace of process {pid} cannot be entered:"
        f" {os.strerror(number)}",
        operation=f"setns(/proc/{pid}/ns/net)",
        errno=number,
    )
