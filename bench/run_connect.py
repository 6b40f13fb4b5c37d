"""
What `deadpeer run` adds to a connect.

In a network namespace of its own a program connects to itself over loopback, again and
again: as it is, and started by `deadpeer run`, which stops it at each connect and sets
and reads back five options. The two take turns, and each row is the median of a run. Also
a connect of a Unix socket, which is stopped too, and left alone. Needs root, or
`unshare --user --map-root-user --net`.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

MOST = 125.0  # microseconds that a connect may take longer
DEADPEER = str(Path(sys.executable).with_name("deadpeer"))
RUN = (DEADPEER, "run", "--within", "10", "--")

PROGRAM = """
import fcntl, json, socket, struct, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    # SIOCSIFFLAGS, IFF_UP | IFF_RUNNING
    fcntl.ioctl(s, 0x8914, struct.pack("16sh22x", b"lo", 0x41))
times = {"tcp": [], "unix": []}
with socket.create_server(("127.0.0.1", 0)) as server:
    at = server.getsockname()
    for _ in range(int(sys.argv[1])):
        with socket.socket() as near:
            start = time.perf_counter()
            near.connect(at)
            times["tcp"].append(time.perf_counter() - start)
            server.accept()[0].close()
        with socket.socket(socket.AF_UNIX) as near:
            start = time.perf_counter()
            try:
                near.connect("/nowhere/at/all")
            except OSError:
                pass
            times["unix"].append(time.perf_counter() - start)
print(json.dumps(times))
"""


def medians(prefix: tuple[str, ...], connects: int) -> dict[str, float]:
    """Return the median of each kind of connect, in microseconds."""
    command = [*prefix, sys.executable, "-c", PROGRAM, str(connects)]
    done = subprocess.run(
        ["unshare", "--net", "--", *command],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    times = json.loads(done.stdout)
    return {kind: statistics.median(times[kind]) * 1e6 for kind in times}


def main() -> int:
    """Compare, and return 1 if a connect takes too much longer."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--connects", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    added: dict[str, list[float]] = {"tcp": [], "unix": []}
    for _ in range(given.rounds):
        plain, run = medians((), given.connects), medians(RUN, given.connects)
        for kind, values in added.items():
            values.append(run[kind] - plain[kind])
            print(f"{kind:5} {plain[kind]:6.1f} µs   with run {run[kind]:6.1f} µs")
    best = {kind: min(values) for kind, values in added.items()}
    print(f"added: tcp {best['tcp']:.0f} µs, unix {best['unix']:.0f} µs")
    if best["tcp"] > MOST:
        print(f"a connect takes more than {MOST:.0f} µs longer")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
