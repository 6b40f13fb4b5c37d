"""
One peer after the other, from a thread: connect again whenever a connection has ended.

::

    attempts = reconnecting("game.example", 7000)
    for peer in attempts:
        try:
            for message in peer:
                ...
        except PeerDead as verdict:
            print(verdict)          # the next round has the next connection
"""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

from deadpeer.aio.connection import Connection as AioConnection
from deadpeer.aio.reconnecting import USUAL
from deadpeer.aio.reconnecting import Reconnecting as AioReconnecting
from deadpeer.aio.reconnecting import reconnecting as aio_reconnecting
from deadpeer.policy.backoff import Backoff
from deadpeer.sync.background import Background, background
from deadpeer.sync.callbacks import for_threads, require_plain
from deadpeer.sync.connection import Connection, facing

__all__ = ["Reconnecting", "reconnecting"]


class Reconnecting:
    """
    Connections to one peer, one after the other; made by ``reconnecting``.

    Args:
        background: Where they are made.
        inner: Who makes them there.
    """

    def __init__(self, background: Background, inner: AioReconnecting) -> None:
        self._background = background
        self._inner = inner

    @property
    def why(self) -> Exception | None:
        """How the latest connection or attempt ended; None before the first has."""
        return self._inner.why

    @property
    def failures(self) -> int:
        """How many attempts in a row have come to nothing."""
        return self._inner.failures

    def __iter__(self) -> Iterator[Connection]:
        home = self._background
        made: Any = aiter(self._inner)
        try:
            while True:
                yield home.call(partial(_next, home, made), rescue=Connection.abort)
        finally:
            if not home.is_lost:
                # Nobody waits for the latest one to be closed, as nobody does there.
                home.tell(lambda: home.spawn(made.aclose()))


async def _next(home: Background, made: AsyncIterator[AioConnection]) -> Connection:
    return facing(home, await anext(made))


def reconnecting(
    host: str | None = None,
    port: int | None = None,
    *,
    backoff: Backoff = USUAL,
    on_retry: Callable[[Exception, float], object] | None = None,
    **more: Any,
) -> Reconnecting:
    """
    Return what yields a connection to a peer, and the next when that has ended.

    Use it as ``for peer in reconnecting(...)``. One round of the loop is one
    connection, which is closed when the round ends, whether its peer lives or not.
    What ends a round or the loop, and how long it waits in between, is the same as
    in ``deadpeer.aio.reconnecting``.

    Args:
        host: As for ``connect_peer``.
        port: As for ``connect_peer``.
        backoff: How long to wait.
        on_retry: Called on the background thread, where it must not block, with
            the error and the seconds until the next attempt. What it raises
            leaves the loop: so it can give up.
        **more: As for ``connect_peer``.

    Raises:
        ConfigError: A value cannot work.
        RemoteProtocolError: The peer's heartbeat is not acceptable.
        PeerClosed: This end's heartbeat is not acceptable to the peer.
        LocalProtocolError: The interpreter is ending.

    >>> def play():
    ...     attempts = reconnecting("game.example", 7000)
    ...     for peer in attempts:
    ...         if attempts.why is not None:
    ...             print(f"online again; {attempts.why}")
    ...         for message in peer:
    ...             print(message)
    """
    require_plain("on_retry", on_retry, "error", "delay")
    home = background()
    told = {name: more.pop(name, None) for name in ("on_message", "on_change")}
    more |= for_threads(home, **told)
    inner = aio_reconnecting(host, port, backoff=backoff, on_retry=on_retry, **more)
    return Reconnecting(home, inner)
