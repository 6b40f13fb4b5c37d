"""The server of ``websockets``, with its own keepalive."""

from pace import Pace
from subjects import BACKLOG, Audience
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

# Seconds for a closing handshake that a dead peer never ends. The application is
# told only afterwards, so the default of 10 s would be added to each verdict.
CLOSE_TIMEOUT = 0.01


class Websockets:
    """``websockets``: a task for each connection, a ping at each interval."""

    dialect = "websocket"

    def promise(self, pace: Pace) -> float:
        # A ping is sent at each interval, so the last pong may be one round old.
        return pace.interval + pace.timeout + CLOSE_TIMEOUT

    async def serve(self, pace: Pace, audience: Audience) -> int:
        async def handle(connection: ServerConnection) -> None:
            port = connection.remote_address[1]
            audience.online(port, connection.send)
            why = "closed"
            try:
                async for _ in connection:
                    pass
            except ConnectionClosed as closed:
                why = str(closed)
            finally:
                audience.gone(port, why)

        server = await serve(
            handle,
            "127.0.0.1",
            0,
            ping_interval=pace.interval,
            ping_timeout=pace.timeout,
            close_timeout=CLOSE_TIMEOUT,
            open_timeout=60,
            compression=None,
            max_size=None,
            backlog=BACKLOG,
        )
        port: int = next(iter(server.sockets)).getsockname()[1]
        return port
