"""
``deadpeer watch`` on a terminal: a table that lives, and what happened below it.

Looks are taken in a thread, one at a time, and come back as lines ready to be shown;
the screen itself never waits for the kernel. What changes something is shown first,
and done after a yes only.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.coordinate import Coordinate
from textual.widgets import DataTable, Footer, Input, RichLog, Sparkline, Static

from deadpeer.cli.harmless import harmless
from deadpeer.cli.watch_deeds import Deed, plan_fix, plan_kill
from deadpeer.cli.watch_lines import (
    COLUMNS,
    SORTS,
    Key,
    Line,
    change_line,
    hidden_words,
    top_lines,
    who_words,
)
from deadpeer.cli.watch_question import Question
from deadpeer.cli.watch_trail import Trail
from deadpeer.errors import DeadPeerError
from deadpeer.host.changes import Change
from deadpeer.host.selection import Selection
from deadpeer.host.watching import Watcher

__all__ = ["WatchScreen"]

MOST = 200
"""Lines of the table; beyond that, filter."""

SHORTEST_EVERY = 0.05
"""Seconds; timers that are due all the time would leave none for a key."""

GRAPHS = ("silence", "unanswered", "unacknowledged", "rtt")


class WatchScreen(App[None]):
    """
    The screen.

    Args:
        watcher: What looks.
        selection: What it watches.
        every: Seconds from look to look.
    """

    TITLE: str | None = "deadpeer watch"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #head { height: 1; padding: 0 1; background: $panel; }
    #filter { display: none; border: tall $accent; }
    #filter.open { display: block; }
    #filter.wrong { border: tall $error; }
    #table { height: 1fr; }
    #evidence { height: 5; padding: 0 1; background: $boost; }
    #evidence Vertical { width: 1fr; padding: 0 1 0 0; }
    #evidence Sparkline { height: 2; }
    #about { height: 2; }
    #changes { height: 8; border-top: solid $panel; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("s", "sort", "Sort"),
        Binding("slash", "filter", "Filter"),
        Binding("f", "fix", "Fix"),
        Binding("k", "kill", "End"),
        Binding("escape", "leave", "Leave", show=False),
        Binding("ctrl+c", "quit", "Quit", show=False),
    ]

    def __init__(
        self, watcher: Watcher, selection: Selection, *, every: float = 1.0
    ) -> None:
        super().__init__()
        self._watcher = watcher
        self._selection = selection
        self._every = every
        self._sort = next(iter(SORTS))
        self._keys: list[Key] = []
        self._chosen: Key | None = None
        self._trail = Trail()
        # Held by whoever uses the watcher: a look, another filter, a plan.
        self._using = threading.Lock()
        self._is_looking = False

    def compose(self) -> ComposeResult:
        """Yield the parts of the screen, from top to bottom."""
        yield Static(id="head", markup=False)
        yield Input(
            placeholder="a filter as for ss(8): dport = :5432, not dst 10.0.0.0/8",
            id="filter",
        )
        yield DataTable[Text](id="table", cursor_type="row", zebra_stripes=True)
        with Vertical(id="evidence"):
            yield Static(id="about", markup=False)
            with Horizontal():
                for name in GRAPHS:
                    with Vertical():
                        yield Static(name, id=f"{name}-now", markup=False)
                        yield Sparkline([0.0], id=name, summary_function=max)
        yield RichLog(id="changes", max_lines=1000)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        table = self._table
        for name in COLUMNS:
            table.add_column(name, key=name)
        table.focus()
        self.set_interval(max(SHORTEST_EVERY, self._every), self.look)
        self.look()

    def look(self) -> None:
        """Take a look, if none is being taken."""
        if not self._is_looking:
            self._is_looking = True
            self._take_look()

    def action_sort(self) -> None:
        """Sort by the next of the columns that can be sorted by."""
        names = list(SORTS)
        self._sort = names[(names.index(self._sort) + 1) % len(names)]
        self._chosen = None
        self.look()

    def action_filter(self) -> None:
        """Open the line in which a filter is written."""
        line = self.query_one("#filter", Input)
        line.add_class("open")
        line.value = " ".join(self._selection.words)
        line.focus()

    def action_leave(self) -> None:
        """Close that line again; the filter stays as it was."""
        self.query_one("#filter").remove_class("open", "wrong")
        self._table.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the filter that was written."""
        selection = replace(self._selection, words=tuple(event.value.split()))
        self._select(selection)

    @work(thread=True, group="select")
    def _select(self, selection: Selection) -> None:
        try:
            with self._using:
                self._watcher.select(selection)
        except DeadPeerError as error:
            self._hand_over(self._refuse, error)
            return
        self._hand_over(self._selected, selection)

    def _refuse(self, error: DeadPeerError) -> None:
        self.query_one("#filter").add_class("wrong")
        self.notify(str(error), severity="error", markup=False)

    def _selected(self, selection: Selection) -> None:
        self._selection = selection
        self.action_leave()
        self.look()

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Follow the connection that the cursor is on."""
        place, table = event.cursor_row, event.data_table
        if not table.is_attached or place != table.cursor_row:
            return  # the screen is left, or this is of when the table was filled
        if 0 <= place < len(self._keys) and self._keys[place] != self._chosen:
            self._chosen = self._keys[place]
            self._trail = Trail()
            self._follow()

    def action_fix(self) -> None:
        """Ask whether to protect the chosen connection."""
        self._plan(self._fix)

    def action_kill(self) -> None:
        """Ask whether to end it."""
        self._plan(self._kill)

    @work(thread=True, group="look")
    def _take_look(self) -> None:
        sort = self._sort  # it may be another one when the look is over
        try:
            with self._using:
                changes = self._watcher.look()
                sampler = self._watcher.sampler
                lines = top_lines(sampler.watched(), sort=sort, most=MOST)
                total = len(sampler)
        except DeadPeerError as error:
            self._hand_over(self._failed, error)
            return
        self._hand_over(self._show, changes, lines, total, sort)

    def _hand_over(self, show: Callable[..., object], *found: object) -> None:
        """Have the screen show what a thread found, if nobody has left it."""

        def shown() -> None:
            if self.is_running:
                show(*found)

        self.call_from_thread(shown)

    def _failed(self, error: DeadPeerError) -> None:
        self._is_looking = False
        self.query_one("#changes", RichLog).write(Text(f"{error}", style="red"))

    def _show(
        self, changes: Sequence[Change], lines: list[Line], total: int, sort: str
    ) -> None:
        self._is_looking = False
        log, now = self.query_one("#changes", RichLog), datetime.now().astimezone()
        for change in changes:
            log.write(change_line(change, at=now))
        self._fill(lines)
        self._follow()
        self.query_one("#head", Static).update(self._heading(len(lines), total, sort))

    def _heading(self, shown: int, total: int, sort: str) -> str:
        said = f"{total} connections"
        if shown < total:
            said += f", the first {shown} by {sort}; / filters"
        else:
            said += f", by {sort}"
        if self._selection.words:
            said += f" | {' '.join(self._selection.words)}"
        if self._watcher.unreadable:
            said += f" | {hidden_words(self._watcher.unreadable)}"
        return f"{said} | a look takes {1000 * self._watcher.took:.0f} ms"

    def _fill(self, lines: list[Line]) -> None:
        """Show lines; cells alone are changed while the same ones are shown."""
        table, keys = self._table, [line.key for line in lines]
        if keys == self._keys:
            for place, line in enumerate(lines):
                for column, cell in enumerate(line.cells):
                    at = Coordinate(place, column)
                    if table.get_cell_at(at) != cell:
                        table.update_cell_at(at, cell, update_width=True)
            return
        top = table.scroll_y
        self._keys = keys
        table.clear()
        for line in lines:
            table.add_row(*line.cells)
        if self._chosen in keys:
            table.move_cursor(row=keys.index(self._chosen), scroll=False)
            table.scroll_to(y=top, animate=False)

    def _follow(self) -> None:
        """Show the evidence of the connection that was chosen."""
        found = self._chosen and self._watcher.sampler.find(*self._chosen)
        about = self.query_one("#about", Static)
        if not found:
            about.update("gone; the cursor chooses another" if self._chosen else "")
            return
        row, made = found
        trail, known = self._trail, made.about
        trail.add(row)
        said = who_words(known)
        if known and known.who.pid:
            said += f" of {harmless(known.who.user)}"
        if known and known.who.container:
            said += f" in {harmless(known.who.container)}"
        if known and known.judgement.reason:
            said += f": {known.judgement.reason}"
        host, port, peer_host, peer_port = row.ends
        about.update(
            f"{host} port {port} → {peer_host} port {peer_port},"
            f" inode {row.inode}\n{said}"
        )
        values = (trail.silence, trail.unanswered, trail.unacknowledged, trail.rtt_ms)
        units = ("{:.1f} s", "{:.0f}", "{:.0f} bytes", "{:.3g} ms")
        for name, series, unit in zip(GRAPHS, values, units, strict=True):
            self.query_one(f"#{name}", Sparkline).data = [0.0, *series]
            now = unit.format(series[-1]) if series else "?"
            self.query_one(f"#{name}-now", Static).update(f"{name} {now}")

    def _plan(self, make: Callable[[Key], Deed | None]) -> None:
        if self._chosen:
            self._ask(self._chosen, make)

    @work(thread=True, group="plan")
    def _ask(self, key: Key, make: Callable[[Key], Deed | None]) -> None:
        try:
            with self._using:
                deed = make(key)
        except DeadPeerError as error:
            deed = Deed(question=str(error))
        if deed is None:
            deed = Deed(question="The connection is gone.")
        self._hand_over(self._put, deed)

    def _put(self, deed: Deed) -> None:
        def answered(yes: bool | None) -> None:  # noqa: FBT001 - textual calls it
            if yes and deed.act:
                self._act(deed.act)

        self.push_screen(Question(deed.question, can_do=deed.act is not None), answered)

    @work(thread=True, group="act")
    def _act(self, act: Callable[[], str]) -> None:
        try:
            with self._using:
                said = Text(act(), style="bold")
        except DeadPeerError as error:
            said = Text(str(error), style="red")
        self._hand_over(self._done, said)

    def _done(self, said: Text) -> None:
        self.query_one("#changes", RichLog).write(said)
        self.look()

    def _fix(self, key: Key) -> Deed | None:
        target = self._watcher.target(*key)
        if not target:
            return None
        sampler = self._watcher.sampler
        return plan_fix(
            target,
            self._selection.within,
            lambda: sampler.ask_again(key[0], [key[1]]),
        )

    def _kill(self, key: Key) -> Deed | None:
        target = self._watcher.target(*key)
        if not target:
            return None
        return plan_kill(target, lambda: self._watcher.sampler.killed(*key))

    @property
    def _table(self) -> DataTable[Text]:
        return self.query_one("#table", DataTable)
