"""
The terminal of ``deadpeer watch``: whether there is one, and how it is left.

Whatever ends the screen, the terminal is as it was found: SIGTERM leaves it as the key
does, and so does SIGHUP, which here says that the terminal is gone. Where no signal
says so, or the screen waits to draw on what is gone, that ends it too.
"""

import asyncio
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from deadpeer.cli.watch_rules import Rules
from deadpeer.cli.watch_screen import WatchScreen
from deadpeer.host.watching import Watcher

__all__ = ["run_screen"]

LEAVE = (signal.SIGTERM, signal.SIGHUP)

GRACE = 3.0
"""Seconds for the screen to end by itself once its terminal is gone."""


def run_screen(rules: Rules, *, every: float) -> None:
    """
    Show the screen until somebody leaves it, or a signal says that it is enough.

    Args:
        rules: What to watch.
        every: Seconds from look to look.

    Raises:
        ConfigError: What is to be watched is not there.
        AccessDenied: It may not be looked at.
        UnsupportedError: The kernel cannot list TCP sockets.
        KernelRefused: It failed in another way.
    """
    with Watcher(rules.selection()) as watcher:
        screen = _OnTerminal(watcher, rules.selection(), every=every)
        asyncio.run(_shown(screen))


class _OnTerminal(WatchScreen):
    """The screen, where it may be stopped and go on."""

    def on_mount(self) -> None:
        """Begin; what the base class does then is done besides."""
        _go_on_if_it_was_stopped()


async def _shown(screen: WatchScreen) -> None:
    _leave_at_signals(screen.exit)
    with _left_when_gone(screen.exit):
        await screen.run_async()


def _leave_at_signals(leave: Callable[[], None]) -> None:
    """Have signals leave the screen for as long as the loop lasts."""
    loop = asyncio.get_running_loop()
    for number in LEAVE:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            loop.add_signal_handler(number, leave)


def _go_on_if_it_was_stopped() -> None:
    """
    Have SIGCONT set the terminal up again only if SIGTSTP had it given back.

    Set up twice, it would not be given back when the screen is left; and systemd, for
    one, sends SIGCONT with every SIGTERM.
    """
    stop: Any = signal.getsignal(signal.SIGTSTP)
    go_on: Any = signal.getsignal(signal.SIGCONT)
    is_stopped = False

    def stopped(number: int, frame: FrameType | None) -> None:
        nonlocal is_stopped
        is_stopped = True
        stop(number, frame)

    def continued(number: int, frame: FrameType | None) -> None:
        nonlocal is_stopped
        if is_stopped:
            is_stopped = False
            go_on(number, frame)

    signal.signal(signal.SIGTSTP, stopped)
    signal.signal(signal.SIGCONT, continued)


@contextmanager
def _left_when_gone(leave: Callable[[], None]) -> Iterator[None]:
    """Leave the screen once its terminal is gone, and end the process if it cannot."""
    loop, terminal = asyncio.get_running_loop(), sys.stdin.fileno()
    reading, writing = os.pipe()

    def wait() -> None:
        polling = select.poll()
        for descriptor in (terminal, reading):
            polling.register(descriptor, 0)  # that it is gone is told without asking
        if any(descriptor == reading for descriptor, _ in polling.poll()):
            return
        loop.call_soon_threadsafe(leave)
        polling.unregister(terminal)
        if not polling.poll(1000 * GRACE):
            # What draws has died of it, and the screen waits for that for ever.
            os._exit(0)

    waiting = threading.Thread(target=wait, name="terminal", daemon=True)
    waiting.start()
    try:
        yield
    finally:
        os.close(writing)
        waiting.join()
        os.close(reading)
