"""
A wall clock that can be set: for a child of the lab alone, never the machine's.

A library (libfaketime) stands between the child and the kernel and answers
questions about the time of day from a file. Clocks that nobody can set,
``CLOCK_MONOTONIC`` and its like, are left as they are.

Under it ``time.sleep`` fails (the library takes an absolute sleep on the
monotonic clock for one on the wall clock); waiting for descriptors, locks and
event loops does not.

Source:
    libfaketime 0.9.10, README, 4c and 4d.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

from deadpeer.errors import LabError
from deadpeer.lab.closing import Closing

__all__ = ["FalseTime", "find_library", "leave_no_trace"]

# Where distributions put it: Debian and Ubuntu by machine, Fedora and Arch.
PLACES = (
    "/usr/lib/*/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
)

# How it names its shared memory, and where the C library keeps that.
SHARED = "FAKETIME_SHARED"
MEMORY = Path("/dev/shm")  # noqa: S108 - not ours to choose


class FalseTime(Closing):
    """
    A time of day for children that are started with it.

    Attributes:
        surroundings: The environment variables that such a child needs.

    Raises:
        LabError: The library is not installed.
    """

    def __init__(self) -> None:
        library = find_library()
        # In memory, and gone with this process however it ends.
        self.fd = os.memfd_create("deadpeer-lab-clock")
        self.surroundings: Mapping[str, str] = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": f"/proc/{os.getpid()}/fd/{self.fd}",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # The file is read each time, and not every ten seconds.
            "FAKETIME_NO_CACHE": "1",
        }
        self.ahead = 0
        self.step(0)

    def step(self, seconds: int) -> None:
        """
        Set the clock forward, or back.

        Args:
            seconds: By how many.
        """
        self.ahead += seconds
        # Written at once, and always as long: it may be read at any moment.
        os.pwrite(self.fd, f"{self.ahead:+020d}\n".encode(), 0)

    def close(self) -> None:
        """Let the file go."""
        os.close(self.fd)


@cache
def find_library() -> Path:
    """
    Return where the library is.

    Raises:
        LabError: It is not installed.
    """
    for place in PLACES:
        for found in sorted(Path("/").glob(place.removeprefix("/"))):
            return found
    raise LabError(
        "a stepped wall clock needs libfaketime, which is not installed",
        hint="apt-get install libfaketime (Fedora: libfaketime); the machine's own"
        " clock is never set",
    )


def leave_no_trace() -> None:
    """
    Remove what the library would leave behind if this process is killed.

    For the first lines of a child. Its memory stays as long as it is used.
    """
    for name in os.environ.pop(SHARED, "").split():
        plain = name.removeprefix("/")
        for file in (MEMORY / plain, MEMORY / f"sem.{plain}"):
            with suppress(OSError):
                file.unlink()
    # What this process starts lives in real time.
    os.environ.pop("LD_PRELOAD", None)
