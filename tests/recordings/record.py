"""
Record the sockets of this machine's kernel, for tests on others.

``python -m tests.recordings.record`` makes a network namespace of its own with a
socket in every state that is easily made, and writes what this kernel says of it
beside this file, with a text that says what has to be read from it.
"""

from dataclasses import replace
from pathlib import Path

from tests.neighbours import neighbour

from deadpeer.kernel.namespaces import find_namespace
from deadpeer.kernel.recording import encode_snapshot
from deadpeer.kernel.snapshot import Snapshot, take_snapshot
from deadpeer.kernel.tcp_info import TcpState
from deadpeer.kernel.tcp_table import Timer

__all__ = ["FOLDER", "described", "main"]

FOLDER = Path(__file__).parent

SOCKETS = """
keep = [socket.create_server(("127.0.0.1", 0), backlog=0)]
slow = socket.create_server(("127.0.0.1", 0))
slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
keep += [socket.create_connection(slow.getsockname())]
keep += [socket.create_connection(keep[0].getsockname())]
syn = socket.socket()
syn.setblocking(False)
syn.connect_ex(keep[0].getsockname())
a, b = pair(); a.shutdown(socket.SHUT_WR)
c, d = pair(); c.close(); d.close()
bound = socket.socket(); bound.bind(("127.0.0.1", 0))
e, f = pair("::1")
e.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
for option, value in ((4, 61), (5, 7), (6, 3), (18, 12_000)):
    e.setsockopt(socket.IPPROTO_TCP, option, value)
twin = e.dup()
both = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
g = socket.create_connection(("127.0.0.1", both.getsockname()[1]))
h, _ = both.accept()
g.send(b"not read")
try:
    paths = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    paths.bind(("127.0.0.1", 0)); paths.listen()
    m = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    m.connect(paths.getsockname())
    n, _ = paths.accept()
    m.send(b"x"); n.recv(1)
except OSError:
    pass
"""


def described(snapshot: Snapshot) -> str:
    """Return what a recording has to be read as, a line for each socket."""
    lines = []
    for space in snapshot.spaces:
        for row in space.dump.rows:
            local_host, local_port, remote_host, remote_port = row.ends
            words = [
                TcpState(row.state).name,
                f"{local_host} {local_port} {remote_host} {remote_port}",
                f"{Timer(row.timer).name} {row.expires_ms}",
                f"queues {row.unread} {row.unacknowledged}",
                f"inode {row.inode} cookie {row.cookie}",
                "mptcp" if row.is_mptcp else "tcp",
                "mapped" if row.is_mapped else "-",
                f"{row.vitals and tuple(row.vitals)}",
                f"{[holder.fd for holder in snapshot.owners.of(row.inode)]}",
                f"{tuple(snapshot.settings_for(row) or ())}",
            ]
            lines.append(" | ".join(words))
    return "\n".join(lines) + "\n"


def main() -> None:
    """Record."""
    with neighbour(namespace=True) as child:
        child.told(SOCKETS)
        seen = take_snapshot([find_namespace(str(child.pid))])
    # Nothing of the machine that it was made on.
    seen = replace(
        seen,
        kernel=".".join(seen.kernel.split("-")[0].split(".")[:2]),
        boot_id="",
        processes={
            pid: replace(process, command=("python3",), cgroup="/", container="")
            for pid, process in seen.processes.items()
        },
        owners=replace(
            seen.owners,
            unreadable=(),
            first={
                inode: holder
                for inode, holder in seen.owners.first.items()
                if holder[0] == child.pid
            },
            others={
                inode: holders
                for inode, holders in seen.owners.others.items()
                if all(pid == child.pid for pid, _ in holders)
            },
        ),
    )
    name = f"linux-{seen.kernel}"
    (FOLDER / f"{name}.recording").write_bytes(encode_snapshot(seen))
    (FOLDER / f"{name}.txt").write_text(described(seen), encoding="ascii")


if __name__ == "__main__":
    main()
