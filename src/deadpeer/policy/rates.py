"""How often: a rate as people write it, and back."""

import re

from deadpeer.errors import ConfigError
from deadpeer.policy.numbers import is_number

__all__ = ["in_words", "per_second"]

# A month and a year of the civil calendar have no one length; these are the
# usual stand-ins.
UNITS = {
    "second": 1.0,
    "minute": 60.0,
    "hour": 3600.0,
    "day": 86_400.0,
    "week": 604_800.0,
    "month": 30 * 86_400.0,
    "year": 365 * 86_400.0,
}

# Once in more years than there are atoms in a gram is never, and a thousand
# million times a second is no mistake but a broken link.
LEAST, MOST = 1e-30, 1e9

RATE = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*/\s*([a-z]+?)\s*")


def per_second(name: str, value: object) -> float:
    """
    Return a rate in events per second.

    Args:
        name: What the caller's argument is called, for the error.
        value: "1/week", "0.5 / day", or a number per second.

    Raises:
        ConfigError: It is neither, or beyond all measure.

    >>> per_second("mistakes_at_most", "36/hour")
    0.01
    """
    rate = value
    if isinstance(value, str):
        found = RATE.fullmatch(value)
        if found and found[2] in UNITS:
            rate = float(found[1]) / UNITS[found[2]]
    if is_number(rate) and LEAST <= rate <= MOST:
        return float(rate)
    raise ConfigError(
        f"{name}={value!r} is not a rate",
        hint=f"write it like '1/week', with one of {', '.join(UNITS)};"
        " or give a number per second, more than zero",
        field=name,
        value=value,
    )


def in_words(rate: float) -> str:
    """
    Return a rate as people would write it.

    Args:
        rate: Events per second.

    >>> in_words(1 / 604_800)
    '1/week'
    """
    unit, seconds = next(
        ((name, length) for name, length in UNITS.items() if rate * length >= 1 - 1e-9),
        ("year", UNITS["year"]),
    )
    return f"{rate * seconds:.3g}/{unit}"
