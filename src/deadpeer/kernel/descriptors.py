"""
What it means that no file descriptor is left, wherever that shows.

Nearly everything is a descriptor here: a look into a process, a borrowed socket, a
program of BPF. Whoever runs out of them must not take "it cannot be opened" for "it
is not there": a process would have no sockets, and a cgroup no programs.

Source: Linux open(2), EMFILE and ENFILE; getrlimit(2), RLIMIT_NOFILE.
"""

import errno
import os

from deadpeer.errors import KernelRefused

__all__ = ["NONE_LEFT", "no_descriptor_left", "require_descriptors"]

NONE_LEFT = (errno.EMFILE, errno.ENFILE)


def no_descriptor_left(number: int, operation: str = "") -> KernelRefused:
    """
    Return the error that says what to do when no descriptor is left.

    Args:
        number: EMFILE, if this process has all that it may have; or ENFILE, if the
            whole system has.
        operation: What was asked of the kernel.
    """
    if number == errno.ENFILE:
        message = "no file descriptor is left: this system has all that it may have"
        hint = "raise the limit (sysctl fs.file-max), or end something"
    else:
        # Not by the module resource, which might have to be opened first.
        most = os.sysconf("SC_OPEN_MAX") if hasattr(os, "sysconf") else "so many"
        message = f"no file descriptor is left: this process may have {most}"
        hint = "raise the limit (ulimit -n), or close something"
    return KernelRefused(message, hint=hint, operation=operation, errno=number)


def require_descriptors(error: OSError) -> None:
    """
    Raise what an error says, if it is that no descriptor is left; else do nothing.

    Args:
        error: That something could not be opened, which is otherwise harmless.

    Raises:
        KernelRefused: No descriptor is left.
    """
    if error.errno in NONE_LEFT:
        raise no_descriptor_left(error.errno) from error
