"""The files that ``deadpeer lab`` writes and reads: only its own are replaced."""

import os
import sys
from pathlib import Path

from deadpeer.errors import AccessDenied, ConfigError
from deadpeer.kernel.staging import NewFile, perform, refusal, sweep
from deadpeer.lab.rendering.replay import run_from_text
from deadpeer.lab.scenario import Run

__all__ = ["read_run", "require_writable", "write"]

# What every file of the lab says near its beginning, and nobody else's does.
SIGNATURE = b'"deadpeer lab"'
BEGINNING = 1024

# More than the whole matrix on both IP versions comes to, by far.
LARGEST = 64 << 20

ELSEWHERE = "choose another with --report FILE (or --svg FILE), or none: --no-report"


def require_writable(path: Path) -> None:
    """
    Refuse a place where a file could not be written, or not without loss.

    Asked before the run: a minute of measuring is not to end in an error.

    Args:
        path: Where the file is to be.

    Raises:
        ConfigError: Something else is there.
        AccessDenied: This user may not write there.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a directory", hint=ELSEWHERE, field="report")
    if path.exists() and not _is_ours(path):
        raise ConfigError(
            f"{path} is there already and is no report of deadpeer lab",
            hint=ELSEWHERE,
            field="report",
        )
    directory = path.absolute().parent
    if not directory.is_dir():
        raise ConfigError(
            f"there is no directory {directory}", hint=ELSEWHERE, field="report"
        )
    if not os.access(directory, os.W_OK | os.X_OK):
        raise AccessDenied(f"this user may not write into {directory}", hint=ELSEWHERE)


def _is_ours(path: Path) -> bool:
    if not path.is_file():
        return False  # a device, a pipe: reading it might never end
    try:
        with path.open("rb") as file:
            return SIGNATURE in file.read(BEGINNING)
    except OSError as error:
        raise refusal(error, doing=f"read {path}", remedy=ELSEWHERE) from error


def write(path: Path, text: str) -> None:
    """
    Write a file whole or not at all.

    Args:
        path: Where; see `require_writable`.
        text: What.

    Raises:
        AccessDenied: This user may not.
        KernelRefused: The system refused, as when a disk is full.
    """
    file = NewFile(target=path.absolute(), data=text.encode())
    try:
        perform([*file.stage(), *file.publish()])
    except OSError as error:
        sweep(file.temporary)
        raise refusal(error, doing=f"write {path}", remedy=ELSEWHERE) from error


def read_run(name: str) -> Run:
    """
    Return the run in a file.

    Args:
        name: Its name; ``-`` is standard input.

    Raises:
        ConfigError: It holds none.
        AccessDenied: This user may not read it.
        KernelRefused: It cannot be read.
    """
    try:
        if name == "-":
            data = sys.stdin.buffer.read(LARGEST + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(LARGEST + 1)
    except OSError as error:
        raise refusal(
            error, doing=f"read {name}", remedy="give a file that --json or a run wrote"
        ) from error
    if len(data) > LARGEST:
        raise ConfigError(f"{name} is too large to be a run of the lab", field="from")
    return run_from_text(data.decode("utf-8", errors="replace"))
