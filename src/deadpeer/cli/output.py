"""
Printing: data to stdout, messages to stderr.

On a terminal text is laid out for its width and coloured; with ``NO_COLOR`` it has no
colour, and is neither bold nor dim.
Anywhere else, in a pipe or a file, it is plain and nothing is wrapped or cut,
however wide: somebody may be going to ``grep`` it.
"""

import json
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, TextIO

import click
from rich.console import Console

__all__ = ["SCHEMA", "messages", "plain", "print_json", "stdout"]

SCHEMA = 1
"""The version of every verb's JSON; it grows when a field changes or goes away."""

UNBOUNDED = 100_000  # columns; wider than any row


class _PipedConsole(Console):
    """A console that lets a broken pipe be seen, where rich would exit with 1."""

    def on_broken_pipe(self) -> None:
        """Re-raise, so that the root of the program decides."""
        raise BrokenPipeError


def stdout() -> Console:
    """Return the console for data."""
    return _console(sys.stdout)


def messages() -> Console:
    """Return the console for messages about the work: progress, warnings."""
    return _console(sys.stderr)


def _console(stream: TextIO) -> Console:
    # Markup is off: addresses such as [::1]:80 are data, not styles.
    # What a terminal can do is asked of the stream at the time of use.
    terminal = stream.isatty()
    return _PipedConsole(
        file=stream,
        width=None if terminal else UNBOUNDED,
        force_terminal=None if terminal else False,
        # By itself the console leaves out colour alone, and keeps bold and dim.
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        markup=False,
        emoji=False,
        highlight=False,
    )


def print_json(verb: str, data: Mapping[str, Any]) -> None:
    """
    Print *data* as one JSON object that names its schema and its verb.

    Args:
        verb: Which verb speaks, such as ``explain``.
        data: The fields; see ``plain`` for what the values may be.
    """
    whole = {"schema": SCHEMA, "verb": verb, **data}
    click.echo(json.dumps(plain(whole), indent=2, allow_nan=False))


def plain(value: Any) -> Any:
    """
    Return *value* made of what JSON has: frozen values become objects.

    Infinity, which here always means "never", becomes ``null``.

    Args:
        value: Dataclasses, enums, mappings, sequences and scalars, nested.

    >>> plain({"latest": math.inf, "seen": (1, 2.5)})
    {'latest': None, 'seen': [1, 2.5]}
    """
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return None if math.isinf(value) else value
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return value
