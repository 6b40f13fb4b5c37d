"""A guard for threads tells what the simulated driver tells, on real sockets."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from deadpeer.aio.warden import TICK
from deadpeer.core.events import Change
from deadpeer.sync import guard
from deadpeer.testing import (
    SCRIPTS,
    Act,
    Lines,
    Script,
    SocketDriver,
    Step,
    check_driver,
)

# Two fifths of a second of silence, and as much for the answer. What is told may be
# late by a quarter of that: the judge's thread has to wait for a processor, too, and
# how late the machine was is measured on another one.
REAL = [one.scaled(0.4) for one in SCRIPTS.values() if not one.is_virtual]
TOLERANCE = 0.1
BUSY_MACHINE = 5


class Watched:
    """
    A user's program: one thread that reads, and a guard over its socket.

    Args:
        idle: What keeps the thread from reading, in the script's own time.
    """

    def __init__(self, idle: tuple[Step, ...] = ()) -> None:
        self.idle = idle

    def __call__(self, sock: socket.socket, script: Script, begin) -> list[Change]:
        changes: list[Change] = []
        lines = Lines()
        guarded = guard(
            sock,
            heartbeat=script.heartbeat,
            send_ping=lambda number: sock.sendall(lines.question(number)),
            on_change=changes.append,
            on_dead=lambda _verdict: None,
        )
        guarded.start()
        begin()
        self.read(sock, guarded, until=time.monotonic() + script.until)
        guarded.stop()
        return changes

    def read(self, sock, guarded, *, until):
        began_at, idle, lines = time.monotonic(), list(self.idle), Lines()
        while (now := time.monotonic()) < until:
            if idle and idle[0].at <= now - began_at:
                idle.pop(0)
                resume = idle.pop(0)
                time.sleep(resume.at - (now - began_at))
                continue
            next_at = began_at + idle[0].at if idle else until
            sock.settimeout(max(0.001, min(until, next_at) - now))
            try:
                data = sock.recv(4096)
            except TimeoutError:
                continue
            except OSError as error:
                guarded.lost(error)
                return
            if not data:
                guarded.lost()
                return
            guarded.heard()
            for number in lines.answers(data):
                guarded.answered(number)


def check_all(scripts, watch_of):
    def check(script):
        check_driver(
            lambda: SocketDriver(watch_of(script)),
            scripts=[replace(script, steps=script.of_others)],
            tolerance=TOLERANCE,
            tick=TICK,
            attempts=BUSY_MACHINE,
        )

    with ThreadPoolExecutor(len(scripts)) as threads:
        for _ in threads.map(check, scripts):
            pass


def test_the_guard_for_threads_tells_what_the_simulation_tells():
    check_all([one for one in REAL if not one.of_watcher], lambda _script: Watched())


def test_a_thread_that_does_not_read_changes_nothing_in_what_is_told():
    """The judge is on another thread, and the kernel knows what has arrived."""
    paused = [one for one in REAL if any(s.act is Act.PAUSE for s in one.steps)]
    assert len(paused) > 1
    check_all(paused, lambda script: Watched(script.of_watcher))
