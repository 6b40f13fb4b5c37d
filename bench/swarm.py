"""
Thousands of peers that only answer: one epoll loop over raw sockets.

They connect evenly over one interval, so that the pings of every subject are as
evenly spread as those of clients that come when they like.
"""

import json
import select
import socket
import struct
import time
from typing import Any

from child import Lost
from talk import Talk, dialect

__all__ = ["Swarm"]

RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # leaves no TIME_WAIT behind


class Swarm:
    """The peers of one subject, and the control line of the process that serves."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.control.settimeout(0)
        self.poll = select.epoll()
        self.poll.register(control, select.EPOLLIN)
        self.peers: dict[int, tuple[socket.socket, Talk]] = {}
        self.lines = b""
        self.reports: list[dict[str, Any]] = []
        self.answered = 0
        self.lost = 0
        self.port = 0
        self.dialect = ""

    def close(self) -> None:
        self.drop()
        self.poll.close()

    def drop(self) -> None:
        """Leave, all at once."""
        for sock, _ in self.peers.values():
            sock.close()
        self.peers.clear()

    def greet(self, patience: float) -> None:
        """Wait for the server's port."""
        report = self.wait_report("listening", patience)
        self.port, self.dialect = report["listening"], report["dialect"]

    def ask(self, what: str) -> dict[str, Any]:
        """Give an order that has one answer; return the answer."""
        self.control.sendall(json.dumps({"do": what}).encode() + b"\n")
        return self.wait_report(what, 30)

    def wait_report(self, key: str, patience: float) -> dict[str, Any]:
        until = time.monotonic() + patience
        while time.monotonic() < until:
            for number, report in enumerate(self.reports):
                if "missing" in report:
                    raise Lost(report["missing"])
                if key in report:
                    return self.reports.pop(number)
            self.turn(0.1)
        raise Lost(f"the server did not say {key!r} within {patience:g} s")

    def connect(self, count: int, *, over: float) -> None:
        """Connect *count* more peers, evenly over so many seconds."""
        began = time.monotonic()
        for number in range(count):
            due = began + over * number / count
            while (left := due - time.monotonic()) > 0:
                self.turn(left)
            self.connect_one()
        patience = time.monotonic() + 60
        while not all(talk.is_open for _, talk in self.peers.values()):
            if self.lost or time.monotonic() > patience:
                raise Lost(f"{self.lost} of {count} peers were turned away")
            self.turn(0.1)

    def connect_one(self) -> None:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect(("127.0.0.1", self.port))
        sock.settimeout(0)
        talk = dialect(self.dialect)
        if talk.opening:
            sock.send(talk.opening)
        self.peers[sock.fileno()] = sock, talk
        self.poll.register(sock, select.EPOLLIN)

    def run(self, seconds: float) -> None:
        """Answer for so long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.turn(left)

    def turn(self, timeout: float) -> None:
        """Wait once for anything to read, and answer it."""
        for number, _ in self.poll.poll(timeout):
            if number == self.control.fileno():
                self.hear()
                continue
            sock, talk = self.peers[number]
            try:
                data = sock.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                del self.peers[number]
                sock.close()
                self.lost += 1
                continue
            if answers := talk.feed(data):
                self.answered += len(answers)
                sock.send(b"".join(answers))

    def hear(self) -> None:
        data = self.control.recv(65536)
        if not data:
            raise Lost("the server ended")
        *whole, self.lines = (self.lines + data).split(b"\n")
        self.reports += map(json.loads, whole)
