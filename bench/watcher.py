"""
The process that is measured: one subject, its event loop, and a control line.

It is always a child of a harness. Orders and reports are lines of JSON on one
socket; when that ends, or the parent does, so does this process.
"""

import argparse
import asyncio
import contextlib
import ctypes
import gc
import json
import logging
import os
import resource
import signal
import socket
import time
from pathlib import Path
from typing import Any

from pace import Pace
from subjects import SUBJECTS, Missing, Send, load

LOOPS = ("asyncio", "uvloop")

PR_SET_PDEATHSIG = 1  # Linux include/uapi/linux/prctl.h


class Watcher:
    """What the subject reports to, and what the harness orders about."""

    def __init__(self, control: socket.socket, *, names_peers: bool) -> None:
        self.control = control
        self.names_peers = names_peers
        self.lines = b""
        self.count = 0
        self.senders: dict[int, Send] = {}
        self.sending: set[asyncio.Task[None]] = set()
        self.done = asyncio.Event()

    def say(self, **facts: Any) -> None:
        self.control.sendall(json.dumps(facts).encode() + b"\n")

    def online(self, port: int, send: Send) -> None:
        self.count += 1
        if self.names_peers:
            self.senders[port] = send
            self.say(online=port)

    def gone(self, port: int, why: str) -> None:
        self.count -= 1
        if self.names_peers:
            self.say(gone=port, at=time.monotonic(), why=why)

    def hear(self) -> None:
        data = b""
        with contextlib.suppress(ConnectionError):
            data = self.control.recv(65536)
        if not data:
            self.done.set()
            asyncio.get_running_loop().remove_reader(self.control)
            return
        *whole, self.lines = (self.lines + data).split(b"\n")
        for line in whole:
            order = json.loads(line)
            getattr(self, order.pop("do"))(**order)

    def block(self, *, seconds: float) -> None:
        """Do what a careless handler does: nothing else for a while."""
        began = time.monotonic()
        self.say(blocking=began)
        time.sleep(seconds)
        self.say(blocked=[began, time.monotonic()])

    def send(self, *, port: int, size: int) -> None:
        task = asyncio.create_task(self.send_whole(port, size))
        self.sending.add(task)
        task.add_done_callback(self.sending.discard)

    async def send_whole(self, port: int, size: int) -> None:
        with contextlib.suppress(Exception):  # told by gone()
            await self.senders[port](bytes(size))

    def cpu(self) -> None:
        self.say(cpu=time.process_time(), at=time.monotonic(), count=self.count)

    def memory(self) -> None:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.say(memory=pages * resource.getpagesize(), count=self.count)

    def wall(self) -> None:
        self.say(wall=time.time(), at=time.monotonic())


def die_with_parent() -> None:
    """Have the kernel kill this process with its parent, even when it is stopped."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:
        raise SystemExit(1)


async def serve(options: argparse.Namespace) -> None:
    control = socket.socket(fileno=options.control)
    watcher = Watcher(control, names_peers=options.names_peers)
    pace = Pace(interval=options.interval, timeout=options.timeout)
    try:
        subject = load(options.subject)
        port = await subject.serve(pace, watcher)
    except Missing as missing:
        watcher.say(missing=str(missing))
        return
    asyncio.get_running_loop().add_reader(control, watcher.hear)
    watcher.say(listening=port, dialect=subject.dialect, promise=subject.promise(pace))
    await watcher.done.wait()
    os._exit(0)  # thousands of connections need no farewell


def factory(name: str) -> Any:
    if name == "asyncio":
        return asyncio.new_event_loop
    import uvloop

    return uvloop.new_event_loop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subject", choices=SUBJECTS, required=True)
    parser.add_argument("--loop", choices=LOOPS, required=True)
    parser.add_argument("--interval", type=float, required=True)
    parser.add_argument("--timeout", type=float, required=True)
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--names-peers", action="store_true")
    options = parser.parse_args()
    die_with_parent()
    logging.disable(logging.CRITICAL)
    with asyncio.Runner(loop_factory=factory(options.loop)) as runner:
        runner.run(serve(options))


if __name__ == "__main__":
    main()
