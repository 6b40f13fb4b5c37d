"""Connect to a peer that speaks our protocol."""

import asyncio
import dataclasses
import functools
import ssl as tls
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from deadpeer.aio.connection import Connection
from deadpeer.aio.patience import Patience
from deadpeer.aio.settings import Settings
from deadpeer.aio.targets import (
    encryption,
    place_to_connect,
    refusals,
    require_taken,
)
from deadpeer.core.detectors.base import Detector
from deadpeer.core.events import Change
from deadpeer.core.limits import Limits
from deadpeer.errors import ConfigError, PeerTimedOut
from deadpeer.kernel.sockets import peer_name
from deadpeer.kernel.verdicts import verdict_on
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.policy.keepalive import require_seconds

__all__ = ["Connecting", "connect_peer"]

DEFAULT = Heartbeat()
USUAL = Limits()

# Seconds for TLS's handshake alone: it is bounded together with the rest, and
# asyncio's own limit would not know a loop that was blocked.
UNBOUNDED = 86_400.0


@dataclass(slots=True, eq=False)
class Connecting:
    """
    A connection to be: await it, or use it as ``async with``.

    Args:
        settings: What the connection is made with.
        target: Keywords for the loop's ``create_connection`` or
            ``create_unix_connection``.
        within: Seconds for connection, TLS and handshake together.
    """

    settings: Settings
    target: dict[str, Any]
    within: float
    _made: Connection | None = field(default=None, init=False)

    def __await__(self) -> Generator[Any, None, Connection]:
        return self._open().__await__()

    async def __aenter__(self) -> Connection:
        self._made = await self._open()
        return self._made

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._made is not None:
            await self._made.close()

    async def _open(self) -> Connection:
        settled = asyncio.get_running_loop().create_future()

        def settle(_peer: Connection) -> None:
            if not settled.done():
                settled.set_result(None)

        settings = dataclasses.replace(self.settings, on_open=settle, on_gone=settle)
        peer: Connection | None = None
        try:
            async with Patience(self.within):
                peer = await self._connect(settings)
                await settled
        except TimeoutError as error:
            if isinstance(error, PeerTimedOut):
                raise  # the kernel's
            if peer is None:
                raise self._nobody() from None
            if settled.cancelled():
                peer.abort()
                raise self._no_greeting() from None
        except BaseException:
            if peer is not None:
                peer.abort()
            raise
        # What it said before it left is still to be had.
        if peer.error is not None and not peer.stats().unread_messages:
            raise peer.error
        return peer

    def _nobody(self) -> PeerTimedOut:
        return PeerTimedOut(
            f"no peer answered at {self._where()} within {self.within:g} s",
            hint="is it there, and does a firewall let it through?",
        )

    def _no_greeting(self) -> PeerTimedOut:
        return PeerTimedOut(
            f"{self._where()} is connected, and did not greet within {self.within:g} s",
            hint="does it speak deadpeer's own protocol?",
        )

    async def _connect(self, settings: Settings) -> Connection:
        loop = asyncio.get_running_loop()
        connect: Any = loop.create_connection
        if "path" in self.target:
            connect = loop.create_unix_connection
        require_taken(connect, self.target)
        made = functools.partial(Connection, settings)
        try:
            with refusals(self.target):
                _, peer = await connect(made, **self.target)
        except OSError as error:
            kind = verdict_on(error, established=False)
            if kind is None:
                raise
            where = self._where()
            raise kind(f"{where}: {error}", peer=where, errno=error.errno) from error
        return peer  # type: ignore[no-any-return]

    def _where(self) -> str:
        if "path" in self.target:
            return str(self.target["path"])
        if "sock" in self.target:
            return peer_name(self.target["sock"]) or "the socket"
        return f"{self.target.get('host')}:{self.target.get('port')}"


def connect_peer(
    host: str | None = None,
    port: int | None = None,
    *,
    path: str | None = None,
    heartbeat: Heartbeat = DEFAULT,
    within: float = 10.0,
    limits: Limits = USUAL,
    ssl: "tls.SSLContext | bool | None" = None,
    server_hostname: str | None = None,
    on_message: Callable[[Connection, bytes], object] | None = None,
    on_change: Callable[[Connection, Change], object] | None = None,
    detector: Detector | None = None,
    safety_net: bool = True,
    **more: Any,
) -> Connecting:
    """
    Connect to a peer and agree on a heartbeat with it.

    ``await`` it for the connection, or use it as ``async with``, which closes
    the connection at the end.

    Args:
        host: Name or address; IPv4 and IPv6.
        port: TCP port.
        path: A Unix socket, in place of host and port.
        heartbeat: When to ask the peer, suspect and give it up. The peer may
            ask for more patience, up to what *limits* allow.
        within: Seconds for name lookup, connection, TLS and handshake together.
            For how long this loop was blocked meanwhile does not count.
        limits: What the peer may ask for.
        ssl: As for ``asyncio.open_connection``.
        server_hostname: As for ``asyncio.open_connection``.
        on_message: Called with each message, in place of ``recv``.
        on_change: Called with each change of state.
        detector: An adaptive detector for suspicion, as an empty prototype.
        safety_net: Whether TCP keepalive is set beneath,
            three times as patient as the heartbeat.
        **more: Passed on to the loop's ``create_connection``, such as
            ``local_addr``, ``sock`` or ``happy_eyeballs_delay``.

    Raises:
        ConfigError: Not exactly one of host and port, a path and a socket was
            given, a value cannot work, or there is no such argument.
        UnsupportedError: The event loop at hand has no such keyword.
        ConnectionRefusedError: A machine is there, and says no.
        PeerTimedOut: Nobody agreed in time.
        PeerUnreachable: There is no way to the address.
        PeerClosed: The peer said goodbye instead of agreeing.
        PeerReset: The peer hung up instead of agreeing.
        RemoteProtocolError: Whoever is there does not speak this protocol.
        OSError: The name was not found, or another of the system's errors.

    >>> async def hello():
    ...     async with connect_peer("game.example", 7000) as peer:
    ...         await peer.send(b"move 3 4")
    ...         return await peer.recv()
    """
    require_seconds("within", within)
    target = {**more, **place_to_connect(host, port, path, more)}
    if server_hostname is not None and not ssl:
        raise ConfigError(
            f"server_hostname={server_hostname!r} has a meaning with TLS alone",
            hint="give ssl=True as well",
            field="server_hostname",
            value=server_hostname,
        )
    name = host if server_hostname is None else server_hostname
    target |= encryption(ssl, name, handshake=UNBOUNDED)
    settings = Settings(
        heartbeat=heartbeat,
        limits=limits,
        safety_net=safety_net,
        on_message=on_message,
        on_change=on_change,
        detector=detector,
    )
    return Connecting(settings, target, float(within))
