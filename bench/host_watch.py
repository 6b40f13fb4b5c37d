"""
What `deadpeer watch` costs at very many connections: share of a core, and memory.

It makes a network namespace of its own with that many sockets, held by a few
processes, and looks at them once a second as the daemon does, with some new and some
ended connections in each second. Needs root and the commands `unshare` and `ip`.

It exits with 1 if the share of a core is more than allowed.
"""

import os
import socket
import sys
import time
from collections import deque
from pathlib import Path

from host_stage import staged

from deadpeer.host.selection import Selection
from deadpeer.host.watching import Watcher

ALLOWED = 0.25  # of a core
CHURN = 20  # new connections, and ended ones, a second
LIFETIME = 4  # seconds, of these
SETTLING = 20  # looks before memory is compared


def memory_kib() -> int:
    """Return what this process has in memory, in KiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def churn(server: socket.socket, held: deque[socket.socket]) -> None:
    """End the oldest connections, and make as many new ones."""
    while len(held) > (LIFETIME - 1) * CHURN:
        held.popleft().close()
    for _ in range(CHURN // 2):
        held += [socket.create_connection(server.getsockname()), server.accept()[0]]


def measure(sockets: int, seconds: float) -> bool:
    """Print what it costs; tell whether that is little enough."""
    told, looks, held = 0, 0, deque[socket.socket]()
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        Watcher(Selection(within=30.0)) as watcher,
    ):
        began = time.process_time()
        watcher.look()
        first = time.process_time() - began
        watched = len(watcher.sampler)
        spent, longest, memory = 0.0, 0.0, 0
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            began = time.process_time()
            told += len(watcher.look())
            took = time.process_time() - began
            spent, longest, looks = spent + took, max(longest, took), looks + 1
            if looks <= SETTLING:  # by then the heap is as large as it has to be
                memory = memory_kib()
            churn(server, held)
            time.sleep(max(0.0, begun + looks - time.monotonic()))
        share = spent / (time.monotonic() - begun)
        grown = memory_kib() - memory
        for one in held:
            one.close()
    print(f"{watched} connections watched, of {sockets}")
    print(f"first look    {1000 * first:8.1f} ms of a processor")
    print(f"each look     {1000 * spent / looks:8.1f} ms, at most {1000 * longest:.1f}")
    print(f"of a core     {100 * share:8.1f} % (at most {100 * ALLOWED:.0f} %)")
    print(
        f"memory        {memory / 1024:8.1f} MiB, and {grown / 1024:+.1f} from look {SETTLING} to {looks}"
    )
    print(f"changes told  {told:8}")
    return share < ALLOWED


def main() -> None:
    with staged(__doc__, seconds=600.0) as (given, _):
        kept = measure(given.sockets, given.seconds)
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
