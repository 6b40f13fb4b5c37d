"""
Finding out about new connections: who holds them, and what they have set.

Most connections of a look are known from the one before. To find the owner of a new
one takes a walk over the descriptors of all processes, so walks are kept to a share
of the time: on a host where one takes long, the owners of new connections are known
some looks later. A suspect is never kept waiting.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from deadpeer.host.changes import NOBODY, About, Who
from deadpeer.host.judgement import Judge
from deadpeer.host.sampling import Stranger
from deadpeer.kernel.owners import find_owners
from deadpeer.kernel.processes import process_facts
from deadpeer.kernel.settings_of import SettingsOf, Wanted, settings_of
from deadpeer.kernel.tcp_info import TcpState

__all__ = ["Learner", "Pupil"]

WALK_SHARE = 20
"""A walk is made again after so many times the time of a processor that it took."""

LONGEST_WAIT = 5.0
"""Seconds after which it is made again in any case, if there is somebody to find."""

FORGET_AFTER = 60.0
"""Seconds for which it is remembered what a process is: its number may be reused."""


class Pupil(Protocol):
    """Who wants to know: a ``Sampler``."""

    def learn(
        self, stranger: Stranger, about: About, *, now: float, is_final: bool = True
    ) -> None:
        """Take what was found out."""


class Learner:
    """
    Finds out about connections.

    Args:
        clock: What tells the time, in seconds.

    Attributes:
        unreadable: How many processes may not be looked into.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._walk_at = clock()
        self._forget_at = clock()
        self._who: dict[int, Who] = {}
        self._moved: frozenset[bytes] = frozenset()
        self._has_walked = False
        self.unreadable = 0

    def teach(
        self,
        pupil: Pupil,
        strangers: Iterable[Stranger],
        judges: Mapping[int, Judge],
        *,
        now: float,
    ) -> None:
        """
        Find out about connections, as many as is possible now.

        Args:
            pupil: Who is told.
            strangers: Of which connections.
            judges: The judge of each network namespace, by its number.
            now: Seconds, to be handed on.
        """
        asked = [one for one in strangers if one.namespace in judges]
        if not asked:
            return
        holders = self._holders(asked)
        wanted = [
            Wanted(*holders[one.row.cookie_bytes], one.row.cookie_bytes)
            for one in asked
            if one.row.cookie_bytes in holders and not one.row.is_mptcp
        ]
        found = settings_of(wanted) if wanted else SettingsOf()
        self._moved = frozenset(found.gone)
        for one in asked:
            holder = holders.get(one.row.cookie_bytes)
            if one.row.cookie_bytes in self._moved or (
                holder is None and self._may_be_held(one)
            ):
                continue  # by another descriptor now: the next walk will tell
            settings = found.settings.get(one.row.cookie_bytes)
            about = About(
                self._process(holder[0]) if holder else NOBODY,
                holder[1] if holder else -1,
                judges[one.namespace].judge(one.row, settings),
            )
            is_accepted = one.row.inode != 0 or one.row.state != TcpState.ESTABLISHED
            pupil.learn(one, about, now=now, is_final=is_accepted)

    def hurry(self) -> None:
        """Look for holders at the next occasion, however soon after the last time."""
        self._walk_at = self._clock()

    def _holders(self, asked: list[Stranger]) -> dict[bytes, tuple[int, int]]:
        """Return the process and descriptor that hold each, as far as is known."""
        holders = {
            one.row.cookie_bytes: (one.about.who.pid, one.about.fd)
            for one in asked
            if one.about
            and one.about.fd >= 0
            and one.row.cookie_bytes not in self._moved
        }
        self._has_walked = False
        unheld = [
            one
            for one in asked
            if one.row.inode and one.row.cookie_bytes not in holders
        ]
        is_urgent = any(one.is_suspect for one in unheld)
        if not unheld or (self._clock() < self._walk_at and not is_urgent):
            return holders
        began = time.thread_time()
        owners = find_owners()
        took = time.thread_time() - began
        self._walk_at = self._clock() + min(LONGEST_WAIT, WALK_SHARE * took)
        self._has_walked = True
        self.unreadable = len(owners.unreadable)
        for one in unheld:
            holder = owners.first.get(one.row.inode)
            if holder:
                holders[one.row.cookie_bytes] = holder
        return holders

    def _may_be_held(self, one: Stranger) -> bool:
        """Tell whether a walk that was not made might find the holder."""
        return one.row.inode != 0 and not self._has_walked

    def _process(self, pid: int) -> Who:
        now = self._clock()
        if now >= self._forget_at:
            self._who.clear()
            self._forget_at = now + FORGET_AFTER
        who = self._who.get(pid)
        if who is None:
            facts = process_facts(pid)
            who = Who(pid, facts.name, facts.user, facts.container, facts.uid)
            self._who[pid] = who
        return who
