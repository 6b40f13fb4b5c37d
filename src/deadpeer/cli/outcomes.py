"""What came of each socket, as people and programs read it: one line, one object."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import click
from rich.text import Text

from deadpeer.cli.harmless import harmless
from deadpeer.cli.output import messages, stdout
from deadpeer.host.outcomes import Outcome
from deadpeer.host.stopping import Interrupted
from deadpeer.host.targets import Target
from deadpeer.kernel.tcp_table import Endpoint
from deadpeer.policy import Keepalive

__all__ = [
    "carried_out",
    "change_words",
    "counted",
    "line",
    "print_lines",
    "socket_data",
    "tally",
]

T = TypeVar("T")

STYLES = {
    Outcome.PLANNED: "cyan",
    Outcome.DONE: "green",
    Outcome.ALREADY: "dim",
    Outcome.GONE: "dim",
    Outcome.SPARED: "dim",
    Outcome.REFUSED: "red",
    Outcome.UNSUPPORTED: "yellow",
}
WIDTH = max(map(len, Outcome)) + 2

# How each setting is called, and its unit.
LABELS = {
    "idle": ("idle", " s"),
    "interval": ("interval", " s"),
    "probes": ("probes", ""),
    "user_timeout": ("user timeout", " s"),
    "rto_max": ("rto max", " s"),
}


def carried_out(
    action: Callable[[], tuple[T, ...]],
) -> tuple[tuple[T, ...], Interrupted | None]:
    """
    Return what came of each socket, also if Ctrl-C came in the middle.

    Args:
        action: Changes them.

    Returns:
        What came; and what is to be raised when that is printed, if anything.
    """
    try:
        return action(), None
    except Interrupted as stop:
        messages().print("stopped; what is still planned was left as it is")
        return stop.came, stop


def line(outcome: Outcome, who: object, what: str) -> Text:
    """
    Return the one line that a socket gets.

    Args:
        outcome: What came of it.
        who: Which socket.
        what: What was or would be changed, or why not; may be empty.
    """
    word = Text(f"{outcome:<{WIDTH}}", style=STYLES[outcome])
    return Text.assemble(word, harmless(f"{who}: {what}" if what else f"{who}"))


def print_lines(lines: Iterable[Text]) -> None:
    """
    Print a line for each socket to stdout; there may be thousands.

    Args:
        lines: With their styles, which are for terminals.
    """
    console = stdout()
    if console.is_terminal:
        for text in lines:
            console.print(text)
    else:  # nothing to lay out, which is most of the work
        click.echo("".join(f"{text.plain}\n" for text in lines), nl=False)


def change_words(before: Keepalive, after: Keepalive) -> str:
    """
    Return what changes, before and after, in words.

    Args:
        before: What was in force.
        after: What is, or will be.

    >>> change_words(Keepalive(idle=7200, on=False), Keepalive(idle=1, on=True))
    'keepalive off → on, idle 7200 → 1 s'
    """
    return ", ".join(_changes(before, after)) or "nothing"


def _changes(before: Keepalive, after: Keepalive) -> Iterator[str]:
    if before.on != after.on:
        yield f"keepalive {_switch(before)} → {_switch(after)}"
    for name, (label, unit) in LABELS.items():
        old, new = getattr(before, name), getattr(after, name)
        if old != new and new is not None:
            yield f"{label} {_number(name, old)} → {_number(name, new, unit)}"


def _switch(keepalive: Keepalive) -> str:
    return "on" if keepalive.on else "off"


def _number(name: str, value: float | None, unit: str = "") -> str:
    if value is None:
        return "?"
    return "none" if name == "user_timeout" and not value else f"{value:g}{unit}"


def counted(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """
    Return how many sockets had which outcome; those of none are absent.

    Args:
        outcomes: One for each socket.
    """
    every = list(outcomes)
    return {str(one): every.count(one) for one in Outcome if one in every}


def tally(counts: Mapping[str, int]) -> str:
    """
    Return counts in words.

    >>> tally({"done": 3, "gone": 1})
    '3 done, 1 gone'
    """
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def socket_data(target: Target) -> dict[str, Any]:
    """
    Return the fields by which every verb's JSON tells which socket it speaks of.

    Args:
        target: The socket.
    """
    ends = target.row.ends
    return {
        "netns": target.namespace.inode,
        "inode": target.row.inode,
        "cookie": target.row.cookie,
        "local": Endpoint(host=ends.local_host, port=ends.local_port),
        "peer": Endpoint(host=ends.remote_host, port=ends.remote_port),
        "pid": target.pid,
        "process": target.process or None,
    }
