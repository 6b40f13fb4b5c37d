"""
``deadpeer system``: show, change and restore this system's keepalive settings.

``show --json`` prints one object::

    root        the tree that was looked at
    place       running, initial, namespace, container, sandbox: whose settings
                these are; null for an image without running values
    readers     at_boot, by_hand: "systemd", "procps", "alpine" or null
    settings    [{name, key, meaning, unit, value, default, settable, after_boot,
                rules: [{rule, gives, winner, shadowed}]}]; a winner, and with a
                why each shadowed, is {path, real, line, key, value}
    unnoticed   idle, idle_without_keepalive, busy, connecting: {earliest, latest}
                in seconds; null means never
    warnings    sentences

``set --json``: root, applied, record, wanted, live: [{key, old, new}], file: {path,
text} or null, lost: [{rule, key, path, line, value}], unnoticed: {before, after},
each {idle, busy, connecting}, notes, warnings.

``undo --json``: root, applied, record, live: [{key, now, to, found}], file: {path,
found} or null, left, removed, conflicts; found is "ours", "before" or "other".
"""

import math
from pathlib import Path

import click
from rich.text import Text

from deadpeer.cli.durations import SECONDS
from deadpeer.cli.names import FileName
from deadpeer.cli.output import messages, print_json, stdout
from deadpeer.cli.shared_options import JSON, YES
from deadpeer.cli.system_change import Proposal, proposal_data, proposal_text
from deadpeer.cli.system_restore import undo_data, undo_lines
from deadpeer.cli.system_view import as_data, print_text, print_warnings
from deadpeer.errors import ConfigError
from deadpeer.kernel.sysctl.apply import apply
from deadpeer.kernel.sysctl.change import plan_change
from deadpeer.kernel.sysctl.plan import plan_idle
from deadpeer.kernel.sysctl.put_back import undo as carry_out
from deadpeer.kernel.sysctl.survey import Survey, survey
from deadpeer.kernel.sysctl.undo import choose_record, plan_undo

__all__ = ["command"]

ROOT = click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    default=Path("/"),
    help="Work on the tree in DIR, an image for instance, and on nothing else.",
)
RECORDS = click.option(
    "--record-dir",
    type=FileName(path_type=Path),
    metavar="DIR",
    help="Where records are kept, in place of /var/lib/deadpeer.",
)


@click.group()
def command() -> None:
    """
    Show, change and restore this system's keepalive settings.

    These are the net.ipv4.tcp_… sysctls. They hold for IPv6 too, for one network
    namespace, and for every program that turns SO_KEEPALIVE on without setting
    times of its own.
    """


@command.command()
@ROOT
@JSON
def show(*, root: Path, as_json: bool) -> None:
    """
    Show the settings, who set them, and what they mean for a dead peer.

    For each: its meaning, its running value, the kernel's own, the file and line
    that sets it, and the lines that do not count and why. Where systemd-sysctl
    and sysctl --system would come to different values, both are shown.
    """
    picture = _survey(root)
    if as_json:
        print_json("system show", as_data(picture))
    else:
        print_text(stdout(), picture)


def _survey(root: Path) -> Survey:
    base = root.resolve()
    return survey(base, image=base != Path("/"))


