"""
Frozen dataclasses to plain JSON data and back, guided by their annotations.

JSON knows no infinity; a field that is a ``float`` and never None is written
as null where it is ``math.inf``, and read back as that.
"""

import math
import types
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from deadpeer.errors import ConfigError

__all__ = ["from_plain", "to_plain"]

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """
    Return a value as dicts, lists, numbers and text.

    >>> to_plain((1, math.inf, "x"))
    [1, None, 'x']
    """
    if is_dataclass(value) and not isinstance(value, type):
        # What a value works out by itself is not written.
        given = [f.name for f in fields(value) if f.init]
        return {name: to_plain(getattr(value, name)) for name in given}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, float) and math.isinf(value):
        return None
    return value


def from_plain(kind: type[T], data: Any) -> T:
    """
    Return the value of a type that `to_plain` wrote.

    Args:
        kind: A dataclass, an enumeration, a number, text, a tuple of those or
            one of those or None.
        data: What ``json.loads`` gave.

    Raises:
        ConfigError: The data has another form.

    >>> from_plain(float, None)
    inf
    """
    try:
        result: T = _read(kind, data)
    except (TypeError, ValueError, KeyError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f"this is no {kind.__name__}: {error}",
            hint="was the record changed, or written by another version?",
        ) from error
    return result


def _read(kind: Any, data: Any) -> Any:
    if get_origin(kind) is not None:
        return _read_generic(kind, data)
    if kind is float:
        return math.inf if data is None else _number(data)
    if is_dataclass(kind):
        return _read_dataclass(kind, _expect(dict, data))
    if issubclass(kind, Enum):
        return kind(data)
    return _expect(kind, data)


def _read_generic(kind: Any, data: Any) -> Any:
    """Read ``X | None`` or ``tuple[X, ...]``."""
    if get_origin(kind) is tuple:
        inner, _ = get_args(kind)
        return tuple(_read(inner, item) for item in _expect(list, data))
    if data is None:
        return None
    (inner,) = (arg for arg in get_args(kind) if arg is not types.NoneType)
    return _read(inner, data)


def _read_dataclass(kind: Any, data: dict[str, Any]) -> Any:
    hints = get_type_hints(kind)
    known = {f.name: f for f in fields(kind) if f.init}
    strange = sorted(set(data) - set(known))
    if strange:
        raise ValueError(f"unknown fields {', '.join(strange)}")
    required = (
        name
        for name, f in known.items()
        if f.default is MISSING and f.default_factory is MISSING
    )
    missing = sorted(set(required) - set(data))
    if missing:
        raise ValueError(f"missing fields {', '.join(missing)}")
    return kind(**{name: _read(hints[name], value) for name, value in data.items()})


def _number(data: Any) -> float:
    if isinstance(data, bool) or not isinstance(data, int | float):
        raise TypeError(f"{data!r} is not a number")
    return data


def _expect(kind: Any, data: Any) -> Any:
    if not isinstance(data, kind) or (kind is int and isinstance(data, bool)):
        raise TypeError(f"{data!r} is not {kind.__name__}")
    return data
