"""
The command line: one program, ``deadpeer``, and one file for each verb.

``deadpeer.cli.root`` finds the verbs and turns errors into one line and an exit
code; ``deadpeer.cli.output`` prints. All of it needs the extra ``deadpeer[cli]``;
this file and ``streams`` alone do without, so that they can say so.
"""

import sys
from collections.abc import Sequence

__all__ = ["main"]

NEEDS = ("click", "rich")


def main(arguments: Sequence[str] | None = None) -> None:
    """
    Run the program and end the process with its exit code.

    Args:
        arguments: What follows the program's name; by default this process's own.
    """
    from deadpeer.cli.streams import prepare

    prepare()
    try:
        from deadpeer.cli.root import run
    except ModuleNotFoundError as error:
        if error.name not in NEEDS:
            raise
        sys.stderr.write(
            f"error: the command line needs {error.name}, which is not installed; "
            "pip install 'deadpeer[cli]'\n"
        )
        sys.exit(3)
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))
