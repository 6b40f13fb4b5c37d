"""Serve peers that speak our protocol, and know who is online."""

import asyncio
import dataclasses
import functools
import ssl as tls
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from deadpeer.aio.arguments import require_callable
from deadpeer.aio.changes import Broadcast
from deadpeer.aio.connection import Connection
from deadpeer.aio.handlers import awaited, tell_failure
from deadpeer.aio.registry import Registry
from deadpeer.aio.settings import Settings
from deadpeer.aio.targets import (
    place_to_serve,
    refusals,
    require_context,
    require_taken,
)
from deadpeer.core.detectors.base import Detector
from deadpeer.core.events import Change, Closed, Died
from deadpeer.core.frames import Farewell
from deadpeer.core.limits import Limits
from deadpeer.errors import LocalProtocolError
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.policy.keepalive import require_seconds

__all__ = ["Server", "serve_peers"]

DEFAULT = Heartbeat()
USUAL = Limits()

# Seconds for what should take none: a handler that is cancelled, a socket.
PATIENCE = 1.0

Handler = Callable[[Connection], Awaitable[object]]


class Server:
    """
    A server; await it or use it as ``async with`` to start it.

    Args:
        settings: What its connections share.
        handler: Called with each peer that has agreed, in a task of its own.
        target: Keywords for the loop's ``create_server`` or
            ``create_unix_server``.

    Attributes:
        registry: Who is online.
    """

    def __init__(
        self, settings: Settings, handler: Handler | None, target: dict[str, Any]
    ) -> None:
        self.registry = Registry()
        self._settings = dataclasses.replace(
            settings,
            on_made=self._made,
            on_open=self._opened,
            on_gone=self._left,
            on_change=self._changed,
        )
        self._on_change = settings.on_change
        self._handler = handler
        self._target = target
        self._server: asyncio.Server | None = None
        self._starting = asyncio.Lock()
        self._is_closing = False
        self._over = asyncio.Event()
        self._apart: set[Connection] = set()  # on their way in, or out
        self._tasks: set[asyncio.Task[None]] = set()
        # Goodbyes and handlers, each with what is waited for in its place.
        self._awaited: dict[asyncio.Future[None], asyncio.Future[None]] = {}
        self._news: Broadcast[tuple[Connection, Change]] = Broadcast()

    def __await__(self) -> Generator[Any, None, Self]:
        return self._start().__await__()

    async def __aenter__(self) -> Self:
        return await self._start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _start(self) -> Self:
        async with self._starting:
            if self._server is None:  # else ``async with`` on one that was awaited
                self._server = await self._listen()
        return self

    async def _listen(self) -> asyncio.Server:
        self._require_unclosed()
        loop = asyncio.get_running_loop()
        create: Any = loop.create_server
        if "path" in self._target:
            create = loop.create_unix_server
        require_taken(create, self._target)
        made = functools.partial(Connection, self._settings)
        with refusals(self._target):
            server: asyncio.Server = await create(made, **self._target)
        try:
            self._require_unclosed()  # meanwhile
        except LocalProtocolError:
            server.close()
            raise
        return server

    def _require_unclosed(self) -> None:
        if self._is_closing:
            raise LocalProtocolError(
                "this server was closed",
                hint="make a new one: serve_peers(...) for each",
                breach="closed",
            )

    def _require_started(self) -> None:
        if self._server is None and not self._is_closing:
            raise LocalProtocolError(
                "this server was not started",
                hint="await it, or use it as async with",
                breach="not-started",
            )

    @property
    def sockets(self) -> tuple[Any, ...]:
        """
        The sockets that it listens on; none after its end.

        Raises:
            LocalProtocolError: It was not started.
        """
        self._require_started()
        return () if self._server is None else tuple(self._server.sockets)

    @property
    def port(self) -> int:
        """
        The port that it listens on; 0 for a Unix socket, and after its end.

        Raises:
            LocalProtocolError: It was not started.
        """
        name = self.sockets[0].getsockname() if self.sockets else ()
        return int(name[1]) if isinstance(name, tuple) and len(name) > 1 else 0

    def changes(self) -> AsyncIterator[tuple[Connection, Change]]:
        """Return an iterator of peers and what changed with them, from now on."""
        return self._news.follow(ended=self._over.is_set())

    async def serve_forever(self) -> None:
        """
        Wait until the server is closed; peers are served without this, too.

        Raises:
            LocalProtocolError: It was not started.
        """
        self._require_started()
        await self._over.wait()

    async def close(self, *, within: float = 5.0) -> None:
        """
        Accept no more, say goodbye to every peer, and wait for the handlers.

        A handler may call it; it is not waited for then. While it is being closed,
        another call waits for the same.

        Args:
            within: Seconds for all of that; then, or if this is cancelled,
                connections are aborted and handlers cancelled.

        Raises:
            ConfigError: *within* is no number of seconds.
        """
        within = require_seconds("within", within, zero=True)
        server, self._server = self._server, None
        if server is not None:
            server.close()
        if not self._is_closing:
            self._is_closing = True
            self._say_goodbye(within)
        own = asyncio.current_task()
        if own is not None and own in self._awaited:
            self._awaited[own].cancel()  # nobody waits for who waits here
        try:
            if self._awaited:
                await asyncio.wait(self._awaited.values(), timeout=within)
        finally:
            try:
                await self._cut_off()
            finally:  # cancelled again, perhaps by a handler that was cut off
                self._end()
        if server is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await server.wait_closed()

    def _say_goodbye(self, within: float) -> None:
        for peer in self._all:
            goodbye = asyncio.ensure_future(
                peer.close(Farewell.GOING_AWAY, within=within)
            )
            self._awaited[goodbye] = goodbye
        for task in self._tasks:
            self._awaited[task] = asyncio.shield(task)

    def _end(self) -> None:
        if not self._over.is_set():
            self._awaited.clear()
            self._news.end()
            self._over.set()

    async def _cut_off(self) -> None:
        for peer in self._all:
            peer.abort()
        late = [task for task, waiting in self._awaited.items() if not waiting.done()]
        for task in late:
            task.cancel()
        _, stuck = await asyncio.wait(late, timeout=PATIENCE) if late else ((), ())
        for task in stuck:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a handler goes on after it was cancelled", "task": task}
            )

    @property
    def _all(self) -> tuple[Connection, ...]:
        return (*self._apart, *self.registry)

    # What its connections tell.

    def _made(self, peer: Connection) -> None:
        self._apart.add(peer)
        if self._is_closing:
            peer.abort()  # it came while the server went

    def _opened(self, peer: Connection) -> None:
        self._apart.discard(peer)
        self.registry.add(peer)
        if self._handler is not None:
            task = asyncio.get_running_loop().create_task(self._handle(peer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _handle(self, peer: Connection) -> None:
        if self._handler is None:
            return
        try:
            await awaited(self._handler(peer))
        except Exception as error:  # noqa: BLE001 - one handler's fault is no other's
            tell_failure(peer, error)
        finally:
            await peer.close()

    def _changed(self, peer: Connection, change: Change) -> None:
        if isinstance(change, Died | Closed):
            self.registry.remove(peer)
            self._apart.add(peer)
        self._news.tell((peer, change))
        if self._on_change is not None:
            self._on_change(peer, change)

    def _left(self, peer: Connection) -> None:
        self._apart.discard(peer)
        self.registry.remove(peer)


def serve_peers(
    handler: Handler | None = None,
    host: str | None = None,
    port: int | None = None,
    *,
    path: str | None = None,
    heartbeat: Heartbeat = DEFAULT,
    limits: Limits = USUAL,
    ssl: "tls.SSLContext | None" = None,
    on_message: Callable[[Connection, bytes], object] | None = None,
    on_change: Callable[[Connection, Change], object] | None = None,
    detector: Detector | None = None,
    safety_net: bool = True,
    **more: Any,
) -> Server:
    """
    Serve peers, and judge each of them.

    ``await`` it for the running server, or use it as ``async with``, which says
    goodbye to all at the end.

    Args:
        handler: A coroutine function, called with each peer that has agreed; the
            connection is closed when it returns. It need not catch the ends of
            a connection.
        host: Where to listen; None is everywhere.
        port: TCP port; 0 takes a free one.
        path: A Unix socket, in place of host and port.
        heartbeat: When to ask a peer, suspect and give it up.
        limits: What a peer may ask for.
        ssl: As for ``asyncio.start_server``.
        on_message: Called with each peer and message, in place of ``recv``: the
            cheapest way to serve very many.
        on_change: Called with each peer and change of state.
        detector: An adaptive detector for suspicion, as an empty prototype.
        safety_net: Whether TCP keepalive is set beneath,
            three times as patient as the heartbeat.
        **more: Passed on to the loop's ``create_server``, such as ``backlog``,
            ``reuse_port`` or ``sock``.

    Raises:
        ConfigError: Not exactly one of a port, a path and a socket was given, the
            handler or a callback cannot be called, a callback is a coroutine
            function, a value cannot work, or there is no such argument.
        UnsupportedError: The event loop at hand has no such keyword.

    >>> async def echo(peer):
    ...     async for message in peer:
    ...         await peer.send(message)
    >>> async def main():
    ...     async with serve_peers(echo, port=7000) as server:
    ...         await server.serve_forever()
    """
    require_callable("handler", handler, "peer")
    target = {**more, **place_to_serve(host, port, path, more)}
    if "path" not in target:
        target.setdefault("backlog", 1024)
    require_context(ssl)
    settings = Settings(
        heartbeat=heartbeat,
        limits=limits,
        safety_net=safety_net,
        on_message=on_message,
        on_change=on_change,
        detector=detector,
    )
    if ssl is not None:
        target |= {"ssl": ssl, "ssl_handshake_timeout": limits.handshake_timeout}
    return Server(settings, handler, target)
