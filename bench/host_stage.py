"""
A network namespace of one's own with very many connections, held by a few processes.

The process that asks for it is started again inside a new namespace; the connections
have settings of all kinds, and what was set is told, so that a listing can be held
against it. Needs root and the commands `unshare` and `ip`.
"""

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["SETTINGS", "Told", "staged"]

HOLDERS = 4

# Whether SO_KEEPALIVE is on, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT and
# TCP_USER_TIMEOUT in milliseconds; the first is a socket that sets nothing.
SETTINGS = (
    (0, 7200, 75, 9, 0),
    (1, 7200, 75, 9, 0),
    (1, 60, 10, 6, 0),
    (1, 60, 10, 6, 30_000),
    (1, 5, 1, 3, 4500),
    (0, 7200, 75, 9, 10_000),
)

# Both ports of a connection, to the process that holds it and its settings.
Told = dict[tuple[int, int], tuple[int, Any]]

INSIDE = "DEADPEER_BENCH_INSIDE"


@contextmanager
def staged(about: str, **numbers: float) -> Iterator[tuple[argparse.Namespace, Told]]:
    """
    Have as many sockets held as the command line says, in a namespace of its own.

    Args:
        about: What the program does.
        **numbers: What else the command line says, each with its value if it does not.
    """
    parser = argparse.ArgumentParser(description=about)
    for name, value in {"sockets": 18_000, **numbers}.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    given = parser.parse_args()
    alone()
    with connections(given.sockets) as told:
        yield given, told


def alone() -> None:
    """Go on in a network namespace of its own: start this program again in one."""
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        again = [sys.executable, *sys.argv]
        os.execvp("unshare", ["unshare", "--net", "--", *again])  # noqa: S606
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


@contextmanager
def connections(sockets: int) -> Iterator[Told]:
    """Have so many sockets held, two for each connection."""
    pairs = sockets // 2 // HOLDERS
    holders = [
        subprocess.Popen(
            [sys.executable, __file__, str(pairs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(HOLDERS)
    ]
    told: Told = {}
    try:
        for holder in holders:
            assert holder.stdout
            for near, far, values in json.loads(holder.stdout.readline()):
                told[near, far] = holder.pid, values
        yield told
    finally:
        for holder in holders:
            holder.kill()


def hold(pairs: int) -> None:
    """Hold both ends of so many connections until the parent lets go."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * pairs + 64
    limits = (max(soft, needed), max(hard, needed))
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    held, told = [], []
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as server:
        for number in range(pairs):
            client = socket.create_connection(server.getsockname())
            values = SETTINGS[number % len(SETTINGS)]
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, values[0])
            if values[1:] != SETTINGS[0][1:]:
                for option, value in zip((4, 5, 6, 18), values[1:], strict=True):
                    client.setsockopt(socket.IPPROTO_TCP, option, value)
            ends = client.getsockname()[1], server.getsockname()[1]
            told.append((*ends, values))
            held += [client, server.accept()[0]]
    print(json.dumps(told), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    hold(int(sys.argv[1]))
