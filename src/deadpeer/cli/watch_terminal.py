"""
The terminal of ``deadpeer watch``: whether there is one, and how it is left.

Whatever ends the screen, the terminal is as it was found: SIGTERM leaves it as the key
does, and so does SIGHUP, which here says that the terminal is gone.
"""

import asyncio
import signal
from collections.abc import Callable

from deadpeer.cli.watch_rules import Rules
from deadpeer.cli.watch_screen import WatchScreen
from deadpeer.host.watching import Watcher

__all__ = ["run_screen"]

LEAVE = (signal.SIGTERM, signal.SIGHUP)


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
        screen = WatchScreen(watcher, rules.selection(), every=every)
        asyncio.run(_shown(screen))


async def _shown(screen: WatchScreen) -> None:
    _leave_at_signals(screen.exit)
    await screen.run_async()


def _leave_at_signals(leave: Callable[[], None]) -> None:
    """Have signals leave the screen for as long as the loop lasts."""
    loop = asyncio.get_running_loop()
    for number in LEAVE:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            loop.add_signal_handler(number, leave)
