"""
One warden an event loop: a single timer that serves every peer of the loop.

It wakes the wards whose instant has come, tells them of a sleep of the machine,
and decides nothing itself.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from deadpeer.core.compiling import mypyc_attr
from deadpeer.core.wheel import Wheel
from deadpeer.kernel.clocks import SuspendClock

__all__ = ["RETRY", "TICK", "Ward", "Warden", "clock_of", "warden_of"]

# A wake-up may be so many seconds late; a promise allows for 0.05. Looks that come
# together cost less: one at a time, a processor's caches are cold for each.
TICK: Final = 0.025

# Who failed is woken again after so many seconds.
RETRY: Final = 1.0

NEVER: Final = float("inf")


@mypyc_attr(allow_interpreted_subclasses=True)
class Ward:
    """
    Who is woken.

    Attributes:
        armed_at: The instant in seconds for which it waits in the wheel.
    """

    __slots__ = ("armed_at",)

    def __init__(self) -> None:
        self.armed_at = NEVER

    def due(self, now: float) -> None:
        """Its instant has come."""
        raise NotImplementedError

    def slept(self, duration: float, now: float) -> None:
        """The machine was suspended."""
        raise NotImplementedError


class Warden:
    """
    Wake wards when they want to be woken.

    Args:
        loop: The loop whose timer is used.

    Attributes:
        clock: Returns the present in seconds, on the clock of the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.clock = clock_of(loop)
        self._loop = loop
        self._wheel: Wheel[Ward] = Wheel(tick=TICK)
        self._handle: asyncio.TimerHandle | None = None
        self._handle_at = NEVER
        self._suspend = SuspendClock()

    def wake(self, ward: Ward, *, at: float) -> None:
        """
        Wake a ward at an instant, and at no other.

        Args:
            ward: Whom.
            at: When, in seconds; infinite for never.
        """
        if ward.armed_at != NEVER:
            # Who is done must not be kept alive by the wheel.
            self._wheel.discard(ward, at=ward.armed_at)
        ward.armed_at = at
        self._wheel.add(ward, at=at)
        if at < self._handle_at:
            self._arm()

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._handle_at = at = self._wheel.next_at
        if at < NEVER and not self._loop.is_closed():
            self._handle = self._loop.call_at(at, self._turn)

    def _turn(self) -> None:
        self._handle = None
        self._handle_at = -NEVER  # wards that re-arm meanwhile leave it to us
        now = self.clock()
        due: list[Ward] = []
        try:
            self._tell_of_sleep(now)
            due = self._wheel.matured(now=now)
            for ward in due:
                if ward.armed_at <= now:  # otherwise another one's news changed it
                    ward.armed_at = NEVER
                    try:
                        ward.due(now)
                    except Exception as error:  # noqa: BLE001 - one ward's fault is no other's
                        self._failed(ward, error)
                        self._wake_again(ward, now)
        except BaseException:  # a program that exits in a callback may go on
            for ward in due:
                self._wake_again(ward, now)
            raise
        finally:
            self._arm()

    def _failed(self, ward: Ward, error: Exception) -> None:
        message = f"{ward!r} failed when it was woken"
        self._loop.call_exception_handler({"message": message, "exception": error})

    def _wake_again(self, ward: Ward, now: float) -> None:
        # Who failed may not have said when, and must not live for ever by that.
        if ward.armed_at <= now or ward.armed_at == NEVER:
            self.wake(ward, at=now + RETRY)

    def _tell_of_sleep(self, now: float) -> None:
        duration = self._suspend.slept()
        if duration > 0:
            for ward in list(self._wheel):
                try:
                    ward.slept(duration, now)
                except Exception as error:  # noqa: BLE001 - one ward's fault is no other's
                    self._failed(ward, error)


# Where a loop keeps its warden. In a table of ours, even one with weak keys, the
# warden's timer and clock would keep their loop alive for ever.
PLACE: Final = "_deadpeer_warden"


def warden_of(loop: asyncio.AbstractEventLoop) -> Warden:
    """
    Return the loop's warden, the same for all its peers.

    Args:
        loop: A loop.
    """
    warden: Warden | None = getattr(loop, PLACE, None)
    if warden is None:
        warden = Warden(loop)
        setattr(loop, PLACE, warden)
    return warden


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """
    Return a function that tells the present on the loop's clock, in seconds.

    uvloop's own ``time()`` is the instant at which the current iteration began,
    in whole milliseconds: too coarse for a round trip, and stale after a long
    callback. It is the same clock as ``time.monotonic``.

    Args:
        loop: A loop.
    """
    if type(loop).__module__.split(".")[0] == "uvloop":
        return time.monotonic
    return loop.time
