"""
A chat of lines with a thread for each guest, whose silent guests are found in seconds.

    python server.py PORT [INTERVAL TIMEOUT]

The protocol has lines, ``ping N`` and ``pong N``. Any line is life. The client of
the directory ``line_protocol`` speaks it.
"""

import contextlib
import logging
import socket
import socketserver
import sys
import threading

from deadpeer import PeerDead
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.sync import guard

log = logging.getLogger("chat")  # two threads that print mix their lines


class Guest(socketserver.StreamRequestHandler):
    """One guest, served by a thread of its own until it leaves or dies."""

    server: "Chat"
    request: socket.socket

    def setup(self) -> None:
        super().setup()
        # The guest's own thread, those of other guests and the one that asks
        # write here: one line at a time.
        self.writing = threading.Lock()

    def say(self, line: bytes) -> None:
        """Send a line; waits while the guest reads nothing, until that is its death."""
        with self.writing:
            self.request.sendall(line)

    def handle(self) -> None:
        self.server.guests.add(self)
        log.info("joined")
        try:
            with guard(
                self.request,
                heartbeat=self.server.heartbeat,
                send_ping=lambda number: self.say(b"ping %d\n" % number),
            ) as guarded:
                for line in self.rfile:
                    guarded.heard()
                    match line.split():
                        case [b"pong", number]:
                            guarded.answered(int(number))
                        case [b"ping", number]:
                            self.say(b"pong %b\n" % number)
                        case _:
                            self.server.tell_all(line, but=self)
            log.info("left")
        except PeerDead as verdict:
            log.info("dead: %s", verdict)
        finally:
            self.server.guests.discard(self)


class Chat(socketserver.ThreadingTCPServer):
    """All guests."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, heartbeat: Heartbeat) -> None:
        super().__init__(("127.0.0.1", port), Guest)
        self.heartbeat = heartbeat
        self.guests: set[Guest] = set()

    def tell_all(self, line: bytes, *, but: Guest) -> None:
        """Pass a line on."""
        for guest in tuple(self.guests):
            if guest is not but:
                # One that is dead or gone is its own thread's business.
                with contextlib.suppress(OSError):
                    guest.say(line)


if __name__ == "__main__":
    interval, timeout = map(float, sys.argv[2:4] or (20, 10))
    heartbeat = Heartbeat(interval=interval, timeout=timeout)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    with Chat(int(sys.argv[1]), heartbeat) as chat:
        log.info("listening %d", chat.server_address[1])
        chat.serve_forever()
