"""
Where ``listen`` and ``dial`` tell it: live on a terminal, else a line each.

On a terminal the peers stand below with their numbers, and what happened scrolls
above them. In a pipe or a file there is a line for each thing that happened, as
text or as JSON, with the round trips now and then.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from deadpeer.aio.connection import Connection
from deadpeer.cli.beat_log import STYLES, entry_of, rtt_entry, sentence
from deadpeer.cli.beat_options import Asked
from deadpeer.cli.durations import in_words
from deadpeer.cli.output import SCHEMA, plain, stdout
from deadpeer.core.events import Change, Died
from deadpeer.errors import RemoteProtocolError

__all__ = ["Screen"]

# How often the numbers on a terminal change, in 1/s.
PACE = 4
MOST_ROWS = 20
GAP = 2
HEADINGS = ("peer", "state", "round trip", "smallest", "silent", "for")
# What a narrow terminal does without.
LEAST_FIRST = ("smallest", "for", "silent", "round trip")
STATES = {"alive": "green", "suspect": "yellow", "dead": "red", "closed": "cyan"}


class Screen:
    """
    Tells what happens.

    Args:
        verb: Which verb speaks.
        asked: What it was asked for.
    """

    def __init__(self, verb: str, asked: Asked) -> None:
        self.verb = verb
        self._asked = asked
        self._console: Console = stdout()
        self._live: Live | None = None
        self._told: dict[Connection, float] = {}
        self._main: asyncio.Task[Any] | None = None
        self._failed: BaseException | None = None

    def tell(self, entry: dict[str, Any], *, peer: str = "") -> None:
        """
        Tell one thing.

        Args:
            entry: Its fields.
            peer: Whom it is about.
        """
        try:
            self._write(entry, peer)
        except Exception as error:
            if self._main is None:
                raise
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        """End it all: in a callback or a task of its own nobody would see an error."""
        self._failed = self._failed or error
        if self._main is not None:
            self._main.cancel()

    def _write(self, entry: dict[str, Any], peer: str) -> None:
        now = datetime.now().astimezone()
        if self._asked.as_json:
            head = {"schema": SCHEMA, "verb": self.verb, "time": now.isoformat()}
            whole = head | {"peer": peer} | entry if peer else head | entry
            click.echo(json.dumps(plain(whole), allow_nan=False))
            return
        clock = f"{now:%H:%M:%S}.{now.microsecond // 1000:03d}"
        line = Text.assemble((f"{clock}  ", "dim"))
        line.append(f"{peer}  " if peer else "", style="bold")
        line.append(sentence(entry), style=STYLES.get(entry["event"], ""))
        self._console.print(line)
        self._console.file.flush()

    def tell_change(self, peer: Connection, change: Change) -> None:
        """
        Tell what changed with a peer.

        Args:
            peer: Who.
            change: What.
        """
        entry = entry_of(change)
        if isinstance(change, Died) and isinstance(peer.error, RemoteProtocolError):
            entry["breach"] = peer.error.breach
        self.tell(entry, peer=peer.peer)

    @contextmanager
    def showing(self, peers: Callable[[], Iterable[Connection]]) -> Iterator[None]:
        """
        Show the peers' numbers meanwhile.

        Args:
            peers: Returns those that there are now.

        Raises:
            OSError: The output went away meanwhile.
        """
        self._main = asyncio.current_task()
        follower = asyncio.ensure_future(self._follow(peers))
        follower.add_done_callback(self._stopped)
        try:
            if self._asked.as_json or not self._console.is_interactive:
                yield
                return
            # What was last seen of a peer is not to stand there after its death.
            with Live(
                console=self._console, auto_refresh=False, transient=True
            ) as self._live:
                yield
        except asyncio.CancelledError:
            if self._failed is None:
                raise
            raise self._failed from None
        finally:
            self._live = self._main = None
            follower.cancel()

    def _stopped(self, follower: "asyncio.Task[None]") -> None:
        error = None if follower.cancelled() else follower.exception()
        if error is not None:
            self._give_up(error)

    async def _follow(self, peers: Callable[[], Iterable[Connection]]) -> None:
        while True:
            await asyncio.sleep(1 / PACE)
            present = [peer for peer in peers() if peer.error is None]
            if self._live is not None:
                self._live.update(_table(present, self._console.width), refresh=True)
            else:
                self._tell_round_trips(present)

    def _tell_round_trips(self, present: list[Connection]) -> None:
        now = time.monotonic()
        for peer in present:
            due_at = self._told.setdefault(peer, now) + self._asked.every
            rtt = peer.rtt
            if self._asked.every > 0 and now >= due_at and rtt is not None:
                self._told[peer] = now
                entry = rtt_entry(rtt, peer.stats().silence)
                self.tell(entry, peer=peer.peer)
        self._told = {peer: at for peer, at in self._told.items() if peer in present}


def _table(peers: list[Connection], width: int) -> Table:
    """Return the numbers of peers; those that matter least go where room is short."""
    rows = [_numbers(peer) for peer in peers[:MOST_ROWS]]
    headings = list(HEADINGS)
    for dispensable in LEAST_FIRST:
        if _width(headings, rows) > width:
            headings.remove(dispensable)
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, GAP, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(row[heading] for heading in headings))
    if len(peers) > MOST_ROWS:
        table.add_row(f"and {len(peers) - MOST_ROWS} more")
    return table


def _width(headings: list[str], rows: list[dict[str, Text]]) -> int:
    widest = (max(len(h), *(len(row[h]) for row in rows), 0) for h in headings)
    return sum(widest) + GAP * (len(headings) - 1)


def _numbers(peer: Connection) -> dict[str, Text]:
    stats = peer.stats()
    rtt = stats.rtt
    return {
        "peer": Text(stats.peer),
        "state": Text(str(stats.state), style=STATES.get(str(stats.state), "")),
        "round trip": Text(f"{rtt.last * 1000:.1f} ms" if rtt else ""),
        "smallest": Text(f"{rtt.smallest * 1000:.1f} ms" if rtt else ""),
        "silent": Text(f"{stats.silence:.1f} s"),
        "for": Text(in_words(round(stats.connected_for))),
    }
