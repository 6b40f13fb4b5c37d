"""
``deadpeer watch`` without a terminal: a line of JSON for each change, until SIGTERM.

SIGHUP has it read its rules again and open its output anew, for whoever rotates logs.
What is wrong then is said, and the old rules stay in force.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

import click

from deadpeer.cli.watch_lines import hidden_words
from deadpeer.cli.watch_output import Output
from deadpeer.cli.watch_rules import Rules
from deadpeer.cli.watch_signals import RELOAD, STOP, signals_noted
from deadpeer.errors import DeadPeerError, KernelRefused
from deadpeer.host.changes import Change, ChangeKind, as_data
from deadpeer.host.notify import Command, Webhook
from deadpeer.host.watching import Watcher
from deadpeer.kernel.ambient import keep_capabilities_to_myself

if TYPE_CHECKING:
    from deadpeer.host.metrics import Metrics

__all__ = ["Tellers", "run_daemon", "summary"]

_Teller = tuple[ChangeKind | None, Command | Webhook]


def run_daemon(
    rules: Rules,
    *,
    every: float,
    output: str | None,
    metrics: tuple[str, int] | None,
    reread: Callable[[], Rules],
) -> None:
    """
    Watch until a signal says that it is enough.

    Args:
        rules: What to do.
        every: Seconds from look to look.
        output: The file that lines are added to; standard output if None.
        metrics: Where Prometheus finds the metrics; nowhere if None.
        reread: Returns the rules as they are now, at SIGHUP.

    Raises:
        ConfigError: Something given makes no sense.
        AccessDenied: What is to be watched may not be looked at.
        UnsupportedError: The kernel cannot list TCP sockets.
        KernelRefused: The address of the metrics is taken, say.
        BrokenPipeError: Nobody reads standard output any more.
    """
    keep_capabilities_to_myself()
    lock = threading.Lock()
    with ExitStack() as stack:
        signals = stack.enter_context(signals_noted())
        out = stack.enter_context(Output(output, report=say))
        watcher = stack.enter_context(Watcher(rules.selection()))
        tellers = stack.enter_context(Tellers(rules))
        served: Metrics | None = None
        if metrics:
            from deadpeer.host import metrics as serving

            served = stack.enter_context(
                serving.Metrics(
                    watcher, address=metrics, lock=lock, dropped=lambda: tellers.dropped
                )
            )
            host, port = served.address
            name = f"[{host}]" if ":" in host else host
            say(f"metrics: http://{name}:{port}/metrics")
        changes = _look(watcher, served, lock)
        say(summary(watcher))
        due = time.monotonic()
        while True:
            for line in lines_of(changes, tellers):
                if not signals.may_write(out.fileno):
                    say("ended while nobody read the output: some lines are lost")
                    return
                out.write(line)
            # Looks that were missed are not made up for.
            due = max(due + every, time.monotonic())
            got = signals.wait(due, out.reader)
            if got in STOP:
                return
            is_new = got == RELOAD and _reload(watcher, tellers, out, reread, lock)
            due -= every if got == RELOAD else 0  # this look comes besides
            try:
                changes = _look(watcher, served, lock)
            except KernelRefused as error:
                changes = ()
                say(f"a look failed: {error}")
            if is_new:
                say(f"reloaded; {summary(watcher)}")


def _look(
    watcher: Watcher, served: "Metrics | None", lock: threading.Lock
) -> tuple[Change, ...]:
    """Take a look, and count it."""
    with lock:
        try:
            changes = watcher.look()
        except KernelRefused:
            if served:
                served.missed()
            raise
        if served:
            served.looked(changes)
    return changes


def summary(watcher: Watcher) -> str:
    """
    Return what a watch begins with, in a line.

    Args:
        watcher: After its first look.
    """
    unprotected = suspect = 0
    for _, _, _, made in watcher.sampler.watched():
        unprotected += bool(made.about and made.about.judgement.protected is False)
        suspect += made.suspect_at is not None
    said = (
        f"watching {len(watcher.sampler)} connections:"
        f" {unprotected} unprotected, {suspect} suspect"
    )
    if watcher.unreadable:
        said += f"; {hidden_words(watcher.unreadable)}"
    if watcher.closed:
        said += (
            f"; {len(watcher.closed)} network namespaces may not be entered, which"
            " takes CAP_SYS_ADMIN"
        )
    return said


def say(line: str) -> None:
    """
    Say something about the watch itself, on standard error.

    Where that cannot be written it is lost: a full disk under a log ends no watch.

    Args:
        line: What.
    """
    with suppress(OSError):
        click.echo(line, err=True)


def lines_of(changes: Sequence[Change], tellers: "Tellers") -> Iterator[str]:
    """
    Yield the line of each change, and tell it to others.

    Args:
        changes: What changed.
        tellers: Who is told.
    """
    time_text = datetime.now(UTC).isoformat(timespec="milliseconds")
    for change in changes:
        data = as_data(change, time=time_text.replace("+00:00", "Z"))
        tellers.tell(change.kind, data)
        yield json.dumps(data, allow_nan=False) + "\n"


class Tellers:
    """
    The commands and webhooks that are told of changes.

    Args:
        rules: Which ones.
    """

    def __init__(self, rules: Rules) -> None:
        self._told_before = 0
        self._tellers: list[_Teller] = []
        self._leaving: list[tuple[_Teller, threading.Thread]] = []
        self._set(rules)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave(self._tellers)
        self._tellers = []
        for _, closing in self._leaving:
            closing.join()  # all at once, so that takes as long as one

    @property
    def dropped(self) -> int:
        """How many changes were not told: too many waited, or it failed."""
        told = [*self._tellers, *(one for one, _ in self._leaving)]
        return self._told_before + sum(
            teller.dropped + teller.failed for _, teller in told
        )

    def tell(self, kind: ChangeKind, data: dict[str, object]) -> None:
        """
        Tell those who want to know; never waits.

        Args:
            kind: What happened.
            data: The change, as JSON has it.
        """
        for wanted, teller in self._tellers:
            if wanted is None or wanted is kind:
                teller.tell(data)

    def change(self, rules: Rules) -> None:
        """
        Tell others from now on, if they are others; never waits.

        Args:
            rules: Which ones.
        """
        for one, closing in self._leaving:
            if not closing.is_alive():
                self._told_before += one[1].dropped + one[1].failed
        self._leaving = [one for one in self._leaving if one[1].is_alive()]
        if (rules.on, rules.webhooks) != self._rules:
            self._leave(self._tellers)
            self._set(rules)

    def _set(self, rules: Rules) -> None:
        self._rules = rules.on, rules.webhooks
        self._tellers = [
            (kind, Command(command, report=say)) for kind, command in rules.on
        ]
        self._tellers += [(None, Webhook(url, report=say)) for url in rules.webhooks]

    def _leave(self, tellers: list[_Teller]) -> None:
        # Each may take seconds to make its last deliveries, and looks go on.
        for one in tellers:
            closing = threading.Thread(target=one[1].close, name="last deliveries")
            closing.start()
            self._leaving.append((one, closing))


def _reload(
    watcher: Watcher,
    tellers: Tellers,
    out: Output,
    reread: Callable[[], Rules],
    lock: threading.Lock,
) -> bool:
    """Return whether new rules are in force."""
    try:
        out.reopen()
        rules = reread()
        with lock:
            watcher.select(rules.selection())
    except DeadPeerError as error:
        say(f"not reloaded: {error}")
        return False
    tellers.change(rules)
    return True
