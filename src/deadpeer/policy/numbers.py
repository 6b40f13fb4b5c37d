"""
What a program hands in as a number, looked at before it is used.

A bool is no number here, though Python calls it one; NaN is in no range. Each
refusal names the argument and its value, and says what would do.
"""

from typing import TypeGuard

from deadpeer.errors import ConfigError

__all__ = [
    "LONGEST",
    "is_number",
    "require_between",
    "require_bool",
    "require_share",
    "require_whole",
]

LONGEST = 1e9
"""Seconds: what is longer than thirty years is neither a wish nor a measurement."""


def is_number(value: object) -> TypeGuard[int | float]:
    """
    Return whether *value* is a number of any kind.

    Args:
        value: What was given.

    >>> is_number(1.5), is_number(True), is_number("1")
    (True, False, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool)


def require_between(name: str, value: object, least: float, most: float) -> float:
    """
    Return *value* if it is a number in a range, both ends included.

    Args:
        name: What the caller's argument is called, for the error.
        value: The number.
        least: The smallest that makes sense: a ratio, or a number of things.
        most: The largest, a ratio or a number of things too.

    Returns:
        The value, a ratio or a number of things.

    Raises:
        ConfigError: It is not a number, or outside the range.
    """
    if is_number(value) and least <= value <= most:
        return float(value)
    raise ConfigError(
        f"{name}={value!r} is outside {least:g} to {most:g}",
        hint=f"give a number from {least:g} to {most:g}",
        field=name,
        value=value,
    )


def require_share(name: str, value: object, *, remark: str = "") -> float:
    """
    Return *value* if it is a share: a number from 0 to less than 1.

    Args:
        name: What the caller's argument is called, for the error.
        value: The share.
        remark: What else the error's hint should say.

    Returns:
        The share, as it was given.

    Raises:
        ConfigError: It is no such number.
    """
    if is_number(value) and 0 <= value < 1:
        return value
    raise ConfigError(
        f"{name}={value!r} is not a share",
        hint=f"give a number from 0 to less than 1{remark}",
        field=name,
        value=value,
    )


def require_whole(name: str, value: object, least: int, most: int) -> int:
    """
    Return *value* if it is a whole number in a range, both ends included.

    Args:
        name: What the caller's argument is called, for the error.
        value: The number.
        least: The smallest that makes sense.
        most: The largest.

    Raises:
        ConfigError: It is not a whole number, or outside the range.
    """
    if is_number(value) and isinstance(value, int) and least <= value <= most:
        return value
    raise ConfigError(
        f"{name}={value!r} is no whole number in its range",
        hint=f"give one from {least} to {most}",
        field=name,
        value=value,
    )


def require_bool(name: str, value: object, *, hint: str) -> bool:
    """
    Return *value* if it is a yes or no.

    Args:
        name: What the caller's argument is called, for the error.
        value: True or False.
        hint: What the two mean.

    Raises:
        ConfigError: It is neither.
    """
    if isinstance(value, bool):
        return value
    raise ConfigError(
        f"{name}={value!r} is neither True nor False",
        hint=hint,
        field=name,
        value=value,
    )
