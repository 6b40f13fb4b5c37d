"""What a kernel might say one day: its TCP table, its tcp_info."""

import random

from target import mangled, run

from deadpeer.kernel.tcp_info import TcpInfo
from deadpeer.kernel.tcp_table import parse_table

ROWS = (
    (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt"
        "   uid  timeout inode\n"
    ),
    (
        "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000"
        "     0        0 28261 1 0000000000000000 100 0 0 10 0\n"
    ),
    (
        "   1: 0100007F:C350 0100007F:1F90 01 00000001:00000000 02:000AFC2B 00000000"
        "  1000        0 28262 2 0000000000000000 20 4 30 10 -1\n"
    ),
    (
        "   2: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000"
        " 0A 00000000:00000000 00:00000000 00000000     0        0 28263 1\n"
    ),
)


def check(rng: random.Random) -> None:
    if rng.random() < 0.3:
        info = TcpInfo.parse(rng.randbytes(rng.choice((0, 4, 5, 104, 280, 300))))
        assert info.state_name
        return
    text = mangled(rng, ROWS) + rng.choice(ROWS)
    list(parse_table(text.splitlines(), byteorder=rng.choice(("little", "big"))))


if __name__ == "__main__":
    run(check)
