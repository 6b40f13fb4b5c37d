"""Rows of inet_diag made by hand, and a strategy for any of them."""

import ipaddress
import struct

from hypothesis import strategies as st

from deadpeer.kernel.diag_rows import INET, INET6, TCP, DiagRow
from deadpeer.kernel.tcp_info import LAYOUT

__all__ = ["ID", "INFO", "make_id", "row", "rows"]


def make_info() -> bytes:
    """Return a tcp_info of Linux 6.18's length in which every field differs."""
    info = bytearray(280)
    for number, (offset, form) in enumerate(LAYOUT.values(), start=1):
        struct.pack_into(f"={form}", info, offset, number)
    return bytes(info)


INFO = make_info()


def make_id(local, remote, *, interface: int = 0, cookie: int = 1) -> bytes:
    """Return the 48 bytes by which the kernel names a socket."""
    hosts = [
        ipaddress.ip_address(host).packed.ljust(16, b"\0")
        for host, _ in (local, remote)
    ]
    ends = struct.pack("!HH16s16s", local[1], remote[1], *hosts)
    return ends + struct.pack("=III", interface, cookie & 0xFFFFFFFF, cookie >> 32)


ID = make_id(("192.0.2.1", 1), ("198.51.100.7", 2))


def row(
    *,
    local=("192.0.2.1", 1),
    remote=("198.51.100.7", 2),
    interface=0,
    cookie=1,
    state=1,
    timer=0,
    inode=0,
    **fields,
) -> DiagRow:
    """Return an established connection, but for what is given."""
    return DiagRow(
        INET6 if ":" in local[0] else INET,
        state,
        timer,
        fields.pop("retransmits", 0),
        make_id(local, remote, interface=interface, cookie=cookie),
        fields.pop("expires_ms", 0),
        fields.pop("unread", 0),
        fields.pop("unacknowledged", 0),
        fields.pop("uid", 0),
        inode,
        **fields,
    )


BYTE = st.integers(0, 0xFF)
WORD = st.integers(0, 0xFFFFFFFF)


def rows(protocol: int = TCP) -> st.SearchStrategy[DiagRow]:
    """Return a strategy for every row that a message can hold."""
    return st.builds(
        DiagRow,
        *(BYTE, BYTE, BYTE, BYTE),
        st.binary(min_size=48, max_size=48),
        *(WORD, WORD, WORD, WORD, WORD),
        info=st.binary(max_size=300),
        ulp_info=st.binary(max_size=40),
        cgroup=st.integers(0, 2**64 - 1),
        mark=WORD,
        shutdown=BYTE,
        protocol=st.just(protocol),
    )
