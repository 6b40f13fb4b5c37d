"""
asyncio's ``open_connection``, protected before its first packet leaves.

The settings are put on each socket before it connects, and connecting itself is
bounded: the kernel alone would try for more than two minutes.
"""

import asyncio
import socket
import ssl as tls
from collections.abc import Callable, Coroutine
from typing import Any

from deadpeer.aio.attempts import AddressInfo, Attempt, connected, interleaved
from deadpeer.aio.targets import encryption
from deadpeer.errors import PeerTimedOut
from deadpeer.kernel.connecting import (
    longer_path,
    require_address,
    require_timeout,
    unencodable,
)
from deadpeer.kernel.planning import plan_here
from deadpeer.kernel.protection import protect, require_one
from deadpeer.kernel.sockets import text_of
from deadpeer.policy import Keepalive, Plan
from deadpeer.policy.keepalive import require_seconds

__all__ = ["open_connection"]

LIMIT = 2**16  # bytes; asyncio/streams.py has the same


async def open_connection(
    host: str | None,
    port: int | str,
    *,
    within: float | None = None,
    keepalive: Keepalive | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - as create_connection has it
    rtt: float | None = None,
    allow_stalled_reader: bool = False,
    limit: int = LIMIT,
    ssl: tls.SSLContext | bool | None = None,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    family: int = 0,
    flags: int = 0,
    local_addr: tuple[str, int] | None = None,
    happy_eyeballs_delay: float | None = None,
    interleave: int | None = None,
    all_errors: bool = False,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """
    Connect like ``asyncio.open_connection``, protected from the first packet.

    One deadline holds for all addresses of the name together. Tried one after
    another, each gets an even share of what is left; with
    *happy_eyeballs_delay* they race, and each has until the deadline. Looking up
    the name is outside of it, and a TLS handshake has its own.

    Args:
        host: The name or address of the host.
        port: The number or name of the port.
        within: Seconds from the peer's death to the error, from the connect on.
            Give this or *keepalive*.
        keepalive: Values of one's own, in place of a promise.
        timeout: Seconds for connecting. None takes *within*; with *keepalive* it
            is left to the system, which tries for more than two minutes.
        rtt: The longest round trip of the path, in seconds. None takes a usual
            one; if the connection turns out longer, it is planned for that.
        allow_stalled_reader: As for ``protect``.
        limit: How many bytes the reader buffers before it pauses the peer.
        ssl: A context, or True for the usual one; None speaks no TLS.
        server_hostname: The name to check the certificate for, if not *host*.
        ssl_handshake_timeout: Seconds for the TLS handshake; as many as for
            connecting if None.
        ssl_shutdown_timeout: Seconds for the end of TLS, as in asyncio.
        family: The address family to look up; 0 for any.
        flags: Flags for ``getaddrinfo``.
        local_addr: Where to connect from, host and port.
        happy_eyeballs_delay: Seconds before the next address is tried as well
            (RFC 8305 recommends 0.25). None tries one after another.
        interleave: How many addresses of the first family come before the
            families take turns; 1 if addresses race, and as they were found if
            they do not.
        all_errors: Raise an ``ExceptionGroup`` of every address's error, not
            the last one alone.

    Returns:
        The reader and the writer. ``deadpeer.inspect(writer)`` says what is in
        force; ``deadpeer.map_errors`` turns later errors into verdicts.

    Raises:
        ConfigError: An argument cannot work, or the promise cannot be kept, in
            general or at the round trip that was measured; the connection is
            closed then.
        UnsupportedError: This system cannot give a promise.
        AccessDenied: A sandbox forbids to set options.
        KernelRefused: The kernel does not take the settings.
        PeerTimedOut: Nothing answered before the deadline, or not in TLS.
        PeerUnreachable: There is no way to the address.
        ConnectionRefusedError: The peer lives and does not listen.
        OSError: The name was not found, or the local address is not here.
    """
    require_one(within, keepalive)
    _require_usable(host, port, local_addr, happy_eyeballs_delay)
    for seconds in (timeout, ssl_handshake_timeout, ssl_shutdown_timeout):
        if seconds is not None:
            require_timeout(seconds)
    patience = within if timeout is None else timeout
    encrypted = encryption(
        ssl,
        host if server_hostname is None else server_hostname,
        handshake=patience if ssl_handshake_timeout is None else ssl_handshake_timeout,
        shutdown=ssl_shutdown_timeout,
    )
    settings = None
    if within is not None:
        # The first plan of its kind takes some hundredths of a second to make.
        settings = await asyncio.to_thread(
            plan_here,
            within=within,
            rtt=rtt,
            allow_stalled_reader=allow_stalled_reader,
        )
    wanted = settings.keepalive if settings else keepalive or Keepalive()
    found = await _looked_up(host, port, family=family, flags=flags, name="address")
    here = None
    if local_addr is not None:
        here = await _looked_up(*local_addr[:2], family=family, name="local_addr")
    if interleave or (interleave is None and happy_eyeballs_delay is not None):
        found = interleaved(found, interleave or 1)
    sock = await connected(
        [Attempt(info, here, wanted) for info in found],
        happy_eyeballs_delay,
        patience,
        all_errors=all_errors,
    )
    if settings is not None and rtt is None:
        await _replanned(sock, settings, allow_stalled_reader=allow_stalled_reader)
    return await _streams(sock, limit, encrypted)


async def _streams(
    sock: socket.socket, limit: int, encrypted: dict[str, Any]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    peer = text_of(sock.getpeername())
    owned = False

    def protocol_made() -> asyncio.StreamReaderProtocol:
        nonlocal owned
        owned = True  # by its transport from here on, which closes it
        return protocol

    reader = asyncio.StreamReader(limit=limit, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    create: Callable[..., Coroutine[Any, Any, tuple[Any, Any]]] = loop.create_connection
    try:
        transport, _ = await create(protocol_made, sock=sock, **encrypted)
    except ConnectionAbortedError as error:
        if error.errno is not None or "ssl_handshake_timeout" not in encrypted:
            raise
        seconds = encrypted["ssl_handshake_timeout"]
        raise PeerTimedOut(
            f"{peer} did not finish the TLS handshake in {seconds:.3g} s", peer=peer
        ) from error
    finally:
        if not owned:
            sock.close()
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def _looked_up(
    host: str | None, port: int | str, *, family: int, flags: int = 0, name: str
) -> list[AddressInfo]:
    try:
        return await asyncio.get_running_loop().getaddrinfo(
            host, port, family=family, type=socket.SOCK_STREAM, flags=flags
        )
    except UnicodeError as error:
        raise unencodable(name, host, error) from error


def _require_usable(
    host: str | None,
    port: int | str,
    local_addr: tuple[str, int] | None,
    delay: float | None,
) -> None:
    require_address("address", (host, port), lengths=(2,))
    if local_addr is not None:
        require_address("local_addr", local_addr, lengths=(2, 4))
    if delay is not None:
        require_seconds("happy_eyeballs_delay", delay, zero=True)


async def _replanned(
    sock: socket.socket, settings: Plan, *, allow_stalled_reader: bool
) -> None:
    """Plan anew for a path that is longer than usual; close it if that cannot be."""
    try:
        measured = longer_path(sock, settings)
        if measured is not None:
            await asyncio.to_thread(
                protect,
                sock,
                within=settings.within,
                rtt=measured,
                allow_stalled_reader=allow_stalled_reader,
            )
    except BaseException:
        sock.close()
        raise
