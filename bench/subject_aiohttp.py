"""The server of ``aiohttp``, with ``heartbeat=``."""

from aiohttp import web
from pace import Pace
from subjects import BACKLOG, Audience


class Aiohttp:
    """
    ``aiohttp``: timer handles for each connection.

    It waits for a pong half as long as its heartbeat, and cannot be told otherwise.
    """

    dialect = "websocket"

    def promise(self, pace: Pace) -> float:
        return pace.interval * 1.5

    async def serve(self, pace: Pace, audience: Audience) -> int:
        async def handle(request: web.Request) -> web.WebSocketResponse:
            connection = web.WebSocketResponse(
                heartbeat=pace.interval, compress=False, max_msg_size=0
            )
            await connection.prepare(request)
            assert request.transport is not None
            port = request.transport.get_extra_info("peername")[1]
            audience.online(port, connection.send_bytes)
            try:
                async for _ in connection:
                    pass
            finally:
                why = connection.exception() or f"closed, {connection.close_code}"
                audience.gone(port, str(why))
            return connection

        application = web.Application()
        application.router.add_get("/", handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=BACKLOG).start()
        port: int = runner.addresses[0][1]
        return port
