"""
Watching the connections of a host: one look a second, cheap enough to be left on.

A look asks the kernel for its connections and compares them with the last look; only
of new ones it finds out who holds them and what they have set. As programs change
their settings, and others fix them, a share of the known ones is asked again in each
look, so that all have been asked after half a minute.

It reads, and changes nothing.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import islice
from typing import Self

from deadpeer.errors import DeadPeerError
from deadpeer.host.changes import About, Change
from deadpeer.host.judgement import Judge
from deadpeer.host.learning import Learner
from deadpeer.host.sampling import Sampler
from deadpeer.host.selection import ALL_NAMESPACES, Selection, namespaces_of
from deadpeer.host.targets import Target
from deadpeer.kernel.diag import Diag
from deadpeer.kernel.diag_rows import COOKIE_AT, TCP, DiagRow
from deadpeer.kernel.namespaces import (
    Namespace,
    in_namespace,
    own,
)
from deadpeer.kernel.owners import Holder
from deadpeer.kernel.sysctl.values import effective_defaults
from deadpeer.kernel.tcp_info import CONNECTED
from deadpeer.kernel.timeout_counter import TimeoutCounter, unmoved

__all__ = ["Watcher"]

STATES = sum(1 << state for state in CONNECTED)

ROUND = 30
"""After so many looks, each connection was asked again what it has set."""

RESCAN = 10.0
"""Seconds between searches for new network namespaces, where all are watched."""

REREAD = 60.0
"""Seconds between looks at the settings of a namespace."""


class Watcher:
    """
    Watches the connections that a selection means. Use it with ``with``.

    Args:
        selection: Which ones; ``unprotected`` and ``suspect`` do not count.
        clock: What tells the time: seconds that run evenly.

    Attributes:
        sampler: What is known of them.
        closed: Namespaces that could not be looked at, and why.
        took: How many seconds the last look took.

    Raises:
        ConfigError: The filter is none, or a namespace is not there.
        AccessDenied: A namespace that was named may not be looked at.
        UnsupportedError: The kernel cannot list TCP sockets.
        KernelRefused: It failed in another way.
    """

    def __init__(
        self, selection: Selection, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._selection = selection
        self._learner = Learner(clock)
        self._spaces: dict[int, _Space] = {}
        self._again: Iterator[tuple[int, bytes]] = iter(())
        self._rescan_at = -math.inf
        self.sampler = Sampler(
            matches=selection.filter.matches, wanted=partial(_is_wanted, selection)
        )
        self.closed: dict[Namespace, DeadPeerError] = {}
        self.took = 0.0
        try:
            self._find_spaces(selection)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the watch; harmless if called again."""
        while self._spaces:
            self._spaces.popitem()[1].close()

    @property
    def unreadable(self) -> int:
        """How many processes may not be looked into, as far as is known."""
        return self._learner.unreadable

    def select(self, selection: Selection) -> None:
        """
        Watch what another selection means from now on.

        Args:
            selection: As in the constructor.

        Raises:
            ConfigError: The filter is none, or a namespace is not there; nothing is
                changed then.
            AccessDenied: A namespace that was named may not be looked at.
            KernelRefused: It failed in another way.
        """
        matches = selection.filter.matches
        self._find_spaces(selection)
        self.sampler.select(matches=matches, wanted=partial(_is_wanted, selection))
        if selection.within != self._selection.within:
            for number, space in self._spaces.items():
                space.judge.within = selection.within
                space.reread_at = -math.inf
                known = [c for n, c, _, _ in self.sampler.watched() if n == number]
                self.sampler.ask_again(number, known)
        self._selection = selection
        self._learner.hurry()  # somebody wants to see what that means

    def look(self) -> tuple[Change, ...]:
        """
        Take one look, and return what changed since the last.

        Raises:
            AccessDenied: A sandbox forbids to list sockets.
            KernelRefused: It failed in another way.
        """
        began = self._clock()
        if ALL_NAMESPACES in self._selection.netns and began >= self._rescan_at:
            self._find_spaces(self._selection)
        within = self._selection.within
        for number, space in self._spaces.items():
            (rows, is_whole), timeouts = space.look()
            self.sampler.see(
                number, rows, now=began, timeouts=timeouts, is_whole=is_whole
            )
            space.reread(began, within)
        self._ask_some_again()
        judges = {number: space.judge for number, space in self._spaces.items()}
        strangers = self.sampler.strangers()
        self._learner.teach(self.sampler, strangers, judges, now=began)
        changes = self.sampler.changes()
        self.took = self._clock() - began
        return changes

    def target(self, namespace: int, cookie: bytes) -> Target | None:
        """
        Return a connection as those take it who change or end it; None if it is gone.

        Args:
            namespace: The number of its network namespace.
            cookie: Which.
        """
        space = self._spaces.get(namespace)
        found = self.sampler.find(namespace, cookie)
        if not space or not found:
            return None
        row, made = found
        about = made.about
        held = about is not None and about.fd >= 0
        return Target(
            namespace=space.namespace,
            row=row,
            holders=(Holder(about.who.pid, about.fd),) if about and held else (),
            process=about.who.process if about else "",
            hidden=bool(row.inode and not held),
            defaults=space.judge.defaults,
            reason=about.judgement.reason if about else "",
        )

    def _ask_some_again(self) -> None:
        some = list(islice(self._again, len(self.sampler) // ROUND + 1))
        if not some:
            known = [(n, c) for n, c, _, made in self.sampler.watched() if made.about]
            self._again = iter(known)
            return
        for number in {number for number, _ in some}:
            self.sampler.ask_again(number, [c for n, c in some if n == number])

    def _find_spaces(self, selection: Selection) -> None:
        """Open the namespaces that are new, and let go of those that are gone."""
        self._rescan_at = self._clock() + RESCAN
        found = {space.inode: space for space in namespaces_of(selection)[0]}
        is_all = ALL_NAMESPACES in selection.netns
        closed: dict[Namespace, DeadPeerError] = {}
        opened: dict[int, _Space] = {}
        here = own().inode
        with ExitStack() as undo:
            for number in found.keys() - self._spaces.keys():
                space = found[number]
                make = partial(_Space, space, selection.within)
                try:
                    opened[number] = in_namespace(space, make)
                    undo.callback(opened[number].close)
                except DeadPeerError as error:
                    if not is_all or number == here:
                        raise
                    closed[space] = error
            undo.pop_all()
        for number in self._spaces.keys() - found.keys():
            # An open conversation keeps a namespace alive that nobody else uses.
            self._spaces.pop(number).close()
            self.sampler.forget(number)
        self._spaces |= opened
        self.closed = closed


class _Space:
    """A network namespace and the ways to look at it; made by a thread in it."""

    def __init__(self, namespace: Namespace, within: float) -> None:
        self.namespace = namespace
        self.reread_at = -math.inf
        self.judge = Judge(effective_defaults(), within=within)
        with ExitStack() as undo:
            self._counter = TimeoutCounter()
            undo.callback(self._counter.close)
            self._diag = Diag()
            undo.pop_all()

    def close(self) -> None:
        """Let go of it."""
        self._diag.close()
        self._counter.close()

    def look(self) -> tuple[tuple[dict[bytes, DiagRow], bool], int | None]:
        """Return its connections, and how many the kernel had given up by then."""
        return unmoved(self._counter.read, self._rows)

    def _rows(self) -> tuple[dict[bytes, DiagRow], bool]:
        """Return its connections by cookie, and whether the kernel vouches for all."""
        dump = self._diag.dump(states=STATES, protocols=(TCP,))
        return {row[4][COOKIE_AT:]: row for row in dump.rows}, dump.is_whole

    def reread(self, now: float, within: float) -> None:
        """Look at its settings again, if it is time."""
        if now < self.reread_at:
            return
        self.reread_at = now + REREAD
        # One that is gone is judged by what was in force.
        try:
            defaults = in_namespace(self.namespace, effective_defaults)
        except DeadPeerError:
            return
        # A new judge: the old one remembers all the settings that it ever saw.
        self.judge = Judge(defaults, within=within)


def _is_wanted(selection: Selection, about: About) -> bool:
    """Tell whether a selection means the connections of a process."""
    who = about.who
    if not who.pid:  # nobody, who has no name that a pattern could match
        return not selection.is_by_process
    return selection.holds(pid=who.pid, process=who.process, user=who.user, uid=who.uid)
