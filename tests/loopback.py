"""Real TCP connections on the loopback interface."""

import contextlib
import socket
from collections.abc import Iterator

HOSTS = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


@contextlib.contextmanager
def listener(family=socket.AF_INET, **kwargs) -> Iterator[socket.socket]:
    with socket.create_server((HOSTS[family], 0), family=family, **kwargs) as server:
        yield server


@contextlib.contextmanager
def pair(family=socket.AF_INET) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield the connecting and the accepted end of a connection."""
    with (
        listener(family) as server,
        socket.create_connection(server.getsockname()[:2]) as client,
    ):
        accepted, _ = server.accept()
        with accepted:
            yield client, accepted


def fill(sock: socket.socket) -> int:
    """Send until the peer's window and this end's buffer are full."""
    sock.settimeout(0)
    sent = 0
    try:
        while True:
            sent += sock.send(b"x" * 65536)
    except BlockingIOError:
        return sent
    finally:
        sock.settimeout(None)
