"""
What changed in one network namespace between two looks: pure.

What is told rests on evidence. A connection is *suspect* when the kernel has sent two
probes or retransmissions in a row without an answer, and *dead* when it ended in that
condition. One that ends without was closed, as far as anybody can see from outside: a
death that the first probe reveals (the peer came back and answers with a reset) is
not told from an orderly end.

How a suspect one ended, the counters of its namespace tell: the kernel counts
connections that it gave up. If it counted at least as many as are gone, all of them
timed out; if none, they were reset; else it is not known which was which. The kernel
counts those that nobody watches too, so they count among those that are gone. The
count is that of the very moment of the look, or none (``unmoved``): one that is given
up around a look is counted when it is missing, neither before nor after.

Source: Linux net/ipv4/tcp_timer.c, tcp_write_err(), LINUX_MIB_TCPABORTONTIMEOUT.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from deadpeer.host.changes import About, Change, ChangeKind, DeathReason, unanswered
from deadpeer.kernel.diag_rows import DiagRow
from deadpeer.kernel.tcp_info import CONNECTED, SUSPICIOUS

__all__ = ["Connection", "Happened", "Rows", "SpaceWatch"]

Rows = Mapping[bytes, DiagRow]
"""Connections by the bytes of their cookies."""


@dataclass(slots=True)
class Connection:
    """
    A connection that is watched.

    Attributes:
        about: What is known of it; None until somebody has found out.
        suspect_at: Since when it is suspect, on the looker's clock; None if it is not.
        was_there: Whether it was there when the watch began.
        is_doubted: Whether it was found unprotected, once: programs set their
            options shortly after they connect.
        is_killed: Whether it was ended from here.
        is_left: Whether it turned out to be none of those that are wanted.
    """

    about: About | None = None
    suspect_at: float | None = None
    was_there: bool = False
    is_doubted: bool = False
    is_killed: bool = False
    is_left: bool = False


class Happened(NamedTuple):
    """A change, and the connection: who holds it may not be known yet."""

    change: Change
    connection: Connection

    def told(self) -> Change:
        """Return the change as it is told."""
        return replace(self.change, about=self.connection.about)


class SpaceWatch:
    """One network namespace, as it was seen last, and what happened in it."""

    __slots__ = (
        "connections",
        "found",
        "number",
        "rows",
        "strangers",
        "suspects",
        "timeouts",
        "unclaimed",
    )

    def __init__(self, number: int, found: list[Happened]) -> None:
        self.number = number
        self.found = found
        self.rows: Rows = {}
        self.connections: dict[bytes, Connection] = {}
        self.strangers: set[bytes] = set()
        self.suspects: set[bytes] = set()
        self.unclaimed: set[bytes] = set()
        self.timeouts: int | None = None

    def add(self, cookie: bytes, *, was_there: bool) -> None:
        """Watch a connection."""
        self.connections[cookie] = Connection(was_there=was_there)
        self.strangers.add(cookie)
        self.unclaimed.discard(cookie)

    def drop(self, cookie: bytes) -> None:
        """Watch it no longer."""
        made = self.connections.pop(cookie, None)
        if made:
            made.is_left = True
        self.strangers.discard(cookie)
        self.suspects.discard(cookie)

    def put_off(self, cookie: bytes) -> None:
        """Watch it no longer, until the next look: nobody holds it yet."""
        self.drop(cookie)
        self.unclaimed.add(cookie)

    def tell(self, kind: ChangeKind, cookie: bytes, now: float) -> None:
        """Note what happened to a connection that is there."""
        self._happened(kind, self.rows[cookie], self.connections[cookie], now)

    def suspect(self, now: float) -> None:
        """Find those that became suspect, and those that are no longer."""
        connections = self.connections
        # One comparison is all that a calm row costs.
        loud = {
            cookie
            for cookie, row in self.rows.items()
            if row[3] >= SUSPICIOUS and cookie in connections
        }
        for cookie in loud | self.suspects:
            row, made = self.rows[cookie], connections[cookie]
            is_suspect = row.state in CONNECTED and unanswered(row).is_suspect
            if is_suspect and made.suspect_at is None:
                self.tell(ChangeKind.SUSPECT, cookie, now)
                made.suspect_at = now
                self.suspects.add(cookie)
            elif not is_suspect and made.suspect_at is not None:
                self.tell(ChangeKind.RECOVERED, cookie, now)
                made.suspect_at = None
                self.suspects.discard(cookie)

    def end(self, gone: Rows, timeouts: int | None, now: float) -> None:
        """Tell of those that are gone, if they died."""
        ended = [
            (row, made)
            for cookie, row in gone.items()
            if (made := self.connections.pop(cookie, None))
        ]
        self.strangers -= gone.keys()
        self.suspects -= gone.keys()
        failing = [(row, made) for row, made in ended if any(unanswered(row))]
        dead = [(row, made) for row, made in failing if made.suspect_at is not None]
        counts = [unanswered(row) for row in gone.values()]
        all_failing = sum(map(any, counts))
        all_suspect = sum(count.is_suspect for count in counts)
        reason = DeathReason.UNKNOWN
        if timeouts is not None and self.timeouts is not None:
            given_up = timeouts - self.timeouts
            if given_up >= all_failing:
                # One may go from its first probe to its end between two looks.
                reason, dead = DeathReason.TIMED_OUT, failing
            elif given_up >= all_suspect:
                reason = DeathReason.TIMED_OUT
            elif given_up <= 0:
                reason = DeathReason.RESET
        for row, made in dead:
            why = DeathReason.KILLED if made.is_killed else reason
            self._happened(ChangeKind.DEAD, row, made, now, why)

    def _happened(
        self,
        kind: ChangeKind,
        row: DiagRow,
        made: Connection,
        now: float,
        reason: DeathReason | None = None,
    ) -> None:
        change = Change(
            kind=kind,
            at=now,
            namespace=self.number,
            row=row,
            reason=reason,
            suspect_for=None if made.suspect_at is None else now - made.suspect_at,
        )
        self.found.append(Happened(change, made))
