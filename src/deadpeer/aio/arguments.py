"""What a program hands in, looked at before anything is done with it."""

import inspect
from typing import Any

from deadpeer.core.limits import Limits
from deadpeer.errors import ConfigError
from deadpeer.policy.heartbeat import Heartbeat

__all__ = [
    "require_callable",
    "require_detector",
    "require_heartbeat",
    "require_kind",
    "require_limits",
    "require_plain",
    "require_port",
]

HIGHEST_PORT = 65535


def require_plain(
    name: str,
    callback: Any,
    *takes: str,
    instead: str = "give a plain function, such as one that creates a task",
) -> None:
    """
    Refuse a callback that nobody could call, or whose coroutine nobody would await.

    Args:
        name: The name of the argument.
        callback: What was given; None is none.
        *takes: The names of what it is called with.
        instead: What to give in place of a coroutine function.

    Raises:
        ConfigError: It is no such function.
    """
    if inspect.iscoroutinefunction(callback):
        raise ConfigError(
            f"{name} is a coroutine function, which nobody would await",
            hint=instead,
            field=name,
            value=callback,
        )
    require_callable(name, callback, *takes)


def require_callable(name: str, callback: Any, *takes: str) -> None:
    """
    Refuse a callback that nobody could call with these arguments.

    Args:
        name: The name of the argument.
        callback: What was given, a coroutine function perhaps; None is none.
        *takes: The names of what it is called with.

    Raises:
        ConfigError: It is no function, or takes something else.
    """
    if callback is None:
        return
    call = f"{name}({', '.join(takes)})"
    if not callable(callback):
        raise ConfigError(
            f"{name}={callback!r} cannot be called",
            hint=f"give a function that is called as {call}",
            field=name,
            value=callback,
        )
    try:
        signature = inspect.signature(callback)
    except (TypeError, ValueError):
        return  # one in C that does not tell what it takes
    try:
        signature.bind(*takes)
    except TypeError as error:
        raise ConfigError(
            f"{name} cannot be called as {call}: {error}",
            hint=f"give a function that takes {len(takes)}, as does def {call}",
            field=name,
            value=callback,
        ) from None


def require_kind(name: str, value: Any, kind: type, *, hint: str) -> None:
    """
    Refuse what is of another type.

    Args:
        name: The name of the argument.
        value: What was given.
        kind: The type that it has to be of.
        hint: What to give.

    Raises:
        ConfigError: It is of another.
    """
    if not isinstance(value, kind):
        raise ConfigError(
            f"{name}={value!r} is no {kind.__name__}",
            hint=hint,
            field=name,
            value=value,
        )


def require_heartbeat(value: Any) -> None:
    """
    Refuse what is no heartbeat, such as a number of seconds.

    Args:
        value: What was given.

    Raises:
        ConfigError: It is something else.
    """
    hint = "give Heartbeat(interval=20, timeout=10), or Heartbeat.within(30)"
    require_kind("heartbeat", value, Heartbeat, hint=hint)


def require_detector(value: Any) -> None:
    """
    Refuse what is no detector, such as the class of one.

    Args:
        value: What was given; None is none.

    Raises:
        ConfigError: It is something else.
    """
    names = ("beat", "deadline", "fresh")
    is_one = all(callable(getattr(value, name, None)) for name in names)
    if value is not None and (not is_one or isinstance(value, type)):
        raise ConfigError(
            f"detector={value!r} is no detector",
            hint="give one that was told nothing yet, such as Chen(interval=20)",
            field="detector",
            value=value,
        )


def require_limits(value: Any) -> None:
    """
    Refuse what is no ``Limits``, such as one of them.

    Args:
        value: What was given.

    Raises:
        ConfigError: It is something else.
    """
    hint = "give deadpeer.core.limits.Limits(largest_message=…)"
    require_kind("limits", value, Limits, hint=hint)


def require_port(value: Any, *, lowest: int) -> None:
    """
    Refuse a number that is no TCP port. Names of services are looked up later.

    Args:
        value: What was given.
        lowest: 1 to connect to, 0 where a free one may be taken.

    Raises:
        ConfigError: It is no such number.
    """
    is_number = isinstance(value, int) and not isinstance(value, bool)
    fits = lowest <= value <= HIGHEST_PORT if is_number else isinstance(value, str)
    if not fits:
        raise ConfigError(
            f"port={value!r} is no TCP port",
            hint=f"give {lowest} to {HIGHEST_PORT}",
            field="port",
            value=value,
        )
