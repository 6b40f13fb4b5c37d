"""
What `deadpeer ls --json` takes of very many connections, beside `ss -tinopH`.

It makes a network namespace of its own with that many sockets, held by a few
processes that give them various settings. Both commands run in turn, from the start
of the process to its end, with their output captured; the best run of each counts.
Each row is then held against what was set: process, keepalive, idle, interval, probes
and user timeout. Needs root and the commands `unshare`, `ip` and `ss`.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from host_stage import SETTINGS, Told, staged

MOST = 1.6  # times what ss takes
LS = [str(Path(sys.executable).with_name("deadpeer")), "ls", "--json"]
SS = ["ss", "-tinopH"]

FIELDS = ("keepalive", "idle", "interval", "probes")


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
    with staged(__doc__, runs=7) as (given, told):
        return measure(told, given.runs)


if __name__ == "__main__":
    sys.exit(main())
