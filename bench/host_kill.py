"""
`deadpeer kill --suspect` among many: all of the dead, none of the living.

A network of its own, connections to two hosts of it, and the cable of one is pulled.
Among the dead are idle ones with keepalive, ones with data in flight and ones with a
closed window; among the living slow readers, and peers that read nothing at all.
Needs root and the extra `deadpeer[lab]`.
"""

import argparse
import errno
import json
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.host.crowds import Crowd, crowd

PATIENCE = 30.0  # seconds until every dead peer has left two probes unanswered
EXTRA = 5.0  # seconds for which the living are watched after that


def verb(made: Crowd, *more: str) -> dict[str, int]:
    """Run the command as a user would; return how many had which outcome."""
    command = [sys.executable, "-m", "deadpeer", "kill", "--suspect", "--json"]
    netns = ("--netns", f"/proc/self/fd/{made.network.client.fd}")
    done = subprocess.run(
        [*command, *netns, *more],
        pass_fds=(made.network.client.fd,),
        capture_output=True,
        text=True,
        check=True,
    )
    counts: dict[str, int] = json.loads(done.stdout)["counts"]
    return counts


def errors(ends: list[tuple[socket.socket, socket.socket]]) -> list[int]:
    """Return the pending error of each connection."""
    return [near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for near, _ in ends]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dead", type=int, default=100)
    parser.add_argument("--living", type=int, default=1000)
    given = parser.parse_args()
    needed = 2 * (given.dead + given.living) + 128
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = (max(soft, needed), max(hard, needed))
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    with crowd(dying=given.dead, living=given.living) as made:
        print(f"before the cable is pulled, suspects: {verb(made)}")
        made.pull()
        began = time.monotonic()
        made.until(lambda: verb(made) == {"planned": given.dead}, PATIENCE)
        print(f"{time.monotonic() - began:.1f} s later, suspects: {verb(made)}")
        made.until(lambda: time.monotonic() - began > EXTRA, PATIENCE)
        began = time.monotonic()
        print(f"ended: {verb(made, '--yes')}, in {time.monotonic() - began:.2f} s")
        dead = errors(made.dying).count(errno.ECONNABORTED)
        living = errors(made.living).count(0)
    print(f"dead and ended: {dead} of {given.dead}")
    print(f"living and spared: {living} of {given.living}")
    return 0 if (dead, living) == (given.dead, given.living) else 1


if __name__ == "__main__":
    sys.exit(main())
