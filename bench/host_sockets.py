"""
What a look at very many connections costs, beside `ss -tinopH`.

It makes a network namespace of its own with that many sockets, held by a few
processes, and measures each part of a snapshot in it, the best of some runs.
Needs root and the commands `unshare`, `ip` and `ss`.
"""

import argparse
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable

from deadpeer.kernel.diag import Diag
from deadpeer.kernel.owners import find_owners
from deadpeer.kernel.recording import decode_snapshot, encode_snapshot
from deadpeer.kernel.settings_of import Wanted, settings_of
from deadpeer.kernel.snapshot import take_snapshot

HOLDERS = 4
LOOK = "from deadpeer.kernel.snapshot import take_snapshot; take_snapshot(processes=2)"


def hold(pairs: int) -> None:
    """Hold both ends of so many connections until the parent lets go."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * pairs + 64
    limits = (max(soft, needed), max(hard, needed))
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    held = []
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as server:
        for number in range(pairs):
            client = socket.create_connection(server.getsockname())
            if number % 2:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
            held += [client, server.accept()[0]]
    print("ready", flush=True)
    sys.stdin.read()


def best(runs: int, action: Callable[[], object]) -> float:
    """Return the shortest time that *action* took, in milliseconds."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return 1000 * min(times)


def measure(sockets: int, runs: int) -> None:
    """Print one line for each part."""
    with Diag() as diag:
        dump = diag.dump()
        owners = find_owners()
        wanted = [
            Wanted(*owners.first[row.inode], row.cookie_bytes)
            for row in dump.rows
            if row.inode in owners.first
        ]
        snapshot = take_snapshot()
        recording = encode_snapshot(snapshot)
        parts: dict[str, Callable[[], object]] = {
            "ss -tinopH, captured": lambda: subprocess.run(
                ["ss", "-tinopH"], capture_output=True, check=True
            ),
            "dump and decode": diag.dump,
            "owners": find_owners,
            "settings": lambda: settings_of(wanted),
            "ends of all rows": lambda: [row.ends for row in dump.rows],
            "vitals of all rows": lambda: [row.vitals for row in dump.rows],
            "snapshot": take_snapshot,
            "snapshot, by two processes": lambda: take_snapshot(processes=2),
            "snapshot, in a new Python": lambda: subprocess.run(
                [sys.executable, "-c", LOOK], check=True
            ),
            "Python alone": lambda: subprocess.run(
                [sys.executable, "-c", ""], check=True
            ),
            "recording, written": lambda: encode_snapshot(snapshot),
            "recording, read": lambda: decode_snapshot(recording),
        }
        print(f"{len(dump.rows)} sockets, {len(wanted)} with a holder, of {sockets}")
        for name, action in parts.items():
            print(f"{name:28} {best(runs, action):8.1f} ms")
        print(f"{'size of the recording':28} {len(recording) / 1e6:8.2f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=18_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--hold", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.hold is not None:
        hold(given.hold)
        return
    if not given.inside:
        again = [sys.executable, __file__, "--inside", *sys.argv[1:]]
        os.execvp("unshare", ["unshare", "--net", "--", *again])  # noqa: S606
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    pairs = given.sockets // 2 // HOLDERS
    holders = [
        subprocess.Popen(
            [sys.executable, __file__, "--hold", str(pairs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(HOLDERS)
    ]
    try:
        for holder in holders:
            assert holder.stdout
            assert holder.stdout.readline() == b"ready\n"
        measure(given.sockets, given.runs)
    finally:
        for holder in holders:
            holder.kill()


if __name__ == "__main__":
    main()
