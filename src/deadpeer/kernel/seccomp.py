"""
Being told of another process's system calls: seccomp user notification.

A filter that is put on a process stays on it, on what it executes and on all its
descendants. Where the filter says so, a call is stopped until whoever holds the
filter's listener has answered. If every copy of the listener is closed, such calls
fail with ENOSYS, for good.

The kernel writes a notification into memory that is shared with other processes,
so that none is lost with the process that took it.

Source: Linux seccomp(2), seccomp_unotify(2), include/uapi/linux/seccomp.h,
kernel/seccomp.c (``seccomp_notify_recv``: a notification that could not be copied
is given again).
"""

import ctypes
import errno
import mmap
import os
import re
import struct
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

from deadpeer.errors import KernelRefused
from deadpeer.kernel.borrow import Lender
from deadpeer.kernel.call_filter import Machine
from deadpeer.kernel.seccomp_support import refusal

__all__ = [
    "Desk",
    "Listener",
    "Notification",
    "TaskLender",
    "install",
]

SET_MODE_FILTER = 1

SPEC_ALLOW = 1 << 2  # without it, kernels before 5.16 slow the program down
NEW_LISTENER = 1 << 3
WAIT_KILLABLE = 1 << 5  # Linux 5.19: a signal does not make it ask again

PR_SET_NO_NEW_PRIVS = 38

# _IOC(direction, '!', number, size), asm-generic/ioctl.h.
NOTIF_RECV = 0xC0502100
NOTIF_SEND = 0xC0182101
NOTIF_ID_VALID = 0x40082102
NOTIF_ADDFD = 0x40182103
NOTIF_SET_FLAGS = 0x40082104  # Linux 6.6

SYNC_WAKE_UP = 1  # the one who waits goes on where the one who answers runs

FLAG_CONTINUE = 1
PIDFD_THREAD = os.O_EXCL if hasattr(os, "O_EXCL") else 0  # Linux 6.9

# struct seccomp_notif, seccomp_notif_resp and seccomp_notif_addfd.
NOTIFICATION = struct.Struct("=QIIIIQ6Q")
ANSWER = struct.Struct("=QqiI")
HANDING = struct.Struct("=QIIII")

PAGE = 4096


class Notification(NamedTuple):
    """
    A call that waits for an answer.

    Attributes:
        id: Its number among all notifications; 0 is none.
        task: The thread that waits, as this process numbers it; 0 if it cannot
            be seen from here.
        number: The system call.
        architecture: Whose numbers these are, an AUDIT_ARCH value.
        arguments: Six registers, unsigned.
    """

    id: int
    task: int
    number: int
    architecture: int
    arguments: tuple[int, ...]


