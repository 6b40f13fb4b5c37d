"""Durations as people write them: read from the command line, printed in words."""

import math
import re

import click

__all__ = ["SECONDS", "Seconds", "in_words", "rounded_down", "rounded_up"]

UNITS: dict[str, float] = {
    "ms": 0.001,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
# A sum of decimals may be one part in 10^16 off; that is no reason to round.
EXACT = 1e-12
_WRITTEN = re.compile(r"\s*(-?[0-9.]+(?:e-?[0-9]+)?)\s*(ms|s|min|m|h|d)?\s*", re.ASCII)


class Seconds(click.ParamType):  # type: ignore[type-arg]
    """
    A duration: seconds, or a number with a unit (``500ms``, ``10s``, ``2min``).

    Whether it makes sense (a negative one, say) is for the policy to judge, which
    knows the field's name and its range.
    """

    name = "seconds"

    def convert(
        self,
        value: object,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Return the duration in seconds, or fail with a usage error."""
        if isinstance(value, int | float):
            return float(value)
        written = _WRITTEN.fullmatch(str(value).lower())
        try:
            number = float(written[1]) if written else math.nan
        except ValueError:
            number = math.nan
        if written is None or not math.isfinite(number):
            self.fail(
                f"{value!r} is not a duration (write 10, 0.5, 500ms, 2min or 1h)",
                param,
                ctx,
            )
        unit = written[2] or "s"
        return number * UNITS["min" if unit == "m" else unit]


SECONDS = Seconds()


def in_words(seconds: float) -> str:
    """
    Return a duration for people to read; infinity is "never".

    Under ten seconds two decimals are kept, under a minute one, and then none.

    Args:
        seconds: How long, zero or more.

    >>> in_words(7875)
    '2 h 11 min 15 s'
    >>> in_words(0.2)
    '0.2 s'
    >>> in_words(math.inf)
    'never'
    """
    if math.isinf(seconds):
        return "never"
    rounded = round(seconds / _grain(seconds)) * _grain(seconds)
    if rounded < UNITS["min"]:
        return f"{rounded:.4g} s"
    rest = round(rounded)
    parts = []
    for unit in ("d", "h", "min", "s"):
        count, rest = divmod(rest, int(UNITS[unit]))
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts)


def rounded_down(seconds: float) -> float:
    """
    Return *seconds* cut to what ``in_words`` shows: for an "at least".

    Args:
        seconds: How long, zero or more.

    >>> in_words(rounded_down(4.979))
    '4.97 s'
    """
    if math.isinf(seconds):
        return seconds
    grain = _grain(seconds)
    return math.floor(seconds / grain * (1 + EXACT)) * grain


def rounded_up(seconds: float) -> float:
    """
    Return *seconds* raised to what ``in_words`` shows: for an "at most".

    Args:
        seconds: How long, zero or more.

    >>> in_words(rounded_up(4.971))
    '4.98 s'
    """
    if math.isinf(seconds):
        return seconds
    grain = _grain(seconds)
    return math.ceil(seconds / grain * (1 - EXACT)) * grain


def _grain(seconds: float) -> float:
    """The step, in seconds, between durations that are shown as different."""
    if seconds < 10:  # noqa: PLR2004 - as said above
        return 0.01
    return 0.1 if seconds < UNITS["min"] else 1.0
