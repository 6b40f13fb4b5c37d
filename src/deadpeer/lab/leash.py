"""
Processes of the lab that cannot outlive it.

Each is a module of this package, run by a fresh interpreter, so nothing depends
on the threads that its parent happens to have. It is held three ways: it dies
by the kernel's hand when its parent does, it ends when its channel closes, and
its parent ends it by its number.
"""

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from deadpeer.errors import LabError
from deadpeer.lab.closing import Closing

__all__ = ["Child", "Lines", "Servant", "child_channel", "relow"]

# Source: linux/prctl.h.
PR_SET_PDEATHSIG = 1

# The nice value of the lab's processes where it may be had. They sleep nearly all
# the time, and what they measure is when they are woken.
URGENT = -15

# How long an interpreter may take to start, or a child to answer, on a machine
# that is very busy.
PATIENCE = 20.0

libc = ctypes.CDLL(None, use_errno=True)


class Lines:
    """
    Messages over a stream socket: JSON, one a line.

    Args:
        stream: A connected socket; the messages own it.
    """

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self.rest = b""
        self.waiting: deque[dict[str, Any]] = deque()

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self.stream.fileno()

    def send(self, message: dict[str, Any]) -> None:
        """
        Send a message.

        Raises:
            OSError: The other side is gone.
        """
        self.stream.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> list[dict[str, Any]] | None:
        """
        Wait for bytes, and return the messages that they complete.

        Returns:
            Messages, perhaps none; None when the other side is gone.
        """
        try:
            data = self.stream.recv(1 << 16)
        except ConnectionError:
            return None
        if not data:
            return None
        *lines, self.rest = (self.rest + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def wait(self) -> dict[str, Any] | None:
        """Wait for one message, however long; None when the other side is gone."""
        while not self.waiting:
            messages = self.receive()
            if messages is None:
                return None
            self.waiting.extend(messages)
        return self.waiting.popleft()

    def close(self) -> None:
        """Close the socket."""
        self.stream.close()


class Child(Closing):
    """
    A process of the lab, started for one job.

    Args:
        module: The module of this package that it runs.
        pass_fds: Descriptors that it inherits under the same numbers.
        arguments: What its ``main`` gets to see in ``sys.argv``.
        surroundings: Environment variables that it has besides ours.
    """

    def __init__(
        self,
        module: str,
        *,
        pass_fds: Iterable[int] = (),
        arguments: Iterable[str] = (),
        surroundings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        ours, theirs = socket.socketpair()
        self.module = module
        self.heard: deque[dict[str, Any]] = deque()
        self.lines = Lines(ours)
        self.ready = select.poll()
        self.ready.register(ours, select.POLLIN)
        # The package has to be found in the same place, wherever this process
        # found it.
        path = os.pathsep.join(entry for entry in sys.path if entry)
        with theirs:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    module,
                    str(theirs.fileno()),
                    str(os.getpid()),
                    *arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path, **surroundings},
                pass_fds=(theirs.fileno(), *pass_fds),
            )

    @property
    def pid(self) -> int:
        """The process's number."""
        return self.process.pid

    def tell(self, **order: Any) -> None:
        """Give an order whose answer nobody waits for."""
        with suppress(OSError):  # a dead child is found by whoever waits for it
            self.lines.send(order)

    def ask(self, **order: Any) -> dict[str, Any]:
        """
        Give an order and wait for its answer.

        Raises:
            LabError: The process is gone, or does not answer.
        """
        self.tell(**order)
        return self.hear()

    def hear(self, *, patience: float = PATIENCE) -> dict[str, Any]:
        """
        Wait for one message.

        Args:
            patience: For how long, in seconds.

        Raises:
            LabError: The process is gone, or says nothing.
        """
        give_up_at = time.monotonic() + patience
        while not self.heard:
            left = max(0.0, give_up_at - time.monotonic())
            if not self.ready.poll(left * 1000):
                raise LabError(f"the lab's {self.module} does not answer")
            messages = self.lines.receive()
            if messages is None:
                raise LabError(f"the lab's {self.module} ended before its time")
            self.heard.extend(messages)
        return self.heard.popleft()

    def stop(self) -> None:
        """
        Stop the process where it is (SIGSTOP), and wait until it stands.

        Its kernel goes on answering for it.

        Raises:
            LabError: It is gone.
        """
        self._signal(signal.SIGSTOP, os.WSTOPPED, os.CLD_STOPPED)

    def resume(self) -> None:
        """
        Let a stopped process go on (SIGCONT).

        Raises:
            LabError: It is gone.
        """
        self._signal(signal.SIGCONT, os.WCONTINUED, os.CLD_CONTINUED)

    def _signal(self, number: int, awaited: int, state: int) -> None:
        """Send a signal, and wait for what becomes of it."""
        # Only our own child, by the number that is ours until we have waited
        # for its end.
        if self.process.poll() is None:
            self.process.send_signal(number)
            found = os.waitid(os.P_PID, self.pid, awaited | os.WEXITED | os.WNOWAIT)
            if found and found.si_code == state:
                os.waitid(os.P_PID, self.pid, awaited)  # so that it is told once
                return
        raise LabError(f"the lab's {self.module} ended before its time")

    def kill(self) -> None:
        """End the process as a crash would (SIGKILL), and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End the process, whatever it is doing, and close the channel."""
        self.kill()
        self.lines.close()


class Servant:
    """
    The inside of a process of the lab: it does what it is told, by name.

    Args:
        orders: The way to the lab.
    """

    def __init__(self, orders: Lines) -> None:
        self.orders = orders

    def obey(self) -> bool:
        """Do what the lab wants now; return whether there is still a lab."""
        messages = self.orders.receive()
        for message in messages or ():
            do = getattr(self, message.pop("do"))
            do(**message)
            self.obeyed()
        return messages is not None

    def obeyed(self) -> None:
        """Called after each order."""


def child_channel(
    arguments: list[str], *, fatal: Callable[[int], Any] = os._exit
) -> tuple[Lines, list[str]]:
    """
    Tie this process to the one that started it, and return the way to it.

    The first thing that a child does. It dies with its parent from then on; the
    parent's thread must wait for it, since the kernel means the thread. It does
    not hear Ctrl-C, which is for the parent to act on.

    Args:
        arguments: What it was started with, ``sys.argv``.
        fatal: What to do if the parent is already gone.

    Returns:
        The channel, and the arguments that are left.

    Source:
        prctl(2), PR_SET_PDEATHSIG.
    """
    _, channel, parent, *rest = arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):
        fatal(1)
    with suppress(OSError):  # for root only
        os.setpriority(os.PRIO_PROCESS, 0, URGENT)
    # The lab may have thousands of descriptors open, and select knows a thousand:
    # here, where there are few, the numbers begin anew.
    return Lines(socket.socket(fileno=relow(int(channel)))), rest


def relow(fd: int) -> int:
    """Move a descriptor to the lowest free number, and return that."""
    low = os.dup(fd)
    os.close(fd)
    return low
