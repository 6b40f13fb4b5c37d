"""
``deadpeer ls``: every TCP connection of the host, and what its peer's death costs.

Of thousands of connections the search for their owners takes longest, so it begins
before anything else is imported; the work itself is in ``ls_work``.
"""

from contextlib import AbstractContextManager, nullcontext

import click

from deadpeer.cli.durations import SECONDS
from deadpeer.cli.names import FILE
from deadpeer.cli.selecting import Where, selecting
from deadpeer.cli.shared_options import JSON
from deadpeer.host.verdicts import WITHIN, Verdict
from deadpeer.kernel.collecting import without_collecting
from deadpeer.kernel.second_process import can_share_work
from deadpeer.kernel.shared_work import OwnersFoundMeanwhile

__all__ = ["EXIT_FOUND", "command"]

EXIT_FOUND = 20
"""The exit code if ``--fail-on`` found what it names."""


@click.command()
@selecting
@click.option(
    "--unprotected",
    is_flag=True,
    help="Only where a death would go unnoticed for too long.",
)
@click.option(
    "--suspect", is_flag=True, help="Only those whose peer is probably dead already."
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
    type=click.Choice([str(Verdict.UNPROTECTED), str(Verdict.SUSPECT)]),
    help=f"Exit with {EXIT_FOUND} if there is such a connection.",
)
@click.option(
    "--record",
    type=FILE,
    metavar="FILE",
    help="Also write all that was seen to FILE.",
)
@click.option(
    "--replay",
    type=FILE,
    metavar="FILE",
    help="Show what a recording holds, not this host.",
)
@JSON
def command(
    *,
    where: Where,
    unprotected: bool,
    suspect: bool,
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
    with without_collecting(), nullcontext() if replay else begun_search() as search:
        from deadpeer.cli.ls_work import Order, list_connections

        order = Order(
            selection=where.selection(
                unprotected=unprotected, suspect=suspect, within=within
            ),
            summary=summary,
            fail_on=fail_on,
            record=record,
            replay=replay,
            as_json=as_json,
        )
        found = list_connections(order, search=search)
    if found:
        click.get_current_context().exit(EXIT_FOUND)


def begun_search() -> AbstractContextManager[OwnersFoundMeanwhile | None]:
    """Begin to look for the owners, if there is a processor for that."""
    if not can_share_work():
        return nullcontext()
    return OwnersFoundMeanwhile()
