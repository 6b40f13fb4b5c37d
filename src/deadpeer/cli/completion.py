"""``deadpeer completion``: print the completion script of a shell."""

import click
from click.shell_completion import get_completion_class

from deadpeer.cli.root import COMPLETE_VARIABLE, PROGRAM, root
from deadpeer.errors import UnsupportedError

__all__ = ["command"]


@click.command()
@click.argument(
    "shell", metavar="bash|zsh|fish", type=click.Choice(["bash", "zsh", "fish"])
)
def command(shell: str) -> None:
    """
    Print the completion script of a shell.

    \b
    bash  deadpeer completion bash > ~/.local/share/bash-completion/completions/deadpeer
    zsh   deadpeer completion zsh > ~/.zfunc/_deadpeer
          (with "fpath+=~/.zfunc" before compinit in ~/.zshrc)
    fish  deadpeer completion fish > ~/.config/fish/completions/deadpeer.fish

    New shells complete from then on.
    """  # noqa: D301 - click wants the character itself
    script = get_completion_class(shell)
    if script is None:
        raise UnsupportedError(f"this version of click has no completion for {shell}")
    click.echo(script(root, {}, PROGRAM, COMPLETE_VARIABLE).source())
