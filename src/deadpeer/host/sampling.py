"""
What changed between looks at a host's connections: pure, and cheap.

A look is the rows of each network namespace. Most of ten thousands of connections are
as calm as they were a second ago, so they are compared as sets of cookies, and only
those with something unanswered are regarded one by one. ``now`` is an argument: an
hour of looks is a test of seconds.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from deadpeer.host.changes import About, Change, ChangeKind
from deadpeer.host.space_watch import Connection, Happened, Rows, SpaceWatch
from deadpeer.kernel.diag_rows import DiagRow
from deadpeer.kernel.tcp_info import CONNECTED

__all__ = ["Sampler", "Stranger"]

Matches = Callable[[DiagRow], bool]


@dataclass(frozen=True, slots=True)
class Stranger:
    """
    A connection of which it should be found out who holds it and what it has set.

    Args:
        namespace: The number of its network namespace.
        cookie: Its cookie, as in ``DiagRow.cookie_bytes``.
        row: As it was seen last.
        about: What was known of it, if it is asked again.
        is_suspect: Whether that should be found out at once.
    """

    namespace: int
    cookie: bytes
    row: DiagRow
    about: About | None = None
    is_suspect: bool = False


class Sampler:
    """
    Compares each look with the one before.

    After the looks at all namespaces, somebody finds out about the ``strangers`` and
    says so (``learn``); then ``changes`` tells what happened.

    Args:
        matches: Which connections to watch; decided when one is first seen.
        wanted: Which of them, once it is known who holds them.
    """

    def __init__(
        self,
        *,
        matches: Matches = lambda _: True,
        wanted: Callable[[About], bool] = lambda _: True,
    ) -> None:
        self._matches = matches
        self._wanted = wanted
        self._spaces: dict[int, SpaceWatch] = {}
        self._found: list[Happened] = []
        self._has_begun = False

    def __len__(self) -> int:
        """Return how many connections are watched."""
        return sum(len(space.connections) for space in self._spaces.values())

    def see(
        self,
        namespace: int,
        rows: Rows,
        *,
        now: float,
        timeouts: int | None = None,
        is_whole: bool = True,
    ) -> None:
        """
        Take one look at one network namespace.

        Args:
            namespace: Its number.
            rows: Its connections, by cookie.
            now: Seconds, on any clock that runs evenly.
            timeouts: How many connections its kernel had given up when the rows were
                as they are (see ``unmoved``); None if that is not known.
            is_whole: Whether rows may be missing that were there all the time: then
                none is taken for gone.
        """
        space = self._spaces.get(namespace)
        if space is None:
            space = self._spaces[namespace] = SpaceWatch(namespace, self._found)
        before = space.rows
        space.rows = rows = rows if is_whole else {**before, **rows}
        gone = {cookie: before[cookie] for cookie in before.keys() - rows.keys()}
        space.end(gone, timeouts, now)
        unclaimed, space.unclaimed = space.unclaimed & rows.keys(), set()
        for cookie in (rows.keys() - before.keys()) | unclaimed:
            if self._is_match(rows[cookie]):
                space.add(cookie, was_there=not self._has_begun)
        space.suspect(now)
        if is_whole:
            # Else those that it counts are taken for gone in a later look.
            space.timeouts = timeouts

    def forget(self, namespace: int) -> None:
        """
        Drop a network namespace that is gone; nobody is accused for that.

        Args:
            namespace: Its number.
        """
        self._spaces.pop(namespace, None)

    def strangers(self) -> list[Stranger]:
        """Return the connections of which too little is known."""
        return [
            Stranger(
                namespace,
                cookie,
                space.rows[cookie],
                space.connections[cookie].about,
                cookie in space.suspects,
            )
            for namespace, space in self._spaces.items()
            for cookie in space.strangers
        ]

    def learn(
        self, stranger: Stranger, about: About, *, now: float, is_final: bool = True
    ) -> None:
        """
        Say what was found out about a connection, or that it changed.

        Args:
            stranger: Which.
            about: What is known now.
            now: Seconds, as in ``see``.
            is_final: Whether it need not be asked again (a connection that its
                program has not accepted has no owner, and will have one).
        """
        space = self._spaces.get(stranger.namespace)
        made = space and space.connections.get(stranger.cookie)
        if not space or not made:
            return
        if not self._wanted(about):
            leave = space.drop if is_final else space.put_off
            leave(stranger.cookie)
            return
        made.about = about
        is_bare = about.judgement.protected is False
        if is_bare and made.is_doubted and not made.was_there:
            made.was_there = True  # or it would be told again
            space.tell(ChangeKind.UNPROTECTED, stranger.cookie, now)
        if is_final and not is_bare:
            made.was_there = False  # if it becomes unprotected, that is news
        if is_final and (made.was_there or not is_bare):
            space.strangers.discard(stranger.cookie)
        made.is_doubted = is_bare

    def ask_again(self, namespace: int, cookies: Iterable[bytes]) -> None:
        """
        Make strangers of connections: what was known of them may have changed.

        Args:
            namespace: The number of their network namespace.
            cookies: Which; those that are gone are passed over.
        """
        space = self._spaces.get(namespace)
        if space:
            space.strangers.update(space.connections.keys() & set(cookies))

    def killed(self, namespace: int, cookie: bytes) -> None:
        """
        Say that a connection was ended from here.

        Args:
            namespace: The number of its network namespace.
            cookie: Which.
        """
        space = self._spaces.get(namespace)
        made = space and space.connections.get(cookie)
        if made:
            made.is_killed = True

    def select(self, *, matches: Matches, wanted: Callable[[About], bool]) -> None:
        """
        Watch other connections from now on; what is watched still keeps its story.

        Args:
            matches: As in the constructor.
            wanted: As in the constructor.
        """
        self._matches, self._wanted = matches, wanted
        for space in self._spaces.values():
            for cookie, row in space.rows.items():
                made = space.connections.get(cookie)
                if made is None and self._is_match(row):
                    space.add(cookie, was_there=True)
                elif made and not self._keeps(row, made):
                    space.drop(cookie)

    def changes(self) -> tuple[Change, ...]:
        """Return what happened since the last call, in order."""
        self._has_begun = True
        found = [one.told() for one in self._found if not one.connection.is_left]
        self._found.clear()
        return tuple(found)

    def watched(self) -> Iterator[tuple[int, bytes, DiagRow, Connection]]:
        """Yield what is watched: namespace, cookie, row as last seen, and the rest."""
        for namespace, space in self._spaces.items():
            rows = space.rows
            for cookie, made in space.connections.items():
                yield namespace, cookie, rows[cookie], made

    def find(self, namespace: int, cookie: bytes) -> tuple[DiagRow, Connection] | None:
        """
        Return one connection that is watched; None if it is not, or is gone.

        Args:
            namespace: The number of its network namespace.
            cookie: Which.
        """
        space = self._spaces.get(namespace)
        made = space and space.connections.get(cookie)
        # It may be asked while another thread looks, and has the rows already.
        row = space and space.rows.get(cookie)
        return (row, made) if row and made else None

    def _is_match(self, row: DiagRow) -> bool:
        return row.state in CONNECTED and self._matches(row)

    def _keeps(self, row: DiagRow, made: Connection) -> bool:
        return self._matches(row) and (made.about is None or self._wanted(made.about))
