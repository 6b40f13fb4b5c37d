"""
Where a watch writes its lines: standard output, or a file that can be opened anew.

A full disk does not end the watch: what could not be written is counted and told, and
the next line is tried again.
"""

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from deadpeer.errors import ConfigError

__all__ = ["Output"]

NOTHING = -1


class Output:
    """
    Where the lines go. Use it with ``with``.

    Args:
        path: The file; None for standard output.
        report: Is told, in a line, that the file cannot be written, and that it can.

    Raises:
        ConfigError: The file cannot be opened.
    """

    def __init__(self, path: str | None, *, report: Callable[[str], None]) -> None:
        self._path = path
        self._report = report
        self._file = NOTHING if path is None else _opened(path)
        self._lost = 0
        self._is_torn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file != NOTHING:
            with suppress(OSError):  # of a network's file system
                os.close(self._file)

    @property
    def fileno(self) -> int:
        """The descriptor that is written to."""
        return sys.stdout.fileno() if self._file == NOTHING else self._file

    @property
    def reader(self) -> int | None:
        """The descriptor whose reader may go away; None for a file."""
        return sys.stdout.fileno() if self._file == NOTHING else None

    def write(self, line: str) -> None:
        """
        Write a line, for others to read it at once.

        Args:
            line: With its end.

        Raises:
            OSError: Standard output cannot be written.
        """
        if self._file == NOTHING:
            sys.stdout.write(line)
            sys.stdout.flush()
            return
        data = line.encode()
        try:
            # What follows half a line is on a line of its own.
            self._write_all(b"\n" + data if self._is_torn else data)
        except OSError as error:
            if not self._lost:
                self._report(f"{self._path}: {error.strerror or error}")
            self._lost += 1
            return
        if self._lost:
            self._report(f"{self._path}: it is written again; {self._lost} lines lost")
            self._lost = 0

    def reopen(self) -> None:
        """
        Open the file anew: it may have been renamed.

        Raises:
            ConfigError: It cannot be opened; the old one stays open.
        """
        if self._path is None:
            return
        old, self._file = self._file, _opened(self._path)
        self._is_torn = False
        with suppress(OSError):
            os.close(old)

    def _write_all(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            wrote = os.write(self._file, left)
            left = left[wrote:]
            self._is_torn = bool(left)


def _opened(path: str) -> int:
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        # A named pipe would wait for a reader, and no signal could end that.
        opened = os.open(path, flags | os.O_NONBLOCK, 0o666)
    except OSError as error:
        unread = "nobody reads it" if error.errno == errno.ENXIO else ""
        raise ConfigError(
            f"{path} cannot be written: {unread or error.strerror or error}",
            hint="give --output a file in a folder that may be written to",
            field="output",
            value=path,
        ) from error
    os.set_blocking(opened, True)
    return opened
