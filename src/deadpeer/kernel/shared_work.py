"""
Owners and settings found by two processes at a time.

What ``find_owners`` and ``settings_of`` do is nearly all waiting for the kernel to
answer, many thousands of times; with a second processor it takes half as long.
Results travel as plain values and are put together again here.
"""

import os
from collections.abc import Sequence
from typing import Any, Self

from deadpeer.errors import AccessDenied, DeadPeerError
from deadpeer.kernel.owners import Owners, all_pids, find_owners
from deadpeer.kernel.second_process import SecondProcess
from deadpeer.kernel.settings_of import SettingsOf, SocketSettings, Wanted, settings_of

__all__ = ["OwnersFoundMeanwhile", "settings_by_two"]


class OwnersFoundMeanwhile:
    """
    The search for the owners of sockets, begun in a second process.

    Use it with ``with``.

    Raises:
        UnsupportedError: There is no ``/proc``.
        KernelRefused: No descriptor is left to work with.
    """

    def __init__(self) -> None:
        me = os.getpid()
        self._second: SecondProcess[tuple[Any, ...]] = SecondProcess(
            lambda: _owners(me)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._second.close()

    def result(self) -> Owners:
        """
        Return them, as ``find_owners`` does.

        Raises:
            UnsupportedError: There is no ``/proc``.
        """
        first, others, unreadable = self._second.result()
        return Owners(first=first, others=others, unreadable=unreadable)


def settings_by_two(wanted: Sequence[Wanted]) -> SettingsOf:
    """
    Return the settings of sockets, as ``settings_of`` does.

    Args:
        wanted: The sockets, in any order.

    Raises:
        UnsupportedError: This is not Linux 5.6 or later.
        KernelRefused: This process may have no more descriptors.
    """
    half = len(wanted) // 2
    with SecondProcess(lambda: _settings(wanted[half:])) as second:
        found = settings_of(wanted[:half])
        known, numbers, gone, refused = second.result()
    same = {tuple(one): one for one in found.settings.values()}
    kinds = [same.get(values) or SocketSettings(*values) for values in known]
    found.settings.update((cookie, kinds[at]) for cookie, at in numbers.items())
    errors: dict[int, DeadPeerError] = {
        pid: AccessDenied(message, hint=hint, capability=capability, pid=pid)
        for pid, message, hint, capability in refused
    }
    return SettingsOf(
        settings=found.settings,
        gone=(*found.gone, *gone),
        refused={**found.refused, **errors},
    )


def _owners(parent: int) -> tuple[Any, ...]:
    # The copy holds, for a moment, what this process holds: that is not told.
    me = os.getpid()
    found = find_owners(pid for pid in all_pids() if pid != me or me == parent)
    return found.first, found.others, found.unreadable


def _settings(wanted: Sequence[Wanted]) -> tuple[Any, ...]:
    found = settings_of(wanted)
    numbers: dict[SocketSettings, int] = {}
    cookies = {
        cookie: numbers.setdefault(settings, len(numbers))
        for cookie, settings in found.settings.items()
    }
    refused = [
        (pid, error.message, error.hint, getattr(error, "capability", ""))
        for pid, error in found.refused.items()
    ]
    return [tuple(one) for one in numbers], cookies, found.gone, refused
