"""
The other end: a process that answers, falls silent, stops reading, hangs up.

It listens on IPv4 and IPv6. A connection introduces itself with a line that
holds its name. From then on each ``?`` in the stream is answered with a ``!``,
and everything else is read and thrown away, unless the lab has ordered
otherwise for this connection. What it sends by itself holds no ``!``.
"""

import selectors
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress

from deadpeer.lab.leash import Child, Lines, Servant, child_channel
from deadpeer.lab.namespaces import Namespace

__all__ = ["ANSWER", "PORT", "QUESTION", "Peer", "Server"]

PORT = 7777
QUESTION = b"?"
ANSWER = b"!"

# What is handed to the kernel at once, of a message that is larger.
PIECE = 1 << 16


class Peer(Child):
    """
    The peer's process, seen from the lab.

    Args:
        host: The namespace that it lives in.
    """

    def __init__(self, host: Namespace) -> None:
        with host.entered():
            super().__init__("deadpeer.lab.peer")
        self.hear()  # it listens

    def pause(self, name: str) -> None:
        """Stop reading a connection, so that its window closes."""
        self.tell(do="pause", names=[name])

    def read_on(self, name: str) -> None:
        """Read on."""
        self.tell(do="resume", names=[name])

    def shut_down(self, name: str) -> None:
        """End the peer's direction of a connection, and keep reading."""
        self.tell(do="shut_down", names=[name])

    def pour(self, name: str, size: int) -> None:
        """Send so many bytes on a connection."""
        self.tell(do="pour", names=[name], size=size)

    def hang_up(self) -> None:
        """Close every connection, as programs do."""
        self.tell(do="hang_up")


class Server(Servant):
    """
    The loop of the peer's process.

    Args:
        listener: A listening socket.
        orders: The way to the lab; its end ends the peer.
    """

    def __init__(self, listener: socket.socket, orders: Lines) -> None:
        super().__init__(orders)
        self.listener = listener
        self.named: dict[str, socket.socket] = {}
        self.unsent: dict[socket.socket, int] = {}
        self.ready = selectors.DefaultSelector()
        self.ready.register(listener, selectors.EVENT_READ, self.accept)
        self.ready.register(orders, selectors.EVENT_READ, self.on_order)
        self.is_running = True

    def run(self) -> None:
        """Serve until the lab is gone."""
        while self.is_running:
            for key, _ in self.ready.select():
                key.data()

    def accept(self) -> None:
        """Take a new connection."""
        sock, _ = self.listener.accept()
        sock.setblocking(False)  # noqa: FBT003
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ready.register(sock, selectors.EVENT_READ, lambda: self.introduce(sock))

    def introduce(self, sock: socket.socket) -> None:
        """Read a connection's name, which comes in one piece."""
        data = self.read(sock)
        if b"\n" not in data:
            return
        name, _, rest = data.partition(b"\n")
        self.named[name.decode()] = sock
        self.ready.modify(sock, selectors.EVENT_READ, lambda: self.serve(sock))
        self.answer(sock, rest)

    def serve(self, sock: socket.socket) -> None:
        """Read what came, and answer what was asked."""
        self.answer(sock, self.read(sock))

    def read(self, sock: socket.socket) -> bytes:
        """Return what came; nothing more is read after the stream's end."""
        try:
            data = sock.recv(1 << 20)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            # Half closed: the other half stays open until the lab says so.
            self.ready.unregister(sock)
        return data

    def answer(self, sock: socket.socket, data: bytes) -> None:
        """Answer each question."""
        if count := data.count(QUESTION):
            with suppress(OSError):  # the connection is over, or shut down
                sock.send(ANSWER * count)

    def on_order(self) -> None:
        """An order came, or the end."""
        self.is_running = self.obey()

    def pause(self, names: Iterable[str]) -> None:
        """Stop reading these connections."""
        for name in names:
            self.ready.unregister(self.named[name])

    def resume(self, names: Iterable[str]) -> None:
        """Read these connections on."""
        for name in names:
            sock = self.named[name]
            self.watch(sock)

    def watch(self, sock: socket.socket) -> None:
        """Read a connection whenever there is something."""
        self.ready.register(sock, selectors.EVENT_READ, lambda: self.serve(sock))

    def pour(self, names: Iterable[str], size: int) -> None:
        """Send so many bytes on these connections."""
        for name in names:
            sock = self.named[name]
            self.unsent[sock] = size
            both = selectors.EVENT_READ | selectors.EVENT_WRITE
            self.ready.modify(sock, both, lambda sock=sock: self.serve_and_pour(sock))

    def serve_and_pour(self, sock: socket.socket) -> None:
        """Read what came, and send what there is room for."""
        self.serve(sock)
        if sock.fileno() < 0 or sock not in self.ready.get_map():
            return
        try:
            self.unsent[sock] -= sock.send(b"." * min(self.unsent[sock], PIECE))
        except BlockingIOError:
            return
        except OSError:  # the connection is over
            self.unsent[sock] = 0
        if not self.unsent[sock]:
            self.ready.modify(sock, selectors.EVENT_READ, lambda: self.serve(sock))

    def shut_down(self, names: Iterable[str]) -> None:
        """End our direction of these connections."""
        for name in names:
            with suppress(OSError):
                self.named[name].shutdown(socket.SHUT_WR)

    def hang_up(self) -> None:
        """Close all connections and stop listening."""
        for sock in [self.listener, *self.named.values()]:
            with suppress(KeyError, ValueError):
                self.ready.unregister(sock)
            sock.close()
        self.named.clear()


def listen() -> socket.socket:
    """Return a listener for IPv4, and for IPv6 where there is any."""
    if socket.has_dualstack_ipv6():
        family, address, dual = socket.AF_INET6, "::", True
    else:
        family, address, dual = socket.AF_INET, "0.0.0.0", False  # noqa: S104
    listener = socket.create_server(
        (address, PORT), family=family, dualstack_ipv6=dual, backlog=4096
    )
    listener.setblocking(False)  # noqa: FBT003
    return listener


def main() -> None:
    """Run the peer's process."""
    orders, _ = child_channel(sys.argv)
    listener = listen()
    orders.send({})
    Server(listener, orders).run()


if __name__ == "__main__":
    main()
