"""
Names on a command line, of files and of other things: none of them is empty.

An empty one is what a shell leaves of a variable that is not set. To do then as if
nothing had been said would be to do something else than what was asked for.
"""

from typing import Any

import click

__all__ = ["FILE", "NAME", "FileName", "Name"]

EMPTY = "it is empty"


class Name(click.ParamType):  # type: ignore[type-arg]
    """A text that is not empty."""

    name = "text"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the text, or fail with a usage error."""
        if not value.strip():
            self.fail(EMPTY, param, ctx)
        return str(value)


class FileName(click.Path):
    """The name of a file or folder; what else it has to be is said as for ``click.Path``."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """Return the name, or fail with a usage error."""
        if value == "":
            self.fail(EMPTY, param, ctx)
        return super().convert(value, param, ctx)


NAME = Name()
FILE = FileName(dir_okay=False)
