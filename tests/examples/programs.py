"""The examples, run as the programs that they are, and talked to."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[2] / "examples"
WAIT = 20.0  # seconds after which a program that says nothing fails the test
SLACK = 0.5  # seconds for the way from a verdict to a line on a pipe, on a busy machine


class Program:
    """A child of ours that says lines."""

    def __init__(self, process: Any) -> None:
        self.process = process
        self.said: list[str] = []

    async def line(self, start):
        """Return the next line that begins so, and pass over others."""
        async with asyncio.timeout(WAIT):
            while data := await self.process.stdout.readline():
                self.said.append(data.decode().rstrip())
                if self.said[-1].startswith(start):
                    return self.said[-1]
        raise AssertionError(f"no line {start!r}, only {self.said}")

    def stop(self):
        """Stop it, as it stands; our own child, by its number."""
        os.kill(self.process.pid, signal.SIGSTOP)
        return time.monotonic()


@contextlib.asynccontextmanager
async def program(path, *args) -> AsyncIterator[Program]:
    """Run an example until the block ends."""
    file = EXAMPLES / path
    runner = "node" if file.suffix == ".mjs" else sys.executable
    process = await asyncio.create_subprocess_exec(
        runner, str(file), *map(str, args), stdout=asyncio.subprocess.PIPE
    )
    running = Program(process)
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        running.process._transport.close()


@contextlib.asynccontextmanager
async def server(path, *args) -> AsyncIterator[tuple[Program, int]]:
    """Run a server; yield it with its port."""
    async with program(path, 0, *args) as running:
        yield running, int((await running.line("listening")).split()[1])
