"""
What a watch does, as its options or a file of rules say; the file can be read again.

The file is TOML, its keys are the options' names. What it says counts instead of the
option; what it leaves out is as the options say.

Source: TOML 1.0.0, https://toml.io/en/v1.0.0.
"""

import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from deadpeer.cli.selecting import Where
from deadpeer.errors import ConfigError
from deadpeer.host.changes import ChangeKind
from deadpeer.host.judgement import WITHIN
from deadpeer.host.notify import require_command, require_url
from deadpeer.host.selection import Selection
from deadpeer.policy.keepalive import require_seconds

__all__ = ["Rules", "read_rules"]

WHERE = {part.name for part in fields(Where)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """
    What a watch does.

    Args:
        where: Which connections are watched.
        within: How soon a death should be noticed, in seconds.
        on: Commands, each with the change that it is run for.
        webhooks: URLs that are called with changes.
    """

    where: Where
    within: float = WITHIN
    on: tuple[tuple[ChangeKind, str], ...] = ()
    webhooks: tuple[str, ...] = ()

    def selection(self) -> Selection:
        """
        Return which connections are watched.

        Raises:
            ConfigError: The filter is none, *within* is no duration, or a command or
                webhook is none that can be told.
        """
        require_seconds("within", self.within)
        made = self.where.selection(within=self.within)
        made.filter  # noqa: B018 - raises if it is none
        for _, told in self.on:
            require_command(told)
        for url in self.webhooks:
            require_url(url)
        return made


def read_rules(path: str, base: Rules) -> Rules:
    """
    Return what a file of rules says, over what the options say.

    Args:
        path: The file.
        base: What the options say.

    Raises:
        ConfigError: The file cannot be read, or says what makes no sense.
    """
    try:
        text, is_pipe = _read(path)
        data = tomllib.loads(text.decode())
    except OSError as error:
        raise _wrong(path, error.strerror or str(error)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _wrong(path, str(error)) from error
    if is_pipe and not text:
        raise _wrong(path, "it is a pipe, which can be read once only")
    unknown = sorted(data.keys() - READERS.keys())
    if unknown:
        known = ", ".join(READERS)
        raise _wrong(path, f"it says {unknown[0]!r}, and may say: {known}")
    found: dict[str, Any] = {}
    for key, value in data.items():
        name, read = READERS[key]
        try:
            found[name] = read(value)
        except (TypeError, ValueError) as error:
            raise _wrong(path, f"{key}: {error}") from error
    chosen = {name: found.pop(name) for name in WHERE & found.keys()}
    rules = replace(base, where=replace(base.where, **chosen), **found)
    rules.selection()
    return rules


def _read(path: str) -> tuple[bytes, bool]:
    """Return what is in a file, and whether that is a pipe."""
    # A named pipe would wait for a writer, and a watch that runs with it.
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(opened, True)
    with os.fdopen(opened, "rb") as file:
        return file.read(), stat.S_ISFIFO(os.fstat(opened).st_mode)


def _texts(value: Any) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(x, str) for x in texts):
        raise TypeError(f"{value!r} is neither text nor a list of texts")
    return tuple(texts)


def _names(value: Any) -> tuple[str, ...]:
    names = _texts(value)
    if not all(name.strip() for name in names):
        raise ValueError("a name is empty")
    return names


def _numbers(value: Any) -> tuple[int, ...]:
    numbers = [value] if isinstance(value, int) else value
    if not isinstance(numbers, list) or not all(type(x) is int for x in numbers):
        raise TypeError(f"{value!r} is neither a process number nor a list of them")
    return tuple(numbers)


def _seconds(value: Any) -> float:
    require_seconds("within", value)
    return float(value)


def _commands(value: Any) -> tuple[tuple[ChangeKind, str], ...]:
    if not isinstance(value, Mapping):
        raise TypeError("it is a table, such as: [on] and dead = 'COMMAND'")
    kinds = ", ".join(ChangeKind)
    for key in value:
        if key not in set(ChangeKind):
            raise ValueError(f"{key!r} is none of {kinds}")
    return tuple(
        (ChangeKind(key), command)
        for key, commands in value.items()
        for command in _texts(commands)
    )


READERS = {
    "filter": ("words", _texts),
    "pid": ("pids", _numbers),
    "process": ("processes", _names),
    "user": ("users", _names),
    "within": ("within", _seconds),
    "on": ("on", _commands),
    "webhook": ("webhooks", _texts),
}


def _wrong(path: str, what: str) -> ConfigError:
    return ConfigError(
        f"{path}: {what}",
        hint="see: deadpeer watch, in docs/reference/cli.md",
        field="rules",
        value=path,
    )
