"""
What a look at very many connections costs, beside `ss -tinopH`.

It makes a network namespace of its own with that many sockets, held by a few
processes, and measures each part of a snapshot in it, the best of some runs.
Needs root and the commands `unshare`, `ip` and `ss`.
"""

import subprocess
import sys
import time
from collections.abc import Callable

from host_stage import staged

from deadpeer.kernel.diag import Diag
from deadpeer.kernel.owners import find_owners
from deadpeer.kernel.recording import decode_snapshot, encode_snapshot
from deadpeer.kernel.settings_of import Wanted, settings_of
from deadpeer.kernel.snapshot import take_snapshot

LOOK = "from deadpeer.kernel.snapshot import take_snapshot; take_snapshot(processes=2)"


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
    with staged(__doc__, runs=5) as (given, _):
        measure(given.sockets, given.runs)


if __name__ == "__main__":
    main()
