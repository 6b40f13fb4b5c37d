"""A TCP connection whose cable a test can cut, in a network namespace of its own."""

import contextlib
import socket
from collections.abc import Iterator

from tests.loopback import listener
from tests.neighbours import Neighbour, neighbour

from deadpeer.kernel.namespaces import in_namespace_of

__all__ = ["cable"]


@contextlib.contextmanager
def cable() -> Iterator[tuple[socket.socket, socket.socket, Neighbour]]:
    """Yield both ends, and the child that can cut it: ``told("loopback(False)")``."""

    def connect() -> tuple[socket.socket, socket.socket]:
        with listener() as server:
            client = socket.create_connection(server.getsockname()[:2])
            return client, server.accept()[0]

    with neighbour(namespace=True) as child:
        near, far = in_namespace_of(child.pid, connect)
        with near, far:
            yield near, far, child
