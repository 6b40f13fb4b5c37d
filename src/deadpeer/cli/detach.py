"""``deadpeer detach``: take off what ``deadpeer attach`` has attached."""

import click
from rich.text import Text

from deadpeer.cli.attach_words import detach_lines
from deadpeer.cli.attachment_data import attachment_data, keeping_data
from deadpeer.cli.output import print_json, stdout
from deadpeer.cli.shared_options import JSON, YES
from deadpeer.host.attach_plans import plan_detach
from deadpeer.host.attaching import detach

__all__ = ["command"]

SCHEMA = "deadpeer-detach/1"


@click.command()
@click.argument("target", metavar="CGROUP|SERVICE|CONTAINER|PID")
@YES
@JSON
def command(*, target: str, yes: bool, as_json: bool) -> None:
    """
    Take off what `deadpeer attach` has attached, and nothing of others.

    Removes the pins and the drop-in of a service too, also if it does not run
    now. Connections that exist keep the values that they have. Shows what it
    would do, and does it only with --yes.
    """
    planned = plan_detach(target)
    applied = yes and not planned.is_done
    removed = detach(planned) if applied else ()
    if as_json:
        data = {
            "schema": SCHEMA,
            "name": planned.name,
            "before": attachment_data(planned.before),
            "kept": keeping_data(planned.keeping),
            "applied": applied,
            "removed": [str(path) for path in removed],
        }
        print_json("detach", data)
        return
    console = stdout()
    for line in detach_lines(planned):
        console.print(line)
    if applied:
        console.print(Text("Done.", style="bold"))
    elif not planned.is_done:
        console.print(Text("Nothing was changed. Do it with --yes.", style="bold"))
