"""
Draws ``docs/images/watch.svg``: the screen of ``deadpeer watch`` over connections of its own.

It makes a network namespace with a few programs in it, cuts the cable, and takes the
picture when the kernel has begun to wait in vain. Needs root; run it from anywhere.
"""

import asyncio
import contextlib
import subprocess
import sys
import time
from pathlib import Path

from textual.widgets import RichLog

from deadpeer.cli.watch_screen import WatchScreen
from deadpeer.host.selection import Selection
from deadpeer.host.watching import Watcher

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "watch.svg"
PATIENCE = 30.0  # seconds

HERE = "192.0.2.10"

# Name of a program, how many connections, to where, and their settings: seconds of
# silence before a probe, between probes, and the user timeout in milliseconds.
PROGRAMS = (
    ("postgres", 4, "198.51.100.1", 5432, 0, 0, 0),
    ("game-server", 3, "198.51.100.2", 7000, 6, 3, 9_000),
    ("chat-gateway", 4, "198.51.100.3", 443, 8, 3, 25_000),
    ("backup", 2, "198.51.100.4", 873, 0, 0, 0),
    ("metrics", 5, "198.51.100.5", 4317, 25, 2, 15_000),
)

CHILD = """
import ctypes, socket, sys
here, name, many, host, port, idle, interval, limit = sys.argv[1:]
ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)  # PR_SET_NAME
options = {4: int(idle), 5: int(interval), 6: 3, 18: int(limit)}
held = []
with socket.create_server((host, int(port))) as server:
    for _ in range(int(many)):
        client = socket.create_connection((host, int(port)), source_address=(here, 0))
        if int(idle):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in options.items():
                client.setsockopt(socket.IPPROTO_TCP, option, value)
        held += [client, server.accept()[0]]
print("ready", flush=True)
sys.stdin.read()
"""


async def picture() -> None:
    """Show the screen, cut the cable, wait for a death, and take the picture."""
    selection = Selection(words=("src", HERE), within=30.0)
    with Watcher(selection) as watcher:
        app = WatchScreen(watcher, selection, every=0.25)
        async with app.run_test(size=(156, 34)) as pilot:
            changes = app.query_one("#changes", RichLog)
            await pilot.pause(2)
            cut = ["ip", "link", "set", "lo", "down"]
            subprocess.run(cut, check=True)  # noqa: ASYNC221 - quick
            for word in ("suspect", "dead"):
                end = time.monotonic() + PATIENCE
                while word not in "".join(line.text for line in changes.lines):
                    assert time.monotonic() < end, f"nothing became {word}"
                    await pilot.pause(0.1)
                if word == "suspect":
                    await pilot.press("ctrl+home", "down", "down", "down")
            await pilot.pause(1)
            picture = app.export_screenshot(title="deadpeer watch")
            PICTURE.write_text(picture, encoding="utf-8")


def main() -> None:
    """Make the namespace, the programs and the picture."""
    if "--inside" not in sys.argv:
        again = [sys.executable, __file__, "--inside"]
        own = ["unshare", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
        sys.exit(subprocess.run([*own, "--", *again], check=False).returncode)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    hosts = [HERE, *(program[2] for program in PROGRAMS)]
    for host in hosts:
        subprocess.run(["ip", "address", "add", host, "dev", "lo"], check=True)
    with contextlib.ExitStack() as stack:
        for words in PROGRAMS:
            child = subprocess.Popen(
                [sys.executable, "-c", CHILD, HERE, *map(str, words)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            stack.callback(child.wait)
            stack.callback(child.kill)
            assert child.stdout
            assert child.stdout.readline() == b"ready\n"
        asyncio.run(picture())


if __name__ == "__main__":
    main()
