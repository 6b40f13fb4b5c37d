"""
Callbacks of a program of threads: looked at, and told what such a program knows.

They run on the background thread, where they must not wait, so none of them is a
coroutine function.
"""

from collections.abc import Callable
from typing import Any

from deadpeer.aio import arguments
from deadpeer.aio.connection import Connection as AioConnection
from deadpeer.sync.background import Background
from deadpeer.sync.connection import facing

__all__ = ["for_threads", "require_plain", "require_verdict_callbacks"]


def require_plain(name: str, callback: Any, *takes: str) -> None:
    """
    Refuse a callback that nobody could call, or whose coroutine nobody would await.

    Args:
        name: The name of the argument.
        callback: What was given; None is none.
        *takes: The names of what it is called with.

    Raises:
        ConfigError: It is no such function.
    """
    instead = "give a plain function; coroutines belong to deadpeer.aio"
    arguments.require_plain(name, callback, *takes, instead=instead)


def require_verdict_callbacks(*, on_dead: Any, on_change: Any) -> None:
    """
    Refuse what a guard or a watch could not call.

    Args:
        on_dead: What was given to be called with the verdict.
        on_change: What was given to be called with each change.

    Raises:
        ConfigError: One of them is no plain function.
    """
    require_plain("on_dead", on_dead, "verdict")
    require_plain("on_change", on_change, "change")


def for_threads(
    background: Background, *, on_message: Any, on_change: Any
) -> dict[str, Callable[[AioConnection, Any], object] | None]:
    """
    Return a connection's callbacks, which are told the face of it, by their names.

    Args:
        background: Where the connections live.
        on_message: What was given to be called with each message.
        on_change: What was given to be called with each change.

    Raises:
        ConfigError: One of them is no plain function.
    """
    require_plain("on_message", on_message, "peer", "message")
    require_plain("on_change", on_change, "peer", "change")
    return {
        "on_message": _told_the_face(background, on_message),
        "on_change": _told_the_face(background, on_change),
    }


def _told_the_face(
    background: Background, callback: Any
) -> Callable[[AioConnection, Any], object] | None:
    if callback is None:
        return None
    return lambda inner, told: callback(facing(background, inner), told)
