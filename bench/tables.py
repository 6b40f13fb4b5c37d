"""A table for the eye, and the machine it was made on."""

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

__all__ = ["build", "machine", "table", "versions"]


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, words: Sequence[int] = (0,)
) -> str:
    """
    Return a Markdown table with aligned columns.

    Args:
        head: The names of the columns.
        rows: The cells.
        words: The numbers of the columns that hold words; others go to the right.
    """
    widths = [max(3, *map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = [
        "-" * width if number in words else "-" * (width - 1) + ":"
        for number, width in enumerate(widths)
    ]
    return "\n".join(line(cells, widths, words) for cells in (head, rule, *rows))


def line(cells: Sequence[str], widths: Sequence[int], words: Sequence[int]) -> str:
    padded = [
        cell.ljust(width) if number in words else cell.rjust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "| " + " | ".join(padded) + " |"


def machine() -> str:
    """Describe this machine in a line."""
    names = [
        text.partition(":")[2].strip()
        for text in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if text.startswith("model name")
    ]
    processor = names[0] if names else platform.machine()
    return (
        f"{os.cpu_count()} × {processor}, {platform.system()} "
        f"{platform.release().partition('-')[0]}, Python {platform.python_version()}"
    )


def versions() -> dict[str, str]:
    """Return the versions of what is compared."""
    names = ("websockets", "aiohttp", "uvloop", "deadpeer")
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def build() -> str:
    """Tell which deadpeer this process and its children import: compiled or pure."""
    found = find_spec("deadpeer.core.judge")
    made = found.origin if found else None
    return "compiled" if made and made.endswith(tuple(EXTENSION_SUFFIXES)) else "pure"
