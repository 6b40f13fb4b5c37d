"""``deadpeer ls``: every TCP connection of the host, and what its peer's death costs."""

import gc
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from deadpeer.cli.durations import SECONDS
from deadpeer.errors import AccessDenied, ConfigError
from deadpeer.host.judgement import WITHIN, Verdict
from deadpeer.host.listing import (
    ALL_NAMESPACES,
    HIDDEN,
    Listing,
    Seen,
    Selection,
    select,
    survey,
)
from deadpeer.policy.keepalive import require_seconds

__all__ = ["EXIT_FOUND", "command"]

EXIT_FOUND = 20
"""The exit code if ``--fail-on`` found what it names."""

UNPROTECTED, SUSPECT = "unprotected", "suspect"

# Whoever may read the connections of a host need not be whoever reads the file.
PRIVATE = 0o600


@click.command()
@click.argument("words", nargs=-1, metavar="[FILTER]...")
@click.option(
    "--pid",
    "pids",
    type=int,
    multiple=True,
    metavar="PID",
    help="Of this process only.",
)
@click.option(
    "--process",
    "processes",
    multiple=True,
    metavar="NAME",
    help="Of processes of this name only; * and ? stand for anything.",
)
@click.option(
    "--user",
    "users",
    multiple=True,
    metavar="USER",
    help="Of this user's processes only.",
)
@click.option(
    "--unprotected",
    is_flag=True,
    help="Only where a death would go unnoticed for too long.",
)
@click.option(
    "--suspect", is_flag=True, help="Only those whose peer is probably dead already."
)
@click.option(
    "--netns",
    multiple=True,
    metavar="NAME|all",
    help="Look into this network namespace (a name, a process or a path), or all.",
)
@click.option(
    "--within",
    type=SECONDS,
    metavar="SECONDS",
    default=WITHIN,
    show_default=f"{WITHIN:g}",
    help="How soon a death should be noticed.",
)
@click.option("--summary", is_flag=True, help="Count by process instead.")
@click.option(
    "--fail-on",
    type=click.Choice([UNPROTECTED, SUSPECT]),
    help=f"Exit with {EXIT_FOUND} if there is such a connection.",
)
@click.option(
    "--record",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Also write all that was seen to FILE.",
)
@click.option(
    "--replay",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Show what a recording holds, not this host.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    *,
    words: tuple[str, ...],
    pids: tuple[int, ...],
    processes: tuple[str, ...],
    users: tuple[str, ...],
    unprotected: bool,
    suspect: bool,
    netns: tuple[str, ...],
    within: float,
    summary: bool,
    fail_on: str | None,
    record: str | None,
    replay: str | None,
    as_json: bool,
) -> None:
    """
    List TCP connections, and how long each one's peer could be dead unnoticed.

    FILTER is written as for ss(8): state established and dport = :5432, not dst
    10.0.0.0/8, ( sport = :ssh or sport = :http ). In a shell, brackets and < >
    need quotes. Without one, all connections are listed, the worst first.
    Changes nothing.

    A connection is suspect if the kernel waits in vain for two or more answers;
    unprotected if a death would be noticed later than --within, whether it is
    idle or has data in flight. What may not be seen shows as a question mark.
    """
    require_seconds("within", within)
    selection = Selection(
        words=words,
        pids=frozenset(pids),
        processes=processes,
        users=users,
        unprotected=unprotected,
        suspect=suspect,
        netns=netns,
        within=within,
    )
    with _without_collecting():
        listing = _replayed(replay, selection) if replay else _looked(selection)
        if record:
            _record(listing, record)
        _print(listing, selection, summary=summary, as_json=as_json)
        code = _found(listing.rows, fail_on)
    click.get_current_context().exit(code)


def _looked(selection: Selection) -> Listing:
    return survey(selection, processes=2)


def _replayed(path: str, selection: Selection) -> Listing:
    from deadpeer.kernel.recording import decode_snapshot

    snapshot = decode_snapshot(Path(path).read_bytes())
    if selection.netns and ALL_NAMESPACES not in selection.netns:
        spaces = tuple(
            space
            for space in snapshot.spaces
            if {space.namespace.name, str(space.namespace), str(space.namespace.inode)}
            & set(selection.netns)
        )
        if not spaces:
            raise ConfigError(
                f"the recording has no network namespace {', '.join(selection.netns)}",
                hint="it has: " + ", ".join(str(x.namespace) for x in snapshot.spaces),
                field="netns",
                value=selection.netns,
            )
        snapshot = replace(snapshot, spaces=spaces)
    return Listing(rows=select(snapshot, selection), snapshot=snapshot)


def _record(listing: Listing, path: str) -> None:
    from deadpeer.kernel.recording import encode_snapshot

    data = encode_snapshot(listing.snapshot)
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE)
    with os.fdopen(number, "wb") as file:
        file.write(data)


def _print(
    listing: Listing, selection: Selection, *, summary: bool, as_json: bool
) -> None:
    if as_json:
        from deadpeer.cli.ls_json import as_json as lines_of_json

        # Not by click, which would look through megabytes for colours.
        write = sys.stdout.write
        for text in lines_of_json(listing, selection.within, summary=summary):
            write(text)
        write("\n")
        return
    from deadpeer.cli.ls_table import notes, summary_lines, table_lines, verdict_line

    lines = summary_lines if summary else table_lines
    _write(lines(listing))
    click.echo(verdict_line(listing.rows, selection.within))
    for note in notes(listing):
        click.echo(f"note: {note}", err=True)


def _write(lines: Iterable[str]) -> None:
    color = False if os.environ.get("NO_COLOR") else None
    for line in lines:
        click.echo(line, color=color)


def _found(rows: tuple[Seen, ...], fail_on: str | None) -> int:
    """Return the exit code: what was to be found, was not, or may be hidden."""
    if fail_on is None:
        return 0
    judgements = [row.judgement for row in rows]
    if fail_on == SUSPECT:
        found = any(one.verdict is Verdict.SUSPECT for one in judgements)
    else:
        found = any(one.protected is False for one in judgements)
    if found:
        return EXIT_FOUND
    hidden = sum(row.unseen == HIDDEN for row in rows)
    if hidden and fail_on == UNPROTECTED:
        raise AccessDenied(
            f"no unprotected connection was found, but of {hidden} the settings may"
            " not be seen",
            hint="that takes CAP_SYS_PTRACE; run the command with sudo",
            capability="CAP_SYS_PTRACE",
        )
    return 0


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Keep Python from looking for garbage among what lives until the end."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
