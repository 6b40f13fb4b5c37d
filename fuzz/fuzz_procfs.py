"""Nonsense for the parsers of ``deadpeer check``: the kernel's table, and its target."""

import random

from target import mangled, run

from deadpeer.cli.target import Address, Process, parse_target
from deadpeer.kernel.tcp_table import TcpRow, parse_table

LINES = (
    (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt"
        "   uid  timeout inode"
    ),
    (
        "   0: 0100007F:8A7B 00000000:0000 0A 00000000:00000000 00:00000000 00000000"
        "  1000        0 31544 1 0000000000000000 100 0 0 10 0"
    ),
    (
        "   1: 0100007F:8022 0100007F:AA9B 01 00000000:00000005 02:000AFC7E 00000000"
        "     0        2 31546 2 0000000000000000 20 0 0 10 -1"
    ),
    (
        "   3: 00000000000000000000000001000000:1F90"
        " B80D01200000000000000000EFBEADDE:C001 08 00000000:00000000 00:00000000 00000000"
        "     0        0 77 1 0000000000000000 20 0 0 10 -1"
    ),
)
TARGETS = (
    *("4711", "0", "localhost:80", "db.example:5432", "127.0.0.1:80", "[::1]:80"),
    *("[fe80::1%eth0]:443", "::1:80", ":80", "host:", "[", "]", ":", "9" * 5000),
)


def check(rng: random.Random) -> None:
    """Parse one text; what comes of it must be of its kind, and mean itself."""
    if rng.random() < 0.5:
        lines = [mangled(rng, LINES) for _ in range(rng.randrange(1, 4))]
        order = rng.choice(("little", "big"))
        for row in parse_table(lines, byteorder=order):
            assert isinstance(row, TcpRow)
            assert row.expires >= 0
            assert 0 <= row.local.port <= 0xFFFF
        return
    found = parse_target(mangled(rng, TARGETS))
    assert isinstance(found, Process | Address)
    text = str(found.pid if isinstance(found, Process) else found)
    assert parse_target(text) == found


if __name__ == "__main__":
    run(check)
