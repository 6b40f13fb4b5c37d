"""What ``deadpeer ls`` does once it is known what is wanted: look, record, print."""

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deadpeer.cli.harmless import harmless
from deadpeer.errors import (
    AccessDenied,
    ConfigError,
    KernelRefused,
    UnsupportedError,
)
from deadpeer.host.listing import Listing, concealed, look, select, survey
from deadpeer.host.selection import ALL_NAMESPACES, Selection
from deadpeer.host.verdicts import Verdict
from deadpeer.kernel.second_process import can_share_work
from deadpeer.kernel.shared_work import OwnersFoundMeanwhile
from deadpeer.policy.keepalive import require_seconds

if TYPE_CHECKING:  # imported when it is known that they are to be shown
    from deadpeer.host.attachments import Attachment

__all__ = ["Order", "list_connections"]

# Whoever may read the connections of a host need not be whoever reads the file.
PRIVATE = 0o600

# Fewer connections are not worth a second process.
MANY = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """
    What is wanted.

    Args:
        selection: Which connections.
        summary: Whether to count by process.
        fail_on: The verdict that nobody hopes for, if any.
        record: Where to write what was seen, if anywhere.
        replay: What to show in place of this host, if anything.
        as_json: Whether to print JSON.
    """

    selection: Selection
    summary: bool = False
    fail_on: str | None = None
    record: str | None = None
    replay: str | None = None
    as_json: bool = False

    @property
    def is_json_of_this_host(self) -> bool:
        """Whether nothing else is wanted: it can then be made by two processes."""
        others = self.summary, self.fail_on, self.record, self.replay
        return self.as_json and not any(others)


def list_connections(
    order: Order, *, search: OwnersFoundMeanwhile | None = None
) -> bool:
    """
    Look, record and print; return whether ``--fail-on`` found something.

    Args:
        order: What is wanted.
        search: The search for owners, if it was begun.

    Raises:
        ConfigError: The filter is none, or something is not there.
        AccessDenied: Something may not be looked at that decides.
        UnsupportedError: The kernel cannot list TCP sockets.
        KernelRefused: It failed in another way.
    """
    require_seconds("within", order.selection.within)
    if order.is_json_of_this_host:
        _write_json(_json_of_this_host(order.selection, search))
        return False
    if order.replay:
        listing = _replayed(order.replay, order.selection)
    else:
        listing = survey(
            order.selection, processes=2, search=search, whole=bool(order.record)
        )
    if order.record:
        _record(listing, order.record)
    _print(listing, order)
    return _found(listing, order)


def _replayed(path: str, selection: Selection) -> Listing:
    from deadpeer.kernel.recording import MOST_BYTES, decode_snapshot

    with Path(path).open("rb") as file:
        # No recording is larger packed than it may be unpacked.
        snapshot = decode_snapshot(file.read(MOST_BYTES))
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
    try:
        with os.fdopen(number, "wb") as file:
            if stat.S_ISREG(os.fstat(number).st_mode):  # and not /dev/null, or a pipe
                os.fchmod(number, PRIVATE)
            file.write(data)
    except OSError as error:
        # Else it would not say what is full: it might be where the listing goes.
        raise OSError(error.errno, error.strerror, path) from error


def _print(listing: Listing, order: Order) -> None:
    within = order.selection.within
    if order.as_json:
        from deadpeer.cli.ls_json import as_json, summary_as_json

        made = summary_as_json if order.summary else as_json
        attached = None if order.replay else _attachments_as_data()
        _write_json(made(listing, within, attached))
        return
    from deadpeer.cli.ls_table import notes, summary_lines, table_lines, verdict_line

    lines = summary_lines if order.summary else table_lines
    _write(lines(listing))
    click.echo(verdict_line(listing.rows, within))
    if not order.replay:
        _write(_attachments_in_words())
    for note in notes(listing):
        click.echo(f"note: {harmless(note)}", err=True)


def _attachments() -> "tuple[Attachment, ...]":
    """Return what `deadpeer attach` has put before connections to come."""
    from deadpeer.host.attachments import attached

    try:
        return attached()
    except (UnsupportedError, KernelRefused):
        return ()  # nothing can be


def _attachments_as_data() -> list[Any] | None:
    try:
        found = _attachments()
    except AccessDenied:
        return None
    if not found:
        return []
    from deadpeer.cli.attachment_data import attachment_data

    return [attachment_data(one) for one in found]


def _attachments_in_words() -> Iterator[str]:
    try:
        found = _attachments()
    except AccessDenied as error:
        click.echo(f"note: what is attached is not seen: {error.hint}", err=True)
        return
    if found:
        from deadpeer.cli.attachment_data import promise

        for one in found:
            yield f"attached to {harmless(one.cgroup)}: {promise(one)}"


def _json_of_this_host(
    selection: Selection, search: OwnersFoundMeanwhile | None
) -> Iterator[str]:
    from deadpeer.cli.ls_json import as_json, as_json_by_two

    snapshot, _ = look(selection, processes=2, search=search)
    many = sum(len(space.dump.rows) for space in snapshot.spaces) >= MANY
    attached = _attachments_as_data()
    if many and can_share_work():
        return as_json_by_two(snapshot, selection, attached)
    listing = Listing(rows=select(snapshot, selection), snapshot=snapshot)
    return as_json(listing, selection.within, attached)


def _write_json(pieces: Iterable[str]) -> None:
    # Not by click, which would look through megabytes for colours.
    for piece in pieces:
        sys.stdout.write(piece)


def _write(lines: Iterable[str]) -> None:
    color = False if os.environ.get("NO_COLOR") else None
    for line in lines:
        click.echo(line, color=color)


def _found(listing: Listing, order: Order) -> bool:
    """Return whether there is what should not be; it must not be hidden, either."""
    fail_on = order.fail_on
    if fail_on is None:
        return False
    if fail_on == Verdict.SUSPECT:
        if any(row.verdict is Verdict.SUSPECT for row in listing.rows):
            return True
    elif any(row.judgement.protected is False for row in listing.rows):
        return True
    if listing.unreadable_namespaces or any(
        isinstance(error, AccessDenied) for _, error in listing.snapshot.closed_spaces
    ):
        raise AccessDenied(
            f"no {fail_on} connection was found, but not every network namespace may"
            " be looked at",
            hint="that takes CAP_SYS_ADMIN and CAP_SYS_PTRACE; run the command with"
            " sudo",
            capability="CAP_SYS_ADMIN",
        )
    selection = order.selection
    if fail_on == Verdict.SUSPECT:
        selection = replace(selection, suspect=True)  # everybody sees the evidence
    hidden = concealed(listing.snapshot, selection)
    if hidden:
        raise AccessDenied(
            f"no {fail_on} connection was found, but of {hidden} the owners or"
            " settings may not be seen",
            hint="that takes CAP_SYS_PTRACE; run the command with sudo",
            capability="CAP_SYS_PTRACE",
        )
    return False
