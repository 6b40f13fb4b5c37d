"""
The root of the command line: which verbs there are, and what an error becomes.

A verb is a row of ``VERBS``. Its module is imported when the verb is used, not
before, and its line in the help comes from the row: ``deadpeer --help`` has to
be instant and must work where an extra is missing.
"""

import errno
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click
from click.shell_completion import (
    CompletionItem,
    shell_complete,
)

from deadpeer.errors import DeadPeerError, MissingExtra

__all__ = ["EXIT_TERMINATED", "VERBS", "Verb", "root", "run"]

PROGRAM = "deadpeer"
COMPLETE_VARIABLE = "_DEADPEER_COMPLETE"

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE
EXIT_TERMINATED = 143  # 128 + SIGTERM


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """
    One verb of the program, known without importing it.

    Args:
        module: Where it lives; the click command is its attribute ``command``.
        help: Its line in ``deadpeer --help``.
    """

    module: str
    help: str


VERBS: dict[str, Verb] = {
    "explain": Verb(
        module="deadpeer.cli.explain",
        help="Say when a dead peer would be noticed, and plan settings.",
    ),
    "system": Verb(
        module="deadpeer.cli.system",
        help="Show, change and restore this system's keepalive settings.",
    ),
    "check": Verb(
        module="deadpeer.cli.check",
        help="Say why a process or a connection does not notice dead peers.",
    ),
    "run": Verb(
        module="deadpeer.cli.run",
        help="Start a program so that its connections notice dead peers.",
    ),
    "ls": Verb(
        module="deadpeer.cli.ls",
        help="List TCP connections, and how long a death would go unnoticed.",
    ),
    "attach": Verb(
        module="deadpeer.cli.attach",
        help="Protect every new connection of a service, container or cgroup.",
    ),
    "detach": Verb(
        module="deadpeer.cli.detach",
        help="Take off what attach has attached.",
    ),
    "fix": Verb(
        module="deadpeer.cli.fix",
        help="Protect connections of programs that run.",
    ),
    "undo": Verb(
        module="deadpeer.cli.undo",
        help="Put back what deadpeer fix found.",
    ),
    "kill": Verb(
        module="deadpeer.cli.kill",
        help="End connections, those of dead peers for instance.",
    ),
    "watch": Verb(
        module="deadpeer.cli.watch",
        help="Watch which connections become suspect, die or recover.",
    ),
    "lab": Verb(
        module="deadpeer.cli.lab",
        help="Pull a real cable and measure who notices, and when.",
    ),
    "listen": Verb(
        module="deadpeer.cli.listen",
        help="Wait for a peer on another machine, and judge it by heartbeats.",
    ),
    "dial": Verb(
        module="deadpeer.cli.dial",
        help="Connect to a listening peer, and tell when it is gone.",
    ),
    "completion": Verb(
        module="deadpeer.cli.completion",
        help="Print the completion script of a shell.",
    ),
}

# Which extra brings a module that some verb needs.
EXTRAS: dict[str, str] = {
    "click": "cli",
    "rich": "cli",
    "pyroute2": "lab",
    "textual": "watch",
    "prometheus_client": "metrics",
}


class LazyGroup(click.Group):
    """A group that imports a verb when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the verbs in the order of the table."""
        return list(VERBS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002
        cmd_name: str,
    ) -> click.Command | None:
        """
        Import and return one verb, or None if there is none of that name.

        Raises:
            MissingExtra: An optional dependency of that verb is not installed.
        """
        verb = VERBS.get(cmd_name)
        if verb is None:
            return None
        try:
            command = import_module(verb.module).command
        except ModuleNotFoundError as error:
            raise _missing_extra(cmd_name, error) from error
        if not isinstance(command, click.Command):
            raise TypeError(f"{verb.module}.command is no click command")
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the verbs' lines without importing a verb."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, verb.help) for name, verb in VERBS.items()])

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[CompletionItem]:
        """Complete a verb's name without importing a verb."""
        verbs = [
            CompletionItem(name, help=verb.help)
            for name, verb in VERBS.items()
            if name.startswith(incomplete)
        ]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)


