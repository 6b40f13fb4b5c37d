"""Connect to a peer that speaks our protocol, from a thread."""

import ssl as tls
from collections.abc import Callable
from functools import partial
from typing import Any

from deadpeer.aio.opening import DEFAULT, USUAL, Connecting
from deadpeer.aio.opening import connect_peer as aio_connect_peer
from deadpeer.core.detectors.base import Detector
from deadpeer.core.events import Change
from deadpeer.core.limits import Limits
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.sync.background import Background, background
from deadpeer.sync.callbacks import for_threads
from deadpeer.sync.connection import Connection, facing

__all__ = ["connect_peer"]


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
) -> Connection:
    """
    Connect to a peer and agree on a heartbeat with it; return the connection.

    Use the connection as ``with``, which closes it at the end. Callbacks run on
    the background thread, which judges all peers of the process: they must not
    block. They may use ``send_nowait`` and ``abort``, and put things into queues.

    Args:
        host: Name or address; IPv4 and IPv6.
        port: TCP port.
        path: A Unix socket, in place of host and port.
        heartbeat: When to ask the peer, suspect and give it up. The peer may
            ask for more patience, up to what *limits* allow.
        within: Seconds for name lookup, connection, TLS and handshake together.
        limits: What the peer may ask for.
        ssl: As for ``asyncio.open_connection``.
        server_hostname: As for ``asyncio.open_connection``.
        on_message: Called with each message, in place of ``recv``.
        on_change: Called with each change of state.
        detector: An adaptive detector for suspicion, as an empty prototype.
        safety_net: Whether TCP keepalive is set beneath,
            three times as patient as the heartbeat.
        **more: Passed on to asyncio's ``create_connection``, such as
            ``local_addr``, ``sock`` or ``happy_eyeballs_delay``.

    Raises:
        ConfigError: Neither host and port nor a path or socket was given, or a
            callback is a coroutine function.
        ConnectionRefusedError: A machine is there, and says no.
        PeerTimedOut: Nobody agreed in time.
        RemoteProtocolError: Whoever is there does not speak this protocol.
        LocalProtocolError: The interpreter is ending, or this is a callback or
            runs inside an event loop, which must not wait.

    >>> def hello():
    ...     with connect_peer("game.example", 7000) as peer:
    ...         peer.send(b"move 3 4")
    ...         return peer.recv()
    """
    home = background()
    pending = aio_connect_peer(
        host,
        port,
        path=path,
        heartbeat=heartbeat,
        within=within,
        limits=limits,
        ssl=ssl,
        server_hostname=server_hostname,
        detector=detector,
        safety_net=safety_net,
        **for_threads(home, on_message=on_message, on_change=on_change),
        **more,
    )
    return home.call(partial(_opened, home, pending), rescue=Connection.abort)


async def _opened(home: Background, pending: Connecting) -> Connection:
    return facing(home, await pending)
