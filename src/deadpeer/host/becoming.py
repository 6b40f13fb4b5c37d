"""
Becoming a program: it finds what this process was started with, and not Python's.

Python changes some of it at its start: signals that it ignores, an environment that it
adds to.
"""

import errno
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from deadpeer.errors import KernelRefused

__all__ = ["EXECUTE", "become"]

EXECUTE = "execve"
"""The operation of the error that is raised if the program cannot be started."""

# Python ignores these, and a program would find them ignored.
RESTORED = ("SIGPIPE", "SIGXFZ", "SIGXFSZ")

# What systemd ignores for its services, unless they say otherwise; and how a
# process knows that it is one. systemd.exec(5), IgnoreSIGPIPE=, $SYSTEMD_EXEC_PID.
IGNORED_BY_SYSTEMD = "SIGPIPE"
SYSTEMD_SAYS = "SYSTEMD_EXEC_PID"


def become(command: Sequence[str]) -> NoReturn:
    """
    Become a program, as if it had been started in this process's place.

    Args:
        command: The program and its arguments.

    Raises:
        KernelRefused: It cannot be run; the operation is ``EXECUTE``.
    """
    _restore_signals()
    try:
        os.execvpe(command[0], list(command), _surroundings())  # noqa: S606
    except FileNotFoundError as error:
        there = os.sep in command[0] and Path(command[0]).exists()
        what = "needs an interpreter that is not there" if there else "is not there"
        raise KernelRefused(
            f"{command[0]} {what}",
            hint="is it installed, and on the PATH?",
            operation=EXECUTE,
            errno=error.errno,
        ) from error
    except (OSError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) else errno.EINVAL
        raise KernelRefused(
            f"{command[0]} cannot be run: {os.strerror(number or errno.EINVAL)}",
            hint="a script needs a first line such as #!/bin/sh, a program its"
            " permission (chmod +x)",
            operation=EXECUTE,
            errno=number,
        ) from error


def _restore_signals() -> None:
    """
    Undo what Python has done to the signals at its start.

    What was there before, Python does not tell. A service of systemd that is not
    prepared for SIGPIPE would end by it.
    """
    is_service = os.environ.get(SYSTEMD_SAYS) == str(os.getpid())
    for name in RESTORED:
        number = getattr(signal, name, None)
        if number is not None and not (is_service and name == IGNORED_BY_SYSTEMD):
            signal.signal(number, signal.SIG_DFL)


def _surroundings() -> Mapping[bytes, bytes]:
    """
    Return the environment that this process was started with.

    Python may have added to its own: LC_CTYPE, where there is no locale (PEP 538).
    """
    try:
        entries = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return os.environb
    # One without a name, which Python cannot hand on, means nothing to anybody.
    return dict(entry.split(b"=", 1) for entry in entries if entry.find(b"=") > 0)
