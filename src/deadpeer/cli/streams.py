"""The standard streams, made fit to be used: open, and for any text."""

import io
import os
import sys

__all__ = ["prepare"]


def prepare() -> None:
    """
    Make the standard streams fit; the first thing that the program does.

    A descriptor that was closed (``2>&-``) is opened on nothing, or the next file
    or socket would get its number, and what is meant for the stream. What the
    locale's encoding lacks is written as an escape, as in error messages. A closed
    standard output stays None, for whoever has to write to it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
