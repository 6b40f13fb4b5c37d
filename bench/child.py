"""Start the process that is measured, and make room for its connections."""

import argparse
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from pace import Pace

__all__ = ["Busy", "Lost", "positive", "raise_file_limit", "start"]

WATCHER = Path(__file__).with_name("watcher.py")


class Lost(Exception):
    """The measured process, or a measurement, came to nothing; and why."""


class Busy(Lost):
    """This machine was too busy for its peers to do what they should; try again."""


def start(
    subject: str,
    *,
    loop: str,
    pace: Pace,
    names_peers: bool,
    environment: Mapping[str, str] | None = None,
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """
    Start a watcher; return it and our end of its control line.

    The caller ends it: closing the line is enough, unless it is stopped.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [
                *(sys.executable, str(WATCHER), "--subject", subject, "--loop", loop),
                *("--interval", str(pace.interval), "--timeout", str(pace.timeout)),
                *("--control", str(theirs.fileno())),
                *(("--names-peers",) if names_peers else ()),
            ],
            pass_fds=[theirs.fileno()],
            env={**os.environ, **(environment or {})},
        )
    return process, ours


def raise_file_limit(wanted: int) -> None:
    """
    Let this process and its children have *wanted* descriptors.

    Raises:
        Lost: The hard limit is lower, and this user may not raise it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
    except (ValueError, PermissionError) as refused:
        raise Lost(
            f"{wanted} open files are needed and {hard} allowed: "
            "raise `ulimit -n`, or ask for fewer"
        ) from refused


def positive(text: str) -> int:
    """
    Return a whole number of a command line.

    Raises:
        ArgumentTypeError: It is none, or less than one.
    """
    if text.isdecimal() and (number := int(text)) > 0:
        return number
    raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 or more")