@command.command(name="set")
@click.option(
    "--within",
    type=SECONDS,
    metavar="SECONDS",
    help="Choose time, interval and probes so that the death of an idle peer is"
    " noticed within this time.",
)
@click.option(
    "--time",
    "idle",
    type=SECONDS,
    metavar="SECONDS",
    help="Silence before the first probe (tcp_keepalive_time).",
)
@click.option(
    "--interval",
    type=SECONDS,
    metavar="SECONDS",
    help="Time between probes (tcp_keepalive_intvl).",
)
@click.option(
    "--probes",
    type=int,
    metavar="COUNT",
    help="Unanswered probes that end a connection (tcp_keepalive_probes).",
)
@click.option(
    "--retries2",
    type=int,
    metavar="COUNT",
    help="Retransmissions of data before giving up (tcp_retries2).",
)
@click.option(
    "--syn-retries",
    type=int,
    metavar="COUNT",
    help="Repetitions of a connection attempt (tcp_syn_retries).",
)
@click.option(
    "--any-value",
    is_flag=True,
    help="Take whatever the kernel takes, not only what a socket option can express.",
)
@click.option(
    "--persist",
    is_flag=True,
    help="Keep it for the next boot, in /etc/sysctl.d/zzz-deadpeer.conf.",
)
@YES
@RECORDS
@ROOT
@JSON
def set_(
    *,
    within: float | None,
    idle: float | None,
    interval: float | None,
    probes: int | None,
    retries2: int | None,
    syn_retries: int | None,
    any_value: bool,
    persist: bool,
    yes: bool,
    record_dir: Path | None,
    root: Path,
    as_json: bool,
) -> None:
    """
    Change the settings, at once and without a reboot.

    Shows old and new and does nothing without --yes. Writes a record first, from
    which `deadpeer system undo` puts everything back. Never touches a file or a
    line that deadpeer did not write.

    \b
    deadpeer system set --within 8
    deadpeer system set --time 5 --interval 1 --probes 3 --persist --yes
    """  # noqa: D301 - click wants the character itself
    picture = _survey(root)
    given = {
        "time": _whole(idle),
        "interval": _whole(interval),
        "probes": probes,
        "retries2": retries2,
        "syn-retries": syn_retries,
    }
    wanted = {name: number for name, number in given.items() if number is not None}
    if within is not None:
        _require_alone(wanted)
        wanted = plan_idle(within, defaults=picture.defaults) | wanted
    change = plan_change(
        wanted,
        root=root,
        persist=persist,
        records=record_dir,
        any_value=any_value,
    )
    proposal = Proposal(picture=picture, change=change, wanted=wanted, within=within)
    record = apply(change) if yes and not change.is_empty else None
    if as_json:
        print_json("system set", proposal_data(proposal, record))
        return
    console = stdout()
    proposal_text(console, proposal)
    print_warnings(console, proposal.warnings)
    console.print(Text(proposal.verdict(record), style="bold"))
    if record:
        messages().print(f"record: {record}")


def _whole(seconds: float | None) -> int | None:
    """Return whole seconds, rounded up; the kernel's unit."""
    return None if seconds is None else math.ceil(seconds)


def _require_alone(wanted: dict[str, int]) -> None:
    both = [name for name in ("time", "interval", "probes") if name in wanted]
    if both:
        raise ConfigError(
            f"--within chooses --{both[0]} itself",
            hint="give --within, or --time, --interval and --probes",
            field=both[0],
            value=wanted[both[0]],
        )


@command.command()
@click.argument("record", required=False, type=FileName(dir_okay=False, path_type=Path))
@click.option(
    "--force",
    is_flag=True,
    help="Put back also what somebody else has changed since.",
)
@YES
@RECORDS
@ROOT
@JSON
def undo(
    *,
    record: Path | None,
    force: bool,
    yes: bool,
    record_dir: Path | None,
    root: Path,
    as_json: bool,
) -> None:
    """
    Put back what was there before `deadpeer system set`, live and on disk.

    Takes the newest RECORD if none is given, so that repeated changes are undone
    one after the other. Shows what it would do, and does it only with --yes. What
    somebody else has changed since is shown, and left alone without --force.
    """
    chosen = choose_record(record, root=root, records=record_dir, force=force)
    plan = plan_undo(chosen, root=root, records=record_dir)
    applied = yes and not plan.is_empty
    if applied:
        plan = carry_out(plan, force=force)
    if as_json:
        print_json("system undo", undo_data(plan, applied=applied))
        return
    console = stdout()
    for line in undo_lines(plan, applied=applied, force=force):
        console.print(line)
