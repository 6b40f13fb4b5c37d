"""What a server makes of its handler: what it returned, and what it raised."""

import asyncio
import inspect
from collections.abc import Awaitable
from typing import Any

from deadpeer.aio.connection import Connection
from deadpeer.errors import ConfigError

__all__ = ["awaited", "is_end_of", "tell_failure"]


def is_end_of(peer: Connection, error: BaseException) -> bool:
    """
    Tell whether an error is how a connection ended, and nothing else.

    Args:
        peer: The connection.
        error: What was raised; a group of errors, perhaps, by a task group.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(is_end_of(peer, part) for part in error.exceptions)
    return error is peer.error


def awaited(given: Any) -> Awaitable[object]:
    """
    Return what a handler returned, if it can be awaited.

    Args:
        given: What it returned.

    Raises:
        ConfigError: It is a plain function, and has returned.
    """
    if not inspect.isawaitable(given):
        raise ConfigError(
            f"handler returned {given!r}, which cannot be awaited",
            hint="give a coroutine function: async def handler(peer)",
            field="handler",
            value=given,
        )
    return given


def tell_failure(peer: Connection, error: Exception) -> None:
    """
    Tell the loop of a handler that failed, unless its own peer's end is all there is.

    Args:
        peer: Whose handler it was.
        error: What was raised. The end of another peer may be a fault.
    """
    if not is_end_of(peer, error):
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"the handler of {peer!r} failed", "exception": error}
        )
