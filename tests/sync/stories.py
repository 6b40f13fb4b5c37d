"""What the tests of threads share: real sockets, threads with an outcome, children."""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

from deadpeer.policy.heartbeat import Heartbeat

QUICK = Heartbeat(interval=0.3, timeout=0.3)
# What the promise leaves for timers and for reading first, in seconds.
SLACK = 0.05
ROOT = Path(__file__).parents[2]
WAIT = 20.0  # seconds after which a test has hung


class Late(AssertionError):
    """A verdict came after it was promised."""


def patient(test):
    """Try a test that measures time again: a busy machine makes some tries slow."""

    @functools.wraps(test)
    def tried(*args, **kwargs):
        for _ in range(4):
            with contextlib.suppress(Late):
                return test(*args, **kwargs)
        return test(*args, **kwargs)

    return tried


def check_in_time(verdict, heartbeat=QUICK):
    """Fail if a verdict came before or after it was promised."""
    assert verdict.silence >= heartbeat.detection
    check_not_late(verdict, heartbeat)


def check_not_late(verdict, heartbeat):
    """Fail if a verdict came after it was promised."""
    over = verdict.silence - heartbeat.detection
    if over > SLACK:
        raise Late(f"{over:.3f} s after the promise")


def asking(sock, lock=None):
    """Return a ``send_ping`` that keeps to a lock, as it should."""

    def ask(number):
        with lock or contextlib.nullcontext():
            sock.sendall(b"p")

    return ask


def echo(peer):
    """Serve a peer by sending everything back."""
    for message in peer:
        peer.send(message)


class Doing:
    """A thread whose result or error is asked for."""

    def __init__(self, function, *args):
        self.result: Any = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, args=(function, args))
        self.thread.daemon = True
        self.thread.start()

    def _run(self, function, args):
        try:
            self.result = function(*args)
        except BaseException as error:  # noqa: BLE001 - the test asks for it
            self.error = error

    def outcome(self):
        """Wait for the thread; return its result, or raise its error."""
        self.thread.join(WAIT)
        assert not self.thread.is_alive(), "the thread hangs"
        if self.error is not None:
            raise self.error
        return self.result


def wait_until(condition):
    """Wait for what another thread makes true; for conditions that have no event."""
    ends_at = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < ends_at, "it never came true"
        time.sleep(0.001)


def is_in(thread, *names):
    """Tell whether a thread is inside calls of these names right now."""
    frame, found = sys._current_frames().get(thread.ident), set()
    while frame is not None:
        found.add(frame.f_code.co_name)
        frame = frame.f_back
    return found.issuperset(names)


def run(code, *args):
    """Run code in a process of its own, which must end quietly and in time."""
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
        cwd=ROOT,  # where the code finds these stories
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
    assert time.monotonic() - began < WAIT / 2
    return ended.stdout


@contextlib.contextmanager
def child(code, *args):
    """Run Python code as a process of our own."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def freeze(process):
    """Stop a child of ours, as it stands, and return when."""
    os.kill(process.pid, signal.SIGSTOP)
    return time.monotonic()
