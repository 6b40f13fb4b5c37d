"""``deadpeer attach``: protect every new connection of a service or container."""

from shlex import quote
from typing import Any

import click
from rich.text import Text

from deadpeer.cli.attach_words import attachment_lines, plan_lines
from deadpeer.cli.attachment_data import attachment_data, keeping_data
from deadpeer.cli.durations import SECONDS
from deadpeer.cli.harmless import harmless
from deadpeer.cli.output import print_json, stdout
from deadpeer.cli.shared_options import JSON, RTT, YES
from deadpeer.host.attach_plans import Attach, plan_attach
from deadpeer.host.attaching import attach
from deadpeer.host.attachments import Attachment, attached

__all__ = ["command"]

SCHEMA = "deadpeer-attach/1"


@click.command()
@click.argument("target", required=False, metavar="[CGROUP|SERVICE|CONTAINER|PID]")
@click.option(
    "--within",
    type=SECONDS,
    metavar="SECONDS",
    help="Have a death reported within this time.",
)
@RTT
@click.option(
    "--pin",
    is_flag=True,
    help="Swallow what programs set themselves of these options.",
)
@YES
@JSON
def command(
    *,
    target: str | None,
    within: float | None,
    rtt: float | None,
    pin: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """
    Protect every new TCP connection of a service, a container or a cgroup.

    Attaches a small BPF program to the control group (version 2), which sets
    the keepalive options of each connection that its processes make or accept
    from then on, whatever they are written in. It stays when this command ends.
    Needs CAP_BPF and CAP_NET_ADMIN (or CAP_SYS_ADMIN), and no compiler.

    A PID stands for the cgroup that the process is in. The root cgroup is
    refused. Shows what it would do, and does it only with --yes; what of
    deadpeer's is attached there already is replaced, and nothing of others.

    Without a target it lists what is attached.
    """
    if target is None:
        _require_bare(within=within, rtt=rtt, pin=pin, yes=yes)
        _list(as_json=as_json)
        return
    if within is None:
        raise click.UsageError("Missing option '--within'.")
    planned = plan_attach(target, within=within, rtt=rtt, pin=pin)
    done = attach(planned) if yes else None
    if as_json:
        print_json("attach", _plan_data(planned, done))
        return
    console = stdout()
    for line in plan_lines(planned):
        console.print(line)
    console.print(Text(_verdict(planned, yes=yes), style="bold"))


def _list(*, as_json: bool) -> None:
    found = attached()
    if as_json:
        listed = [attachment_data(one) for one in found]
        print_json("attach", {"schema": SCHEMA, "attached": listed})
        return
    for line in attachment_lines(found):
        stdout().print(line)


def _require_bare(**given: object) -> None:
    for name, value in given.items():
        if value is not None and value is not False:  # 0 was given, too
            raise click.UsageError(f"--{name} needs something to attach to.")


def _verdict(planned: Attach, *, yes: bool) -> str:
    if planned.is_done:
        return "It is so already; nothing was changed."
    if not yes:
        return "Nothing was changed. Do it with --yes."
    name = quote(harmless(planned.cgroup.name))
    return f"Done. To take it off: deadpeer detach --yes {name}"


def _plan_data(planned: Attach, done: Attachment | None) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "cgroup": planned.cgroup.name,
        "processes": planned.processes,
        "within": planned.plan.within,
        "rtt": planned.plan.rtt,
        "settings": planned.terms.effective,
        "pin": planned.pin,
        "before": attachment_data(planned.before),
        "others": planned.others,
        "relatives": [attachment_data(one) for one in planned.relatives],
        "kept": keeping_data(planned.keeping),
        "unkept": planned.unkept,
        "applied": done is not None and not planned.is_done,
        "now": attachment_data(done),
        "warnings": planned.plan.assessment.warnings,
    }
