"""Serve peers that speak our protocol, with a thread for each."""

import asyncio
import ssl as tls
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import Any

from deadpeer.aio.connection import Connection as AioConnection
from deadpeer.aio.handlers import tell_failure
from deadpeer.aio.serving import DEFAULT, USUAL
from deadpeer.aio.serving import Server as AioServer
from deadpeer.aio.serving import serve_peers as aio_serve_peers
from deadpeer.core.detectors.base import Detector
from deadpeer.core.events import Change
from deadpeer.core.limits import Limits
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.policy.keepalive import require_seconds
from deadpeer.sync.background import Background, background
from deadpeer.sync.blocks import ClosedAtTheEnd
from deadpeer.sync.callbacks import for_threads, require_plain
from deadpeer.sync.changes import Following
from deadpeer.sync.connection import Connection, facing
from deadpeer.sync.registry import Registry

__all__ = ["Server", "serve_peers"]

Handler = Callable[[Connection], object]
Running = dict[int, "asyncio.Future[None]"]  # by the identifiers of threads


class Server(ClosedAtTheEnd):
    """
    A running server, made by ``serve_peers``; ``with`` closes it at the end.

    Args:
        background: Where it lives.
        inner: The server there.
        running: Which threads run its handlers, and what says that one is over.

    Attributes:
        registry: Who is online.
    """

    def __init__(
        self, background: Background, inner: AioServer, running: Running
    ) -> None:
        super().__init__(background)
        self._inner = inner
        self._running = running
        self.registry = Registry(background, inner.registry)
        background.house(self)
        background.servers.add(self)

    @property
    def sockets(self) -> tuple[Any, ...]:
        """The sockets that it listens on."""
        self._background.require_here()
        return self._inner.sockets

    @property
    def port(self) -> int:
        """The port that it listens on; 0 for a Unix socket."""
        self._background.require_here()
        return self._inner.port

    def changes(self) -> Iterator[tuple[Connection, Change]]:
        """Return an iterator of peers and what changed with them, from now on."""
        told = self._background.ask(self._inner.changes)
        return Following(self._background, told, self._shown)

    def _shown(self, told: tuple[AioConnection, Change]) -> tuple[Connection, Change]:
        inner, change = told
        return facing(self._background, inner), change

    def serve_forever(self) -> None:
        """Wait until the server is closed by another thread, or this is interrupted."""
        self._background.call(self._inner.serve_forever)

    def close(self, *, within: float = 5.0) -> None:
        """
        Accept no more, say goodbye to every peer, and wait for the handlers.

        A handler may call it; it is not waited for then. While it is being closed,
        another call waits for the same.

        Args:
            within: Seconds for all of that; then connections are aborted, and
                handlers left to find that out.

        Raises:
            ConfigError: *within* is no number of seconds.
            LocalProtocolError: This is a callback or runs inside an event loop,
                which must not wait; nothing was closed.
        """
        require_seconds("within", within, zero=True)
        asking = self._running.get(threading.get_ident())
        self._background.call(partial(self.leave, within, asking))

    # What the background asks.

    def descriptors(self) -> Iterable[int]:
        """Return the descriptors of its sockets, for a child of fork."""
        return [sock.fileno() for sock in self._inner.sockets]

    async def leave(
        self, within: float, asking: "asyncio.Future[None] | None" = None
    ) -> None:
        """
        Close on the loop, as ``close`` and the interpreter's end have it.

        Args:
            within: Seconds for all of its peers.
            asking: What ends the wait for the handler that asks for this.
        """
        if asking is not None:
            # Once all are told goodbye: a handler that is over says another one.
            asyncio.get_running_loop().call_soon(_settle, asking)
        try:
            await self._inner.close(within=within)
        finally:
            if not self._inner.sockets:
                self._background.servers.discard(self)


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
    Serve peers, and judge each of them; return the running server.

    Use the server as ``with``, which says goodbye to all at the end. Callbacks
    run on the background thread, which judges all peers of the process: they must
    not block. They may use ``send_nowait`` and ``abort``, and put things into queues.

    Args:
        handler: Called with each peer that has agreed, in a thread of its own;
            the connection is closed when it returns. It need not catch the ends
            of a connection. The threads are daemons.
        host: Where to listen; None is everywhere.
        port: TCP port; 0 takes a free one.
        path: A Unix socket, in place of host and port.
        heartbeat: When to ask a peer, suspect and give it up.
        limits: What a peer may ask for.
        ssl: As for ``asyncio.start_server``.
        on_message: Called with each peer and message, in place of ``recv``: the
            cheapest way to serve very many, without a thread for each.
        on_change: Called with each peer and change of state.
        detector: An adaptive detector for suspicion, as an empty prototype.
        safety_net: Whether TCP keepalive is set beneath,
            three times as patient as the heartbeat.
        **more: Passed on to asyncio's ``create_server``, such as ``backlog``,
            ``reuse_port`` or ``sock``.

    Raises:
        ConfigError: Neither a port nor a path or socket was given, the handler or a
            callback cannot be called or is a coroutine function, or a value
            cannot work.
        OSError: There is no listening at that address.
        LocalProtocolError: The interpreter is ending, or this is a callback or
            runs inside an event loop, which must not wait.

    >>> def echo(peer):
    ...     for message in peer:
    ...         peer.send(message)
    >>> def main():
    ...     with serve_peers(echo, port=7000) as server:
    ...         server.serve_forever()
    """
    require_plain("handler", handler, "peer")
    home = background()
    running: Running = {}
    server = aio_serve_peers(
        None if handler is None else in_a_thread(home, handler, running),
        host,
        port,
        path=path,
        heartbeat=heartbeat,
        limits=limits,
        ssl=ssl,
        detector=detector,
        safety_net=safety_net,
        **for_threads(home, on_message=on_message, on_change=on_change),
        **more,
    )
    return home.call(
        partial(_started, home, server, running),
        rescue=lambda server: home.spawn(server.leave(0.0)),
    )


async def _started(home: Background, server: AioServer, running: Running) -> Server:
    return Server(home, await server, running)


def in_a_thread(
    home: Background, handler: Handler, running: Running
) -> Callable[[AioConnection], Awaitable[None]]:
    """
    Return a handler for the loop, which waits for a thread that runs the other.

    Args:
        home: Where the connections live.
        handler: What to run.
        running: Where it is noted which thread runs one.
    """

    async def handle(inner: AioConnection) -> None:
        peer = facing(home, inner)
        ended = asyncio.get_running_loop().create_future()

        def over(failed: Exception | None) -> None:
            if failed is None:
                _settle(ended)
            elif ended.done():  # nobody waits for it any more
                tell_failure(inner, failed)
            else:
                ended.set_exception(failed)

        def run() -> None:
            failed: Exception | None = None
            running[threading.get_ident()] = ended
            try:
                handler(peer)
            except Exception as error:  # noqa: BLE001 - told by the server
                failed = error
            except SystemExit:  # ends a thread, here as everywhere
                pass
            finally:
                del running[threading.get_ident()]
                home.tell(over, failed)

        threading.Thread(target=run, name=f"peer {peer.peer}", daemon=True).start()
        await ended

    return handle


def _settle(ended: "asyncio.Future[None]") -> None:
    if not ended.done():
        ended.set_result(None)
