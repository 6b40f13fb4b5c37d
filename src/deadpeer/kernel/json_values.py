"""
Values out of JSON that somebody else may have written: of the right type, or refused.

A file of ours is read by another version, after another program has been at it, or
as root. What is wrong with it is ``Malformed``, in words for people; whoever knows
the file says which file it is.

Source: RFC 8259.
"""

import json
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = [
    "Malformed",
    "a_list",
    "a_number",
    "a_text",
    "a_truth",
    "an_object",
    "or_none",
    "parsed",
]

T = TypeVar("T")


class Malformed(ValueError):
    """A text is no JSON, or a value in it is not what it has to be; says which."""


def parsed(text: str | bytes) -> Any:
    """
    Return what a JSON text holds.

    Args:
        text: The whole file.

    Raises:
        Malformed: It is no JSON; or a number in it is too long, or it is nested too
            deeply, for Python.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Malformed(f"it is no JSON ({where})") from error
    except (ValueError, RecursionError) as error:
        raise Malformed("it is no JSON that any program of ours writes") from error


def an_object(value: object, *names: str) -> dict[str, Any]:
    """
    Return a value that has to be an object.

    Args:
        value: What stands in the file.
        names: What the object has to have.

    Raises:
        Malformed: It is none, or has not all of that.
    """
    if not isinstance(value, dict):
        raise Malformed(f"{value!r:.60} is no object")
    for name in names:
        if name not in value:
            raise Malformed(f"{name} is missing")
    return value


def a_text(value: object) -> str:
    """
    Return a value that has to be a text.

    Args:
        value: What stands in the file.

    Raises:
        Malformed: It is something else.
    """
    return _of(str, value, "no text")


def a_number(value: object) -> int:
    """
    Return a value that has to be a whole number, zero or more; a truth is none.

    Args:
        value: What stands in the file.

    Raises:
        Malformed: It is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Malformed(f"{value!r:.60} is no number")
    return value


def a_truth(value: object) -> bool:
    """
    Return a value that has to be true or false.

    Args:
        value: What stands in the file.

    Raises:
        Malformed: It is something else.
    """
    return _of(bool, value, "neither true nor false")


def a_list(value: object) -> list[Any]:
    """
    Return a value that has to be a list.

    Args:
        value: What stands in the file.

    Raises:
        Malformed: It is something else.
    """
    return _of(list, value, "no list")


def or_none(read: Callable[[object], T], value: object) -> T | None:
    """
    Return what *read* makes of a value; None of one that is null.

    Args:
        read: Such as ``a_number``.
        value: What stands in the file.
    """
    return None if value is None else read(value)


def _of(kind: type[T], value: object, otherwise: str) -> T:
    if not isinstance(value, kind):
        raise Malformed(f"{value!r:.60} is {otherwise}")
    return value
