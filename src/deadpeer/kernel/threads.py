"""
A thread that cannot be started, told as an error that names the limit.

Source: Linux clone(2), EAGAIN; getrlimit(2), RLIMIT_NPROC; cgroups(7), pids.max.
"""

import errno
import threading

from deadpeer.errors import KernelRefused

__all__ = ["start"]


def start(thread: threading.Thread) -> None:
    """
    Start a thread.

    Args:
        thread: One that was not started yet.

    Raises:
        KernelRefused: The system starts no more.
    """
    try:
        thread.start()
    except RuntimeError as error:  # Python keeps the number to itself
        raise KernelRefused(
            "no thread can be started: this user, or this control group, has all the"
            " tasks that it may have",
            hint="raise the limit (ulimit -u, or pids.max of the control group), or"
            " end something",
            operation="clone",
            errno=errno.EAGAIN,
        ) from error
