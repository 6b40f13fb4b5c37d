"""
One loop for everything that happens in a run: descriptors and instants.

Nothing in it blocks for long, so each event is stamped with the moment at which
the kernel woke the loop, and not with the moment at which its turn came.
"""

import heapq
import itertools
import select
import time
from collections.abc import Callable
from contextlib import suppress

__all__ = ["READ", "WRITE", "Loop"]

READ = select.EPOLLIN
WRITE = select.EPOLLOUT

# The longest sleep, in seconds; what the loop waits for may come by itself.
NAP = 0.5


class Loop:
    """
    Calls what is due, and what is ready.

    Attributes:
        woke_at: When the kernel last woke the loop, on the monotonic clock.
    """

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.actions: dict[int, Callable[[int], None]] = {}
        self.due: list[tuple[float, int, Callable[[], None]]] = []
        self.count = itertools.count()
        self.woke_at = time.monotonic()

    def at(self, instant: float, action: Callable[[], None]) -> None:
        """
        Call something at an instant.

        Args:
            instant: On the monotonic clock; if it is past, at the next turn.
            action: What to call.
        """
        heapq.heappush(self.due, (instant, next(self.count), action))

    def watch(self, fd: int, events: int, action: Callable[[int], None]) -> None:
        """
        Call something when a descriptor is ready.

        Args:
            fd: The descriptor; watched already, it is watched anew.
            events: `READ`, `WRITE`, both, or 0 for errors and hang-ups alone,
                which are always reported.
            action: What to call, with the events that have come.
        """
        if fd in self.actions:
            self.epoll.modify(fd, events)
        else:
            self.epoll.register(fd, events)
        self.actions[fd] = action

    def forget(self, fd: int) -> None:
        """Watch a descriptor no more."""
        if self.actions.pop(fd, None):
            with suppress(OSError):
                self.epoll.unregister(fd)

    def run(self, is_done: Callable[[], bool]) -> None:
        """
        Go on until it is done.

        Args:
            is_done: Asked at each turn.
        """
        while not is_done():
            sleep = NAP
            if self.due:
                sleep = min(NAP, max(0.0, self.due[0][0] - time.monotonic()))
            ready = self.epoll.poll(sleep)
            self.woke_at = time.monotonic()
            for fd, events in ready:
                # An action before this one may have forgotten it.
                if action := self.actions.get(fd):
                    action(events)
            while self.due and self.due[0][0] <= time.monotonic():
                heapq.heappop(self.due)[2]()

    def close(self) -> None:
        """Let the kernel's part go."""
        self.epoll.close()
