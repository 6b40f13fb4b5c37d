"""The options by which a verb is told which sockets are meant."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from deadpeer.cli.names import NAME
from deadpeer.host.verdicts import WITHIN

if TYPE_CHECKING:  # a listing of very many has no time for what it does not use
    from deadpeer.host.selection import Selection

__all__ = ["Where", "selecting"]

OPTIONS = (
    click.argument("words", nargs=-1, metavar="[FILTER]..."),
    click.option(
        "--pid", "pids", type=int, multiple=True, metavar="PID", help="Of this process."
    ),
    click.option(
        "--process",
        "processes",
        type=NAME,
        multiple=True,
        metavar="NAME",
        help="Of processes of this name; * and ? stand for anything.",
    ),
    click.option(
        "--user",
        "users",
        type=NAME,
        multiple=True,
        metavar="USER",
        help="Of this user's processes.",
    ),
    click.option(
        "--netns",
        type=NAME,
        multiple=True,
        metavar="NAME|all",
        help="In this network namespace (a name, a process or a path), or in all.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """
    Where the sockets are that a verb is about, as its command line says it.

    Args:
        words: The filter.
        pids: Only of these processes; of any if empty.
        processes: Only of processes of these names.
        users: Only of processes of these users.
        netns: In these network namespaces.
    """

    words: tuple[str, ...] = ()
    pids: tuple[int, ...] = ()
    processes: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    netns: tuple[str, ...] = ()

    def selection(
        self,
        *,
        unprotected: bool = False,
        suspect: bool = False,
        within: float = WITHIN,
    ) -> "Selection":
        """
        Return the sockets that are there, or those of them with a verdict.

        Args:
            unprotected: Only those on which a death goes unnoticed for too long.
            suspect: Only those whose peer is probably dead already.
            within: How soon a death should be noticed, in seconds.
        """
        from deadpeer.host.selection import Selection

        return Selection(
            words=self.words,
            pids=frozenset(self.pids),
            processes=self.processes,
            users=self.users,
            netns=self.netns,
            unprotected=unprotected,
            suspect=suspect,
            within=within,
        )


def selecting(command: Callable[..., None]) -> Callable[..., None]:
    """
    Give a command the options that say which sockets are meant.

    Args:
        command: The function; it gets what they say as ``where``.
    """

    @wraps(command)
    def given_where(
        *,
        words: tuple[str, ...],
        pids: tuple[int, ...],
        processes: tuple[str, ...],
        users: tuple[str, ...],
        netns: tuple[str, ...],
        **others: Any,
    ) -> None:
        where = Where(
            words=words, pids=pids, processes=processes, users=users, netns=netns
        )
        command(where=where, **others)

    found = given_where
    for option in reversed(OPTIONS):
        found = option(found)
    return found