class Desk:
    """Memory where notifications are taken down, shared with later forked processes."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, PAGE)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._page))

    def clear(self) -> None:
        """Wipe it, which the kernel insists on before it writes."""
        self._page[: NOTIFICATION.size] = bytes(NOTIFICATION.size)

    def notification(self) -> Notification:
        """Return what was taken down last."""
        id_, task, _, number, architecture, _, *arguments = NOTIFICATION.unpack_from(
            self._page
        )
        return Notification(id_, task, number, architecture, tuple(arguments))


class Listener:
    """
    The descriptor that tells of stopped calls, and takes the answers.

    Args:
        fd: The descriptor; the listener owns it.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def close(self) -> None:
        """Close this copy; harmless if called again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def hurry(self) -> None:
        """
        Have the two take turns on one processor, where the kernel knows how.

        Both wait for each other all the time, and waking another processor takes
        longer than the work does.
        """
        _ioctl()(self._fd, NOTIF_SET_FLAGS, SYNC_WAKE_UP)

    def receive(self, desk: Desk) -> Notification | None:
        """
        Take one notification down; call it when the descriptor is readable.

        Args:
            desk: Where to.

        Returns:
            The notification, or None if the caller was killed meanwhile.

        Raises:
            KernelRefused: The kernel gave another error.
        """
        desk.clear()
        if _ioctl()(self._fd, NOTIF_RECV, desk.address) == 0:
            return desk.notification()
        number = ctypes.get_errno()
        if number in (errno.ENOENT, errno.EINTR):
            return None
        raise KernelRefused(
            f"no notification can be had: {os.strerror(number)}",
            operation="SECCOMP_IOCTL_NOTIF_RECV",
            errno=number,
        )

    def is_waiting(self, notification: Notification) -> bool:
        """
        Tell whether a call that was taken down still waits for its answer.

        As long as it does, its task's number is that task's and nobody else's.

        Args:
            notification: The call.
        """
        wanted = ctypes.c_uint64(notification.id)
        return notification.id != 0 and (
            _ioctl()(self._fd, NOTIF_ID_VALID, ctypes.byref(wanted)) == 0
        )

    def proceed(self, notification: Notification) -> None:
        """
        Let a call go on as if nothing had happened; harmless if it is gone.

        Args:
            notification: The call.
        """
        answer = ANSWER.pack(notification.id, 0, 0, FLAG_CONTINUE)
        _ioctl()(self._fd, NOTIF_SEND, answer)

    def hand_out(self, notification: Notification, fd: int, flags: int) -> int:
        """
        Give a descriptor to the caller, as what its call returns.

        In two steps, the second of which ends the call. In one (``ADDFD_FLAG_SEND``)
        the call would return 0, which is another file, if this process were killed in
        between; like this, the worst is a descriptor that the caller never learns of.

        Args:
            notification: The call.
            fd: Our descriptor; the caller gets a copy.
            flags: ``O_CLOEXEC`` or 0.

        Returns:
            Its number there.

        Raises:
            KernelRefused: It cannot be given; the call still waits.

        Source:
            Linux kernel/seccomp.c, seccomp_notify_addfd() and
            seccomp_do_user_notification().
        """
        order = HANDING.pack(notification.id, 0, fd, 0, flags)
        number: int = _ioctl()(self._fd, NOTIF_ADDFD, order)
        if number < 0:
            refused = ctypes.get_errno()
            raise KernelRefused(
                f"no descriptor can be given: {os.strerror(refused)}",
                operation="SECCOMP_IOCTL_NOTIF_ADDFD",
                errno=refused,
            )
        _ioctl()(self._fd, NOTIF_SEND, ANSWER.pack(notification.id, number, 0, 0))
        return number


class TaskLender(Lender):
    """
    A thread that descriptors are borrowed from, by the number of the thread.

    Args:
        task: Its number; that of a process is the number of its first thread. Before
            Linux 6.9 the thread's process is held, and ``pid`` is its number.

    Raises:
        ConfigError: There is no such thread.
        UnsupportedError: This is not Linux 5.6 or later.
    """

    def __init__(self, task: int) -> None:
        try:
            self._pidfd = os.pidfd_open(task, PIDFD_THREAD)
            self.pid = task
        except OSError:
            # Before Linux 6.9 only processes can be held. Threads share their
            # descriptors, nearly all of them.
            super().__init__(_process_of(task))

    def __enter__(self) -> Self:
        return self


def install(machine: Machine, program: bytes) -> Listener:
    """
    Put a filter on this process and all that it becomes; it cannot be taken off.

    With CAP_SYS_ADMIN nothing else changes. Without, the kernel insists on
    ``no_new_privs``: setuid programs run without their privileges from then on.

    Args:
        machine: From ``this_machine``.
        program: The filter, assembled.

    Raises:
        AccessDenied: A sandbox forbids it.
        KernelRefused: This process is supervised already, or the kernel does not
            take the filter.
    """
    number = _set_filter(machine, program)
    if number == -errno.EACCES:
        _libc().prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        number = _set_filter(machine, program)
    if number < 0:
        raise refusal(-number)
    return Listener(number)


def _set_filter(machine: Machine, program: bytes) -> int:
    """Return the listener's descriptor, or the error's number below zero."""
    text = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: how many, and where.
    where = struct.pack("@HP", len(program) // 8, ctypes.addressof(text))
    for flags in (NEW_LISTENER | SPEC_ALLOW | WAIT_KILLABLE, NEW_LISTENER | SPEC_ALLOW):
        made: int = _libc().syscall(machine.seccomp, SET_MODE_FILTER, flags, where)
        if made >= 0:
            return made
        number = ctypes.get_errno()
        if number != errno.EINVAL:
            return -number
    return -number


def _process_of(task: int) -> int:
    """Return the process of a thread; the thread's number if it cannot be told."""
    try:
        text = Path(f"/proc/{task}/status").read_text("ascii", errors="replace")
    except OSError:
        return task
    found = re.search(r"^Tgid:\s*(\d+)$", text, re.MULTILINE)
    return int(found[1]) if found else task


@cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


@cache
def _ioctl() -> Any:
    call = ctypes.CDLL(None, use_errno=True).ioctl
    # Variadic, and its requests do not fit an int.
    call.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)
    return call
