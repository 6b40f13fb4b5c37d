"""A watch as a process, and what its neighbours are told, for the tests of the verb."""

import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

from tests.neighbours import Neighbour, neighbour

__all__ = [
    "GUARDED",
    "PATIENCE",
    "Daemon",
    "guarded_pair",
    "pull_the_cable_under_load",
    "watching",
]

# Dead after two unanswered probes and three seconds, idle or busy.
GUARDED = (
    "[s.setsockopt(*option) for s in {0} for option in"
    " ((1, 9, 1), (6, 4, 1), (6, 5, 1), (6, 6, 3), (6, 18, 3000))]"
)
PATIENCE = 20.0  # seconds; what is waited for takes three at most


@contextlib.contextmanager
def guarded_pair() -> Iterator[Neighbour]:
    """A neighbour in a namespace of its own, both ends of ``a`` guarded."""
    with neighbour(namespace=True) as made:
        made.told("a = pair(); " + GUARDED.format("a"))
        yield made


class Daemon:
    """A watch of a namespace, as a process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.begun = self.metrics = ""
        self.lines: queue.Queue[str] = queue.Queue()
        self.messages: queue.Queue[str] = queue.Queue()
        streams = (process.stdout, self.lines), (process.stderr, self.messages)
        self._readers = [
            threading.Thread(target=self._read, args=(stream, to), daemon=True)
            for stream, to in streams
            if stream is not None
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream, to: "queue.Queue[str]") -> None:
        with stream:
            for line in stream:
                to.put(line)

    def change(self, kind: str) -> dict[str, Any]:
        """Return the next change of a kind."""
        while True:
            data: dict[str, Any] = json.loads(self.lines.get(timeout=PATIENCE))
            if data["change"] == kind:
                return data

    def said(self, words: str) -> str:
        """Return the next message that has these words in it."""
        while True:
            line = self.messages.get(timeout=PATIENCE)
            if words in line:
                return line

    def rest(self) -> list[str]:
        """Return the messages that were not regarded yet, when it has ended."""
        for reader in self._readers:
            reader.join()
        return list(self.messages.queue)

    def ends(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@contextlib.contextmanager
def watching(child, *words, prefix=(), stdout=subprocess.PIPE):
    command = [
        *prefix,
        sys.executable,
        "-m",
        "deadpeer",
        "watch",
        "--json",
        "--every",
        "0.1",
    ]
    if child is not None:
        command += ["--netns", str(child.pid)]
    process = subprocess.Popen(
        [*command, *words],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        daemon = Daemon(process)
        if "--metrics" in words:
            daemon.metrics = daemon.said("metrics: ")
        daemon.begun = daemon.said("watching")
        yield daemon
    finally:
        process.kill()
        process.wait()


def pull_the_cable_under_load(child) -> None:
    """It is noticed sooner: data is sent again after a fifth of a second."""
    child.told("[s.setsockopt(6, 18, 1500) for s in a]; loopback(False)")
    child.told("[s.send(b'x') for s in a]")
