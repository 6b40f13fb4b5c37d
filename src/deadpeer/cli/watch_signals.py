"""
The signals of ``deadpeer watch`` without a terminal, and what it waits for meanwhile.

A signal ends a wait, whatever for. So does a reader who went away: nothing may change
for hours, and until something is written nobody would notice.
"""

import errno
import math
import os
import select
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ["RELOAD", "STOP", "Signals", "signals_noted"]

STOP = (signal.SIGTERM, signal.SIGINT)
RELOAD = signal.SIGHUP
BYTES = 64


class Signals:
    """
    Signals that have come, one at a time, and waits that they end.

    Args:
        reading: Where their numbers come, one byte each.
    """

    def __init__(self, reading: socket.socket) -> None:
        self._reading = reading
        self._come: list[int] = []

    def may_write(self, output: int) -> bool:
        """
        Wait until somebody has read enough for a line more.

        Args:
            output: The descriptor that it is written to.

        Returns:
            Whether there is room; not if a signal says that it is enough.
        """
        wanted = {self._reading.fileno(): select.POLLIN, output: select.POLLOUT}
        while not any(number in STOP for number in self._come):
            if output in _polled(wanted, None):
                return True
            self._take()
        return False

    def wait(self, until: float, reader: int | None) -> int | None:
        """
        Return the next signal, or None once it is time.

        Args:
            until: When it is, on the clock that runs evenly.
            reader: The descriptor of what somebody has to be reading; None if nothing.

        Raises:
            BrokenPipeError: Nobody reads it any more.
        """
        wanted = {self._reading.fileno(): select.POLLIN}
        if reader is not None:
            wanted[reader] = 0  # that nobody reads is told without being asked for
        while not self._come:
            ready = _polled(wanted, max(0.0, until - time.monotonic()))
            if reader in ready:
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
            if not ready:
                return None
            self._take()
        return self._come.pop(0)

    def _take(self) -> None:
        with suppress(BlockingIOError):
            # Several of one kind count once.
            self._come += sorted(set(self._reading.recv(BYTES)), reverse=True)


def _polled(wanted: Mapping[int, int], seconds: float | None) -> set[int]:
    """Return the descriptors on which there is what is wanted, or trouble."""
    polling = select.poll()  # a descriptor beyond 1023 is too much for select()
    for descriptor, events in wanted.items():
        polling.register(descriptor, events)
    patience = None if seconds is None else math.ceil(1000 * seconds)
    return {descriptor for descriptor, _ in polling.poll(patience)}


@contextmanager
def signals_noted() -> Iterator[Signals]:
    """Have signals noted, and not end the process, for as long as this lasts."""
    reading, writing = socket.socketpair()
    with reading, writing:
        reading.settimeout(0)
        writing.settimeout(0)
        # First, or one that comes in between would be noted nowhere.
        before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        old = {number: signal.signal(number, _noted) for number in (*STOP, RELOAD)}
        try:
            yield Signals(reading)
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in old.items():
                signal.signal(number, handler)


def _noted(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the number is on its way through the wake-up descriptor."""
