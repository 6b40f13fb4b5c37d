"""The options by which a verb is told which sockets are meant."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:  # a listing of very many has no time for what it does not use
    from deadpeer.host.listing import Selection

__all__ = ["selected", "selecting"]

F = TypeVar("F", bound=Callable[..., Any])

OPTIONS = (
    click.argument("words", nargs=-1, metavar="[FILTER]..."),
    click.option(
        "--pid", "pids", type=int, multiple=True, metavar="PID", help="Of this process."
    ),
    click.option(
        "--process",
        "processes",
        multiple=True,
        metavar="NAME",
        help="Of processes of this name; * and ? stand for anything.",
    ),
    click.option(
        "--user",
        "users",
        multiple=True,
        metavar="USER",
        help="Of this user's processes.",
    ),
    click.option(
        "--netns",
        multiple=True,
        metavar="NAME|all",
        help="In this network namespace (a name, a process or a path), or in all.",
    ),
)


def selecting(command: F) -> F:
    """
    Give a command the options that say which sockets are meant.

    Args:
        command: The function; it gets ``words``, ``pids``, ``processes``, ``users``
            and ``netns``.
    """
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def selected(
    *,
    words: tuple[str, ...],
    pids: tuple[int, ...],
    processes: tuple[str, ...],
    users: tuple[str, ...],
    netns: tuple[str, ...],
    suspect: bool = False,
) -> "Selection":
    """
    Return the selection that the options make.

    Args:
        words: The filter.
        pids: The processes.
        processes: Their names.
        users: Their users.
        netns: The network namespaces.
        suspect: Only those whose peer seems dead.
    """
    from deadpeer.host.listing import Selection

    return Selection(
        words=words,
        pids=frozenset(pids),
        processes=processes,
        users=users,
        netns=netns,
        suspect=suspect,
    )
