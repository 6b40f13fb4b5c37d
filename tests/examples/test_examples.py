"""Every example runs, and does what its first lines say."""

import asyncio
import contextlib
import shutil
import signal
import struct
import time

import pytest
from tests.examples.programs import SLACK, WAIT, program, server

pytestmark = pytest.mark.slow

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")


def test_the_chat_finds_its_stopped_guest_and_serves_the_others():
    async def main():
        async with (
            server("line_protocol/server.py", 0.3, 0.3) as (chat, port),
            program("line_protocol/client.py", port, 0.3, 0.3) as good,
        ):
            await chat.line("joined")
            async with program("line_protocol/client.py", port, 0.3, 0.3) as bad:
                await good.line("hello")
                stopped_at = bad.stop()
                await chat.line("dead")
                assert time.monotonic() - stopped_at <= 0.6 + SLACK
            async with program("line_protocol/client.py", port):
                assert await good.line("hello") == "hello"

    asyncio.run(main())


def test_the_chats_guest_finds_its_stopped_server():
    async def main():
        async with (
            server("line_protocol/server.py") as (chat, port),
            program("line_protocol/client.py", port, 0.3, 0.3) as guest,
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.readline() == b"hello\n"
            stopped_at = chat.stop()
            async with asyncio.timeout(WAIT):
                assert await guest.process.wait() == 1  # an uncaught PeerSilent
            assert time.monotonic() - stopped_at <= 0.6 + SLACK
            writer.close()

    asyncio.run(main())


@needs_node
def test_the_game_drops_its_stopped_player_in_time_and_plays_on():
    async def main():
        async with (
            contextlib.AsyncExitStack() as stack,
            server("game_server/server.py", 0.4, 0.4) as (game, port),
            program("game_server/client.mjs", port) as good,
        ):
            await game.line("player 1 joined")
            await good.line("tick")
            bad = await stack.enter_async_context(
                program("game_server/client.mjs", port)
            )
            await bad.line("tick")
            stopped_at = bad.stop()
            said = await game.line("player 2 dropped")
            assert time.monotonic() - stopped_at <= 0.8 + SLACK
            assert "does not answer" in said
            tick = int((await good.line("tick")).split()[1])
            assert int((await good.line("tick")).split()[1]) == tick + 20
            assert "players 1" in await good.line("tick")
            bad.process.send_signal(signal.SIGCONT)
            await bad.line("closed")

    asyncio.run(main())


@pytest.mark.parametrize("end", ["stopped", "reads nothing"])
def test_the_guarded_websocket_finds_a_dead_client(end):
    from websockets.asyncio.client import connect

    async def main():
        async with (
            server("websockets_guarded/server.py", 0.4, 0.4) as (shop, port),
            connect(f"ws://127.0.0.1:{port}", ping_interval=None) as good,
            connect(f"ws://127.0.0.1:{port}", ping_interval=None) as bad,
        ):
            await good.send("hello")
            assert await good.recv() == "hello"
            if end == "reads nothing":
                await bad.send("flood")
            bad.transport.pause_reading()
            dead_at = time.monotonic()
            said = await shop.line("dead")
            # What its kernel still took was acknowledged, which is progress.
            assert time.monotonic() - dead_at <= 0.8 + 0.4 + SLACK
            if end == "reads nothing":
                assert "bytes not acknowledged" in said
            await good.send("again")
            assert await good.recv() == "again"
            bad.transport.abort()

    asyncio.run(main())


def test_the_librarys_own_keepalive_waits_for_room_and_does_not_fire():
    """What the guard is there for; if this fails, the library has learnt it."""
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import serve

    async def main():
        flooding = asyncio.get_running_loop().create_future()

        async def flood(ws):
            flooding.set_result(ws)
            await ws.send(b"." * 50_000_000)

        promise = {"ping_interval": 0.2, "ping_timeout": 0.2}
        async with serve(flood, "127.0.0.1", 0, compression=None, **promise) as own:
            port = next(iter(own.sockets)).getsockname()[1]
            async with connect(f"ws://127.0.0.1:{port}", ping_interval=None) as bad:
                bad.transport.pause_reading()
                connection = await flooding
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(2.0):  # five times what it promises
                        await connection.wait_closed()
                connection.transport.abort()
                bad.transport.abort()

    asyncio.run(main())


def connect_packet(client, keep_alive, will=None):
    def field(data):
        return struct.pack(">H", len(data)) + data

    flags = 0x02 | (0x04 if will else 0)
    body = field(b"MQTT") + struct.pack(">BBH", 4, flags, keep_alive) + field(client)
    for part in will or ():
        body += field(part)
    return bytes([0x10, len(body)]) + body


async def mqtt(port, client, keep_alive, will=None):
    """Connect as a client that is made by hand."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(connect_packet(client, keep_alive, will))
    assert await reader.readexactly(4) == b"\x20\x02\x00\x00"
    return reader, writer


def test_the_broker_publishes_the_will_of_a_client_that_broke_its_promise():
    async def main():
        async with server("mqtt_broker/broker.py") as (broker, port):
            reader, writer = await mqtt(port, b"watcher", 0)
            writer.write(b"\x82\x09\x00\x07\x00\x04gone\x00")
            assert await reader.readexactly(5) == b"\x90\x03\x00\x07\x00"

            polite = await mqtt(port, b"polite", 1, (b"gone", b"polite"))
            polite[1].write(b"\xe0\x00")
            lively = await mqtt(port, b"lively", 1, (b"gone", b"lively"))
            silent = await mqtt(port, b"silent", 1, (b"gone", b"silent"))
            silent_since = time.monotonic()

            async def ping():
                while True:
                    lively[1].write(b"\xc0\x00")
                    assert await lively[0].readexactly(2) == b"\xd0\x00"
                    await asyncio.sleep(0.9)

            pinging = asyncio.create_task(ping())
            async with asyncio.timeout(WAIT):
                # The first will that comes is the silent one's, and at 1.5 K.
                heard = await reader.readexactly(2 + 2 + 4 + 6)
            took = time.monotonic() - silent_since
            assert heard == b"\x30\x0c\x00\x04gonesilent"
            assert 1.4 <= took <= 1.5 + SLACK
            assert "silent dead" in await broker.line("silent")
            pinging.cancel()

            lively[1].transport.abort()  # a reset, and no DISCONNECT: its will counts
            heard = await reader.readexactly(2 + 2 + 4 + 6)
            assert heard == b"\x30\x0c\x00\x04gonelively"
            for _, used in (silent, polite, (reader, writer)):
                used.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xc0\x00",  # before CONNECT
        b"\x10\xff\xff\xff\xff\x7f",  # a length of five bytes
        b"\x10\xff\xff\xff\x7f",  # 256 MB
        b"\x10\x04\x00\x09MQ",  # a field that is cut short
    ],
)
def test_the_broker_ends_who_speaks_something_else(garbage):
    async def main():
        async with server("mqtt_broker/broker.py") as (broker, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(garbage)
            assert "malformed" in await broker.line("malformed")
            async with asyncio.timeout(WAIT):
                assert await reader.read() == b""
            writer.close()

    asyncio.run(main())
