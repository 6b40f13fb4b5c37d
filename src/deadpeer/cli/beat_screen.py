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
from deadpeer.cli.durations import in_words
from deadpeer.cli.output import SCHEMA, plain, stdout
from deadpeer.core.events import Change, Died
from deadpeer.errors import RemoteProtocolError

__all__ = ["Screen"]

# How often the numbers on a terminal change, in 1/s.
PACE = 4
MOST_ROWS = 20
STATES = {"alive": "green", "suspect": "yellow", "dead": "red", "closed": "cyan"}


class Screen:
    """
    Tells what happens.

    Args:
        verb: Which verb speaks.
        as_json: Whether a program listens.
        every: How many seconds a log lets pass between two round trips.
    """

    def __init__(self, verb: str, *, as_json: bool, every: float) -> None:
        self.verb = verb
        self.every = every
        self._as_json = as_json
        self._console: Console = stdout()
        self._live: Live | None = None
        self._told: dict[Connection, float] = {}
        self._main: asyncio.Task[Any] | None = None
        self._gone: OSError | None = None

    def tell(self, entry: dict[str, Any], *, peer: str = "") -> None:
        """
        Tell one thing.

        Args:
            entry: Its fields.
            peer: Whom it is about.
        """
        try:
            self._write(entry, peer)
        except OSError as error:
            # In a callback or a task of its own nobody would see it.
            if self._main is None:
                raise
            self._gone = self._gone or error
            self._main.cancel()

    def _write(self, entry: dict[str, Any], peer: str) -> None:
        now = datetime.now().astimezone()
        if self._as_json:
            head = {"schema": SCHEMA, "verb": self.verb, "time": now.isoformat()}
            whole = head | {"peer": peer} | entry if peer else head | entry
            click.echo(json.dumps(plain(whole), allow_nan=False))
            return
        clock = f"{now:%H:%M:%S}.{now.microsecond // 1000:03d}"
        line = Text(f"{clock}  ", style="dim")
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
        try:
            if self._as_json or not self._console.is_interactive:
                yield
                return
            with Live(console=self._console, auto_refresh=False) as self._live:
                yield
        except asyncio.CancelledError:
            if self._gone is None:
                raise
            raise self._gone from None
        finally:
            self._live = self._main = None
            follower.cancel()

    async def _follow(self, peers: Callable[[], Iterable[Connection]]) -> None:
        while True:
            await asyncio.sleep(1 / PACE)
            present = [peer for peer in peers() if peer.error is None]
            if self._live is not None:
                self._live.update(_table(present), refresh=True)
            else:
                self._tell_round_trips(present)

    def _tell_round_trips(self, present: list[Connection]) -> None:
        now = time.monotonic()
        for peer in present:
            due_at = self._told.setdefault(peer, now) + self.every
            rtt = peer.rtt
            if self.every > 0 and now >= due_at and rtt is not None:
                self._told[peer] = now
                entry = rtt_entry(rtt, peer.stats().silence)
                self.tell(entry, peer=peer.peer)
        self._told = {peer: at for peer, at in self._told.items() if peer in present}


def _table(peers: list[Connection]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("peer", "state", "round trip", "smallest", "silent", "for"):
        table.add_column(heading)
    for peer in peers[:MOST_ROWS]:
        stats = peer.stats()
        rtt = stats.rtt
        table.add_row(
            stats.peer,
            Text(str(stats.state), style=STATES.get(str(stats.state), "")),
            f"{rtt.last * 1000:.1f} ms" if rtt else "",
            f"{rtt.smallest * 1000:.1f} ms" if rtt else "",
            f"{stats.silence:.1f} s",
            in_words(round(stats.connected_for)),
        )
    if len(peers) > MOST_ROWS:
        table.add_row(f"and {len(peers) - MOST_ROWS} more")
    return table
