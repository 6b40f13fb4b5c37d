"""
What `deadpeer ls --json` takes of very many connections, beside `ss -tinopH`.

It makes a network namespace of its own with that many sockets, held by a few
processes that give them various settings. Both commands run in turn, from the start
of the process to its end, with their output captured; the best run of each counts.
Each row is then held against what was set: process, keepalive, idle, interval, probes
and user timeout. Needs root and the commands `unshare`, `ip` and `ss`.
"""

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HOLDERS = 4
MOST = 1.6  # times what ss takes
LS = [str(Path(sys.executable).with_name("deadpeer")), "ls", "--json"]
SS = ["ss", "-tinopH"]

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

FIELDS = ("keepalive", "idle", "interval", "probes")


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


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, bytes]:
    """Return how many milliseconds a command took, and what it wrote."""
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=True, env=environment)
    return 1000 * (time.perf_counter() - began), done.stdout


def mistakes(rows: list[dict[str, Any]], told: Told) -> list[str]:
    """Return a sentence for each end that is missing, or not as it was set."""
    seen = {(row["local"]["port"], row["peer"]["port"]): row for row in rows}
    found = []
    for (near, far), (pid, values) in told.items():
        for ends, wanted in (((near, far), values), ((far, near), SETTINGS[0])):
            row = seen.get(ends)
            if row is None:
                found.append(f"{ends} has no row")
                continue
            said = [int(row[name]) for name in FIELDS]
            said.append(round(1000 * row["user_timeout"]))
            if row["pid"] != pid or said != list(wanted):
                found.append(f"{ends}: {row['pid']} {said}, not {pid} {wanted}")
    return found


def measure(told: Told, runs: int) -> int:
    """Print both times and their ratio; return the exit code."""
    times: dict[str, list[float]] = {"ss": [], "ls": []}
    out = b""
    with tempfile.TemporaryDirectory() as folder:
        # As where it is installed: modules are compiled once, not at every start.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        timed(LS, environment)
        for _ in range(runs):
            times["ss"].append(timed(SS, environment)[0])
            took, out = timed(LS, environment)
            times["ls"].append(took)
    rows = json.loads(out)["connections"]
    wrong = mistakes(rows, told)
    ratio = min(times["ls"]) / min(times["ss"])
    print(f"{len(rows)} connections, {len(out) / 1e6:.1f} MB of JSON")
    for name, command in (("ss", SS), ("ls", LS)):
        every = " ".join(f"{one:.0f}" for one in sorted(times[name]))
        shown = " ".join([Path(command[0]).name, *command[1:]])
        print(f"{shown:20} {min(times[name]):8.1f} ms   ({every})")
    print(f"ratio {ratio:.2f}, at most {MOST}; {len(wrong)} ends are wrong")
    for sentence in wrong[:5]:
        print(f"  {sentence}")
    return int(ratio > MOST or bool(wrong))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=18_000)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--hold", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.hold is not None:
        hold(given.hold)
        return 0
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
    told: Told = {}
    try:
        for holder in holders:
            assert holder.stdout
            for near, far, values in json.loads(holder.stdout.readline()):
                told[near, far] = holder.pid, values
        return measure(told, given.runs)
    finally:
        for holder in holders:
            holder.kill()


if __name__ == "__main__":
    sys.exit(main())
