"""``deadpeer watch`` on a terminal that is one: how it is left, however it ends."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.neighbours import paired_neighbour

pytestmark = pytest.mark.netns

PATIENCE = 15.0
OTHER_SCREEN, FIRST_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"  # of xterm


class Terminal:
    """A terminal on which the watch of a namespace is shown."""

    def __init__(self, child, *words: str, **elsewhere) -> None:
        self._ours, self._theirs = pty.openpty()
        self.resize(40)
        self.modes = self.now()
        self.seen = b""
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), self._theirs)
        command = [sys.executable, "-m", "deadpeer", "watch", "--every", "0.1"]
        self.process = subprocess.Popen(
            [*command, "--netns", str(child.pid), *words],
            **(streams | elsewhere),
            start_new_session=True,
        )

    def resize(self, lines: int) -> None:
        size = struct.pack("HHHH", lines, 140, 0, 0)
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, size)

    def now(self):
        """Return the modes that it is in: whether it is raw, say."""
        return termios.tcgetattr(self._theirs)

    def shows(self, text: bytes) -> None:
        """Wait until it has been sent a text."""
        end = time.monotonic() + PATIENCE
        while text not in self.seen:
            assert time.monotonic() < end, self.seen[-500:]
            self._read(0.1)

    def typed(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def ends(self) -> int:
        """Wait for the watch to end; return its exit code."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < end
            self._read(0.05)
        while self._read(0):
            pass
        return self.process.returncode

    def _read(self, seconds: float) -> bool:
        ready = bool(select.select([self._ours], [], [], seconds)[0])
        if ready:
            self.seen += os.read(self._ours, 1 << 16)
        return ready

    def is_full(self) -> bool:
        """Tell whether there is no room for more that nobody has read."""
        return not select.select([], [self._theirs], [], 0)[1]

    def hang_up(self) -> None:
        os.close(self._theirs)
        os.close(self._ours)
        self._ours = self._theirs = -1

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        if self._ours >= 0:
            self.hang_up()


@pytest.fixture
def child():
    with paired_neighbour() as made:
        yield made


@contextlib.contextmanager
def terminal(child, *words: str, **elsewhere) -> Iterator[Terminal]:
    with contextlib.closing(Terminal(child, *words, **elsewhere)) as made:
        yield made


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_the_screen_and_the_terminal_is_as_it_was(child, number):
    with terminal(child) as shown:
        shown.shows(b"2 connections")
        assert shown.now() != shown.modes
        shown.process.send_signal(number)

        assert shown.ends() == 0
        assert shown.now() == shown.modes
        assert shown.seen.rindex(FIRST_SCREEN) > shown.seen.rindex(OTHER_SCREEN)


def test_a_signal_while_the_screen_is_being_set_up_leaves_it_too(child):
    with terminal(child) as shown:
        shown.shows(OTHER_SCREEN)
        shown.process.terminate()

        assert shown.ends() == 0
        assert shown.now() == shown.modes
        assert FIRST_SCREEN in shown.seen


def test_a_signal_that_comes_with_sigcont_leaves_the_terminal_as_it_was(child):
    """As systemd sends them; none of the two says that it was stopped before."""
    with terminal(child) as shown:
        shown.shows(b"2 connections")
        shown.process.send_signal(signal.SIGCONT)
        shown.process.terminate()
        shown.process.send_signal(signal.SIGCONT)

        assert shown.ends() == 0
        assert shown.now() == shown.modes


def test_one_that_is_stopped_gives_the_terminal_back_and_takes_it_again(child):
    with terminal(child) as shown:
        shown.shows(b"2 connections")
        shown.process.send_signal(signal.SIGTSTP)
        os.waitid(os.P_PID, shown.process.pid, os.WSTOPPED)
        assert shown.now() == shown.modes
        shown.seen = b""
        shown.process.send_signal(signal.SIGCONT)
        shown.shows(OTHER_SCREEN)
        shown.typed(b"q")

        assert shown.ends() == 0
        assert shown.now() == shown.modes


def test_a_terminal_that_is_gone_ends_it_though_no_signal_says_so(child):
    with terminal(child) as shown:
        shown.shows(b"2 connections")
        shown.hang_up()

        assert shown.process.wait(PATIENCE) == 0


def test_a_terminal_that_nobody_read_and_that_is_gone_ends_it(child):
    """As that of a session whose network is gone; the screen waits to draw then."""
    with terminal(child) as shown:
        shown.shows(b"2 connections")
        full = 0
        for turn in range(150):
            full += shown.is_full()
            if full == 20:  # by now it has more to draw than waits for its turn
                break
            shown.resize(40 + turn % 2)
            shown.process.send_signal(signal.SIGWINCH)
            time.sleep(0.1)  # else it is told so often that it never draws
        assert full
        shown.hang_up()

        assert shown.process.wait(PATIENCE) == 0


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(child, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    with terminal(child) as shown:
        child.told("loopback(False); [s.send(b'x') for s in a]")
        shown.shows(b'"change": "suspect"')
        shown.process.terminate()

        assert shown.ends() == 0
        assert b"\x1b" not in shown.seen


@pytest.mark.parametrize("key", [b"q", b"\x03"])
@pytest.mark.parametrize("words", [(), ("--every", "1e-9")])
def test_a_key_leaves_the_screen_however_often_it_looks(child, key, words):
    with terminal(child, *words) as shown:
        shown.shows(b"2 connections")
        shown.typed(key)

        assert shown.ends() == 0
        assert shown.now() == shown.modes


@pytest.mark.parametrize("stream", ["stdin", "stderr"])
def test_there_is_no_screen_without_a_keyboard_or_a_place_to_draw(child, stream):
    """One without keys could not be left; the other would be drawn into a log."""
    with (
        Path(os.devnull).open("r+b") as nowhere,
        terminal(child, **{stream: nowhere}) as shown,
    ):
        child.told("loopback(False); [s.send(b'x') for s in a]")
        shown.shows(b'"change": "suspect"')
        shown.process.terminate()

        assert shown.ends() == 0
        assert OTHER_SCREEN not in shown.seen
