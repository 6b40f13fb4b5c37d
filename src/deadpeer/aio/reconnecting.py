"""
One peer after the other: connect again whenever a connection has ended.

::

    attempts = reconnecting("game.example", 7000)
    async for peer in attempts:
        try:
            async for message in peer:
                ...
        except PeerDead as verdict:
            print(verdict)          # the next round has the next connection
"""

import asyncio
import random
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from deadpeer.aio.arguments import require_kind, require_plain
from deadpeer.aio.connection import Connection
from deadpeer.aio.opening import Connecting, connect_peer
from deadpeer.errors import (
    ConfigError,
    DeadPeerError,
    PeerClosed,
    RemoteProtocolError,
)
from deadpeer.policy.backoff import Backoff

__all__ = ["Reconnecting", "is_final", "reconnecting"]

USUAL = Backoff()


@dataclass(slots=True)
class Reconnecting:
    """
    Connections to one peer, one after the other; made by ``reconnecting``.

    Args:
        connecting: How each of them is made.
        backoff: How long to wait before the next.
        on_retry: Called with why, and the seconds until the next attempt.
        chance: Draws a random number, 0 to 1, for each wait.

    Attributes:
        why: How the latest connection or attempt ended; None before the first has.
        failures: How many attempts in a row have come to nothing.
    """

    connecting: Connecting
    backoff: Backoff
    on_retry: Callable[[Exception, float], object] | None = None
    chance: Callable[[], float] = random.random
    why: Exception | None = field(default=None, init=False)
    failures: int = field(default=0, init=False)

    def __aiter__(self) -> AsyncIterator[Connection]:
        return self._connections()

    async def _connections(self) -> AsyncGenerator[Connection, None]:
        loop = asyncio.get_running_loop()
        while True:
            lasted = 0.0
            try:
                peer = await self.connecting
            except (DeadPeerError, OSError) as error:
                self.why = error
            else:
                began = loop.time()
                try:
                    yield peer
                finally:
                    lasted = loop.time() - began
                    await peer.close()
                self.why = peer.error
            if self.why is None or is_final(self.why):
                raise self.why or PeerClosed("closed")
            self.failures = self.backoff.following(self.failures, lasted=lasted)
            delay = self.backoff.delay(self.failures, chance=self.chance())
            if self.on_retry is not None:
                self.on_retry(self.why, delay)
            await asyncio.sleep(delay)


def is_final(error: Exception) -> bool:
    """
    Tell whether to connect again would end in the same way.

    So it would after a bad argument, a certificate that does not hold, and where the
    two ends cannot agree on a heartbeat. Everything else may pass: a server that is
    away, a balancer that answers for it in HTTP.

    Args:
        error: How a connection or an attempt ended.
    """
    if isinstance(error, RemoteProtocolError):
        return error.breach == "unacceptable-heartbeat"
    if isinstance(error, PeerClosed):
        return error.reason == "unacceptable"
    return isinstance(error, ConfigError | ssl.SSLCertVerificationError)


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

    Use it as ``async for peer in reconnecting(...)``. One round of the loop is one
    connection, which is closed when the round ends, whether its peer lives or not.
    What ends the round decides:

    - The body runs to its end, or ``continue``: the connection is closed, its end
      is kept as ``why``, and after a wait the next round has the next connection.
    - ``break`` or ``return``: the loop is over; the connection is closed as soon as
      the event loop has a turn.
    - An exception in the body, a ``PeerDead`` too, is the body's: it leaves the
      loop, and the connection is closed in the same way. Catch it in the body
      to go on. (A loop ``async for message in peer`` ends by itself at a goodbye.)

    Attempts that fail are repeated and do not begin a round. Waits are any length up
    to a ceiling that doubles with each failure in a row. A connection that lasted
    for less than ``backoff.steady`` seconds is a failure, too.

    The loop ends with an exception where another attempt would end in the same
    way: a bad argument, a certificate that does not hold, and a heartbeat on which
    the two ends cannot agree.

    Args:
        host: As for ``connect_peer``.
        port: As for ``connect_peer``.
        backoff: How long to wait.
        on_retry: Called with the error and the seconds until the next attempt. What
            it raises leaves the loop: so it can give up.
        **more: As for ``connect_peer``.

    Raises:
        ConfigError: A value cannot work.
        RemoteProtocolError: The peer's heartbeat is not acceptable.
        PeerClosed: This end's heartbeat is not acceptable to the peer.

    >>> async def play():
    ...     attempts = reconnecting("game.example", 7000)
    ...     async for peer in attempts:
    ...         if attempts.why is not None:
    ...             print(f"online again; {attempts.why}")
    ...         async for message in peer:
    ...             print(message)
    """
    require_plain("on_retry", on_retry, "error", "delay")
    hint = "give Backoff(first=0.5, cap=30)"
    require_kind("backoff", backoff, Backoff, hint=hint)
    if more.get("sock") is not None:
        raise ConfigError(
            "a socket connects once, and not again",
            hint="give host and port, or path=",
            field="sock",
            value=more["sock"],
        )
    return Reconnecting(connect_peer(host, port, **more), backoff, on_retry)
