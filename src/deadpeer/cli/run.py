"""``deadpeer run``: a program that nobody changed, started protected."""

import errno
import os

import click

from deadpeer.cli.durations import SECONDS
from deadpeer.cli.lab_options import SETTINGS, refuse_together
from deadpeer.cli.names import FILE
from deadpeer.cli.run_log import RunLog
from deadpeer.cli.shared_options import ALLOW_STALLED_READER, RTT
from deadpeer.errors import KernelRefused
from deadpeer.host.becoming import EXECUTE
from deadpeer.host.launching import Launch, launch
from deadpeer.kernel.planning import plan_here
from deadpeer.kernel.seccomp_support import this_machine
from deadpeer.policy import Keepalive

__all__ = ["command"]


# What shells and env(1) exit with.
# Source: POSIX.1-2024, Shell Command Language, section 2.8.2.
class CannotRun(click.ClickException):
    """The program is there and cannot be run."""

    exit_code = 126


class NotFound(click.ClickException):
    """The program is not there."""

    exit_code = 127


@click.command(
    # What follows the program's name is the program's.
    context_settings={"allow_interspersed_args": False},
)
@click.option(
    "--within",
    type=SECONDS,
    metavar="SECONDS",
    help="How soon a dead peer is to be reported to the program.",
)
@click.option(
    "--keepalive",
    type=SETTINGS,
    metavar="IDLE,INTERVAL,PROBES[,USER_TIMEOUT]",
    help="Give these settings to its connections, in place of a plan.",
)
@RTT
@ALLOW_STALLED_READER
@click.option(
    "--pin",
    is_flag=True,
    help="Leave out the keepalive settings that the program itself makes.",
)
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="Tell on stderr what is protected, and what not.",
)
@click.option(
    "--log",
    "log_path",
    metavar="FILE",
    type=FILE,
    help="Tell it in this file, at its end, and not on stderr.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Tell it as JSON, an object a line."
)
@click.argument("program", metavar="[--] CMD [ARGUMENT]...", nargs=-1, type=str)
def command(
    *,
    within: float | None,
    keepalive: Keepalive | None,
    rtt: float | None,
    allow_stalled_reader: bool,
    pin: bool,
    verbose: bool,
    log_path: str | None,
    as_json: bool,
    program: tuple[str, ...],
) -> None:
    """
    Start a program so that each of its TCP connections notices a dead peer.

    Those that it makes and those that it accepts, those of its children, and
    those of static programs too. The program has this command's pid, terminal and
    signals, and its exit code. Needs no privilege.

    \b
    deadpeer run --within 10 -- psql -h db.example
    deadpeer run --within 10 --pin -- ./server
    """  # noqa: D301 - click wants the character itself
    ctx = click.get_current_context()
    for name in ("within", "rtt", "allow_stalled_reader"):
        refuse_together(ctx, "keepalive", [name])
    if within is None and keepalive is None:
        raise click.UsageError("give a promise: --within SECONDS", ctx)
    if not program:
        raise click.UsageError("name the program to start, after --", ctx)
    if as_json and not verbose and log_path is None:
        raise click.UsageError("--json says how: give -v or --log FILE too", ctx)
    this_machine()  # whether it can be done here at all, before anything is opened
    if keepalive is None:
        keepalive = plan_here(
            within=within or 0.0, rtt=rtt, allow_stalled_reader=allow_stalled_reader
        ).keepalive
    log = _log(log_path, verbose=verbose, as_json=as_json)
    try:
        launch(
            Launch(
                command=program,
                settings=keepalive,
                pin=pin,
                tell=log.tell,
                kept=log.kept,
            )
        )
    except KernelRefused as error:
        if error.operation != EXECUTE:
            raise
        kind = NotFound if error.errno == errno.ENOENT else CannotRun
        raise kind(str(error)) from error


def _log(path: str | None, *, verbose: bool, as_json: bool) -> RunLog:
    if path is not None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return RunLog(os.open(path, flags, 0o644), as_json=as_json)
    if verbose:
        # Not the program's own descriptor, which it may close or redirect.
        import fcntl

        return RunLog(fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, 3), as_json=as_json)
    return RunLog(-1, as_json=as_json)
