"""A run read back from text: its JSON, or the page that holds it."""

import json
import math
from typing import Any

from deadpeer.errors import ConfigError
from deadpeer.lab.rendering.page import DATA_CLOSES, DATA_OPENS
from deadpeer.lab.scenario import Run

__all__ = ["run_from_text"]

# Added by the command line to what every verb prints.
VERB = "verb"


def run_from_text(text: str) -> Run:
    """
    Return the run that a file holds.

    Args:
        text: JSON as the command line prints it, or a whole page.

    Raises:
        ConfigError: It is neither, or of another version.
    """
    before, opened, rest = text.partition(DATA_OPENS)
    inside = rest.partition(DATA_CLOSES)[0] if opened else before
    try:
        data = json.loads(inside, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"this is no run of the lab: {error}",
            hint="give what --json printed, or a report",
            field="from",
        ) from error
    if isinstance(data, dict) and data.get(VERB) == "lab":
        del data[VERB]
    return Run.from_json(_readable(data))


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no finite number")
    return number


def _readable(data: Any) -> Any:
    """Return the data without characters that a terminal would obey."""
    match data:
        case str():
            return "".join(
                c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in data
            )
        case list():
            return [_readable(item) for item in data]
        case dict():
            return {key: _readable(value) for key, value in data.items()}
        case _:
            return data
