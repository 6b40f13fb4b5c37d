"""What people see while the lab runs: a live picture, or a few plain lines."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deadpeer.lab.rendering.watching import News, Watching
from deadpeer.lab.rendering.words import DONE, about, state_label
from deadpeer.lab.scenario import Scenario

__all__ = ["picture", "watched"]

Listener = Callable[[News], object]


@contextmanager
def watched(
    console: Console, scenario: Scenario, watching: Watching
) -> Iterator[Listener]:
    """
    Show a run on a terminal while it goes on, or tell of it in plain lines.

    Args:
        console: Where, not on standard output.
        scenario: What was asked.
        watching: What keeps count.
    """
    if not console.is_interactive:  # a dumb terminal takes no frame back
        yield _Teller(console, scenario, watching)
        return
    # Refreshed by the news, four times a second: no thread is needed.
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def show(news: News) -> None:
            watching.hear(news)
            if news.what in {"beat", "struck"}:
                live.update(picture(scenario, watching), refresh=True)

        live.update(picture(scenario, watching), refresh=True)
        yield show


def picture(scenario: Scenario, watching: Watching) -> RenderableType:
    """Return how far a run is, as it is shown on a terminal."""
    return Group(_clock(scenario, watching), _counts(watching), Text(), _grid(watching))


def _clock(scenario: Scenario, watching: Watching) -> RenderableType:
    since = watching.since
    if since is None:
        count, so_far = len(watching.cells), f"{watching.elapsed:.0f} s"
        return Text(f"Building networks for {count} connections ... {so_far}")
    bar = ProgressBar(
        total=max(watching.total, watching.elapsed),
        completed=watching.elapsed,
        width=24,
    )
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row(
        Text(f"{since:5.1f} s since: {DONE[watching.main]}", style="bold"),
        Text(f"promise: {about(scenario.within)}"),
        bar,
        Text(f"{max(0.0, watching.total - watching.elapsed):.0f} s left", style="dim"),
    )
    return table


def _counts(watching: Watching) -> Text:
    parts: list[str | tuple[str, str]] = [
        (f"{watching.believing} still believe in a dead peer", "red"),
        ", ",
        (f"{watching.noticed} have noticed", "green"),
        f"; {watching.live} peers are alive",
    ]
    if watching.given_up:
        parts.append((f", {watching.given_up} of them wrongly given up", "bold red"))
    if watching.wrong:
        parts.append((f"; {watching.wrong} outside the prediction", "bold red"))
    return Text.assemble(*parts)


def _grid(watching: Watching) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("")
    for setting in watching.settings:
        table.add_column(setting.name, min_width=9)
    for situation in watching.situations:
        words = [watching.word(situation, s.name) for s in watching.settings]
        table.add_row(state_label(situation), *map(_coloured, words))
    return table


def _coloured(word: str) -> Text:
    if word == "unnoticed":
        return Text(word, style="red")
    return Text(word, style="dim" if word == "..." else "green")


class _Teller:
    """Says the few things that matter, a line each."""

    def __init__(
        self, console: Console, scenario: Scenario, watching: Watching
    ) -> None:
        self.console = console
        self.scenario = scenario
        self.watching = watching
        self.marks = [scenario.within / 2, scenario.within]
        self.say(f"building networks for {len(watching.cells)} connections")

    def __call__(self, news: News, /) -> None:
        """Hear news; most of it is not worth a line."""
        watching = self.watching
        watching.hear(news)
        is_main = news.what == "struck" and news.fault == str(watching.main)
        if is_main and watching.since == 0:  # a second network may meet it, too
            left = max(0.0, watching.total - watching.elapsed)
            self.say(f"{DONE[watching.main]}; watching for {about(round(left))}")
        since = watching.since
        while since is not None and self.marks and since >= self.marks[0]:
            at = about(self.marks.pop(0))
            told = f"{watching.noticed} of {watching.dying} deaths noticed"
            self.say(f"{at} later: {told}, {watching.believing} still believe")

    def say(self, line: str) -> None:
        self.console.print(Text(f"lab: {line}"))