def _missing_extra(verb: str, error: ModuleNotFoundError) -> Exception:
    name = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(name)
    if extra is None:
        return error
    return MissingExtra(
        f"deadpeer {verb} needs {name}, which is not installed",
        hint=f"pip install 'deadpeer[{extra}]'",
        extra=extra,
    )


def _print_version(ctx: click.Context, _option: click.Parameter, given: Any) -> None:
    if not given or ctx.resilient_parsing:
        return
    from importlib.metadata import version

    click.echo(f"{PROGRAM} {version('deadpeer')}")
    ctx.exit()


@click.group(
    cls=LazyGroup,
    name=PROGRAM,
    context_settings={"help_option_names": ["-h", "--help"]},
    subcommand_metavar="VERB [OPTIONS] [ARGUMENTS]",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and exit.",
)
def root() -> None:
    """
    Know in seconds, not hours, that the other end of a TCP connection is gone.

    Data goes to stdout, messages to stderr. Verbs that read have --json. Verbs
    that change something show what they would do, and do it only with --yes.
    """


def run(arguments: Sequence[str]) -> int:
    """
    Run the program and return its exit code; no error leaves as a traceback.

    Args:
        arguments: What follows the program's name.

    Returns:
        0, what the verb chose, the exit code of an error's class, 2 after a
        wrong command line, 130 after Ctrl-C, 141 if the reader of the output
        went away.
    """
    if sys.stdout is None:
        hint = "send it to /dev/null if nobody is to read it"
        return _failed("standard output is closed", hint, 1)
    instruction = os.environ.get(COMPLETE_VARIABLE)
    if instruction:
        return shell_complete(root, {}, PROGRAM, COMPLETE_VARIABLE, instruction)
    return _guarded(lambda: _invoke(list(arguments)))


def _invoke(arguments: list[str]) -> None:
    with root.make_context(PROGRAM, arguments) as ctx:
        root.invoke(ctx)
    # A full disk or a closed pipe has to show here, where it can be reported.
    sys.stdout.flush()


def _guarded(action: Callable[[], None]) -> int:
    try:
        action()
    except click.exceptions.Exit as end:
        # The output that goes with the code has to be written all the same.
        return _guarded(sys.stdout.flush) or end.exit_code
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except (click.ClickException, DeadPeerError, OSError) as error:
        return _reported(error)
    return 0


def _reported(error: click.ClickException | DeadPeerError | OSError) -> int:
    """Say in one line what went wrong, and return the exit code."""
    match error:
        case click.exceptions.NoArgsIsHelpError():
            error.show()
            code = EXIT_USAGE
        case click.ClickException():
            code = _failed(error.format_message(), _usage_hint(error), error.exit_code)
        case DeadPeerError():
            code = _failed(error.message, error.hint, error.exit_code)
        case BrokenPipeError():
            _abandon_output()
            code = EXIT_BROKEN_PIPE
        case OSError(errno=errno.EMFILE | errno.ENFILE as number):
            from deadpeer.kernel.descriptors import no_descriptor_left

            code = _reported(no_descriptor_left(number))
        case OSError():
            _abandon_output()
            code = _failed(_sentence(error), "", 1)
    return code


def _usage_hint(error: click.ClickException) -> str:
    if not isinstance(error, click.UsageError):
        return ""
    # The parser itself does not know which verb it parses for.
    path = error.ctx.command_path if error.ctx else PROGRAM
    return f"see: {path} --help"


def _sentence(error: OSError) -> str:
    what = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {what}" if error.filename else what


def _failed(message: str, hint: str, code: int) -> int:
    line = f"{message.rstrip('.')}; {hint}" if hint else message
    prefix = click.style("error:", fg="red", bold=True)
    color = False if os.environ.get("NO_COLOR") else None
    click.echo(f"{prefix} {_one_line(line)}", err=True, color=color)
    return code


def _one_line(text: str) -> str:
    """Return *text* without line breaks or anything a terminal would obey."""
    from deadpeer.cli.harmless import harmless

    return harmless(" ".join(text.split()))


def _abandon_output() -> None:
    # What is still buffered cannot be written either; without this the
    # interpreter would try, fail and complain while it shuts down.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
