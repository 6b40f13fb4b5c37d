"""``deadpeer run`` as tests start it: in a network of their own, with a log to read."""

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from deadpeer.kernel.namespaces import in_namespace_of

__all__ = ["PROGRAM", "Launched", "launched", "until"]

PROGRAM = (sys.executable, "-m", "deadpeer", "run")
PATIENCE = 30.0


class Launched:
    """A program that was started, and what its helpers told."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self.pid = process.pid
        self._log = log

    def told(self, event: str) -> list[dict[str, Any]]:
        """Return the entries of the log about an event."""
        entries = map(json.loads, self._log.read_text("utf-8").splitlines())
        return [entry for entry in entries if entry["event"] == event]

    def line(self) -> str:
        """Wait for the program's next line, and return it."""
        assert self.process.stdout
        return self.process.stdout.readline().rstrip("\n")

    def say(self, text: str) -> None:
        """Write a line to the program."""
        assert self.process.stdin
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()


@contextlib.contextmanager
def launched(
    *command: str,
    network: int | None = None,
    log: Path,
    options: tuple[str, ...] = ("--within", "6"),
    before: tuple[str, ...] = (),
    **more: Any,
) -> Iterator[Launched]:
    """
    Start a program, in the network namespace of a process; end it in any case.

    ``before`` is what starts ``deadpeer run``, if it is not to be started plainly.
    """
    log.touch()
    words = [*before, *PROGRAM, *options, "--log", str(log), "--json", "--", *command]
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(words, text=True, **(piped | more))

    process = in_namespace_of(network, start) if network else start()
    # Whoever waits for a word that never comes fails, and does not wait for ever.
    bound = threading.Timer(PATIENCE, process.kill)
    bound.start()
    try:
        with process:
            yield Launched(process, log)
            process.kill()
    finally:
        bound.cancel()
        process.kill()


def until(condition: Callable[[], object]) -> None:
    """Wait for something that is sure to come; fail after ten seconds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)
