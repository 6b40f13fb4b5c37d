"""
Values out of JSON that somebody else may have written: of the right type, or refused.

A file of ours is read by another version, after another program has been at it, or
as root. What is wrong with a value is a ``TypeError`` that shows it; whoever knows
the file says which file it is.

Source: RFC 8259.
"""

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["a_list", "a_number", "a_text", "a_truth", "or_none"]

T = TypeVar("T")


def a_text(value: object) -> str:
    """
    Return a value that has to be a text.

    Args:
        value: What stands in the file.
    """
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.60} is no text")
    return value


def a_number(value: object) -> int:
    """
    Return a value that has to be a whole number, zero or more; a truth is none.

    Args:
        value: What stands in the file.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError(f"{value!r:.60} is no number")
    return value


def a_truth(value: object) -> bool:
    """
    Return a value that has to be true or false.

    Args:
        value: What stands in the file.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{value!r:.60} is neither true nor false")
    return value


def a_list(value: object) -> list[Any]:
    """
    Return a value that has to be a list.

    Args:
        value: What stands in the file.
    """
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.60} is no list")
    return value


def or_none(read: Callable[[object], T], value: object) -> T | None:
    """
    Return what *read* makes of a value; None of one that is null.

    Args:
        read: Such as ``a_number``.
        value: What stands in the file.
    """
    return None if value is None else read(value)
