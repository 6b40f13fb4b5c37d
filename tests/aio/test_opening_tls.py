"""TLS beneath our protocol, at both ends, at one, and with the wrong certificate."""


# ruff: noqa: ASYNC110 - a socket that has arrived tells nobody

import asyncio
import contextlib
import ssl
import subprocess
from typing import Any

import pytest
from tests.aio.worlds import QUICK, on_real_loops

from deadpeer.aio import connect_peer, serve_peers
from deadpeer.errors import (
    PeerReset,
)
from deadpeer.policy.heartbeat import Heartbeat

HERE = "127.0.0.1"


async def echo(peer):
    async for message in peer:
        await peer.send(message)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Return a self-signed certificate of localhost and its key, both files."""
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"),
            *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
            *("-out", str(files[0]), "-keyout", str(files[1])),
        ],
        check=True,
        capture_output=True,
    )
    return files


@pytest.fixture
def tls(certificate):
    """Return the server's and the client's context."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*certificate)
    return server, ssl.create_default_context(cafile=certificate[0])


@on_real_loops
def test_tls(world, tls):
    async def main():
        async with (
            serve_peers(echo, HERE, 0, ssl=tls[0], heartbeat=QUICK) as server,
            connect_peer(
                HERE,
                server.port,
                ssl=tls[1],
                server_hostname="localhost",
                heartbeat=Heartbeat(interval=0.2, timeout=1),
            ) as peer,
        ):
            for size in (0, 5, 1 << 20):
                await peer.send(bytes(size))
                assert await peer.recv() == bytes(size)
            while peer.rtt is None:
                await asyncio.sleep(0.05)

    world.run(main())


@on_real_loops
def test_a_certificate_that_does_not_hold_is_no_dead_peer(world, tls):
    async def main():
        async with serve_peers(echo, HERE, 0, ssl=tls[0]) as server:
            with pytest.raises(ssl.SSLCertVerificationError):
                await connect_peer(
                    HERE,
                    server.port,
                    ssl=ssl.create_default_context(),
                    server_hostname="localhost",
                )

    world.run(main())


@on_real_loops
def test_tls_at_one_end_only_is_named(world, tls):
    async def main():
        ended: Any = asyncio.Queue()
        async with serve_peers(
            echo, HERE, 0, on_change=lambda peer, _: ended.put_nowait(peer.error)
        ) as server:
            with pytest.raises((ssl.SSLError, PeerReset, ConnectionError)):
                await connect_peer(
                    HERE, server.port, ssl=tls[1], server_hostname="localhost"
                )
            error = await ended.get()
            assert error.breach == "spoke-tls"

    world.run(main())


@on_real_loops
def test_a_tls_server_keeps_nothing_of_those_who_speak_no_tls(world, tls):
    async def main():
        async with serve_peers(echo, HERE, 0, ssl=tls[0]) as server:
            for _ in range(3):
                reader, writer = await asyncio.open_connection(HERE, server.port)
                writer.write(b"GET / HTTP/1.1\r\n\r\n")
                await reader.read()
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()
            assert not server._all

    world.run(main())
