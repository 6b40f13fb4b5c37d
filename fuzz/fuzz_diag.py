"""What a kernel might answer about its sockets, and what might be in a recording."""

import gzip
import json
import random
import struct
import zlib

from target import anything, run

from deadpeer.errors import ConfigError, UnsupportedError
from deadpeer.kernel.diag_messages import (
    DumpReader,
    acknowledged,
    encode_done,
    encode_error,
    encode_row,
)
from deadpeer.kernel.diag_rows import INET, INET6, MPTCP, TCP, DiagRow
from deadpeer.kernel.recording import SCHEMA, decode_snapshot

SEQUENCE = 7
FLAGS = (0, 2, 0x12)
ERRNOS = (0, 1, 2, 95, 4095)
NUMBERS = (0, 1, 0xFF, 0xFFFFFFFF)


def row(rng: random.Random) -> DiagRow:
    """Return a row such as a kernel might tell of."""
    local, remote = rng.randbytes(16), rng.randbytes(16)
    if rng.random() < 0.3:
        local = bytes(10) + b"\xff\xff" + local[:4]
    return DiagRow(
        rng.choice((INET, INET6)),
        rng.randrange(14),
        rng.randrange(6),
        rng.randrange(256),
        struct.pack("!HH", 80, 443) + local + remote + rng.randbytes(12),
        *(rng.choice(NUMBERS) for _ in range(5)),
        info=rng.randbytes(rng.choice((0, 8, 75, 76, 104, 232, 280))),
        ulp_info=rng.choice((b"", b"\x0a\x00\x01\x00mptcp\0\0\0", rng.randbytes(9))),
        cgroup=rng.choice((0, 1, 2**64 - 1)),
        mark=rng.choice(NUMBERS),
        shutdown=rng.randrange(4),
        protocol=rng.choice((TCP, TCP, MPTCP)),
    )


def datagram(rng: random.Random) -> bytes:
    """Return an answer, often a damaged one."""
    parts = []
    for _ in range(rng.randrange(6)):
        sequence = SEQUENCE if rng.random() < 0.9 else rng.getrandbits(32)
        parts.append(encode_row(row(rng), sequence=sequence, flags=rng.choice(FLAGS)))
    if rng.random() < 0.5:
        number = rng.choice(ERRNOS)
        make = rng.choice((encode_done, encode_error))
        parts.append(make(sequence=SEQUENCE, errno=number))
    data = bytearray(b"".join(parts))
    for _ in range(rng.choice((0, 0, 1, 4))):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data[: len(data) - rng.choice((0, 0, 0, 1, 4, 50))])


def dump(rng: random.Random) -> None:
    """Whatever comes is read, or refused as not understood."""
    reader = DumpReader(sequence=SEQUENCE, protocol=rng.choice((TCP, MPTCP)))
    try:
        for _ in range(rng.randrange(4)):
            reader.feed(datagram(rng))
    except UnsupportedError:
        return
    for one in reader.rows:
        look(one)


def look(one: DiagRow) -> None:
    ends = one.ends
    assert ends.local_host
    assert 0 <= ends.remote_port <= 0xFFFF
    assert one.cookie >= 0
    assert len(one.cookie_bytes) == 8
    vitals, info = one.vitals, one.tcp_info
    assert (vitals is None) == (info is None)
    if vitals is not None and info is not None:
        assert vitals.rtt_us == info.rtt_us
    try:
        assert isinstance(one.is_mptcp, bool)
    except UnsupportedError:
        return  # broken attributes within


def answer(rng: random.Random) -> None:
    """An answer is a number, or none."""
    try:
        number = acknowledged(datagram(rng), sequence=SEQUENCE)
    except UnsupportedError:
        return
    assert number is None or number >= 0


def round_trip(rng: random.Random) -> None:
    """What is encoded is read back."""
    made = [row(rng)._replace(protocol=TCP) for _ in range(rng.randrange(8))]
    reader = DumpReader(sequence=SEQUENCE)
    reader.feed(b"".join(encode_row(one, sequence=SEQUENCE) for one in made))
    assert reader.rows == made


def file(rng: random.Random) -> None:
    """A file is a recording, or refused with a reason."""
    content: dict[str, object] = {
        "schema": SCHEMA,
        "byteorder": rng.choice(("little", "little", "big")),
        "kernel": "6",
        "boot_id": "",
        "spaces": [],
        "closed_spaces": [],
        "holders": [[1, 2, 3]],
        "unreadable": [],
        "settings": [["0102030405060708", True, 1, 2, 3, None]],
        "gone": [],
        "refused": [],
        "processes": [],
    }
    for _ in range(rng.randrange(3)):
        name = rng.choice(list(content))
        odd = anything(rng)
        content[name] = rng.choice((odd, [odd], [[odd, odd]], {"pid": odd}))
    text = json.dumps(content, default=str).encode()
    data = bytearray(gzip.compress(text, 1) if rng.random() < 0.9 else text)
    if rng.random() < 0.2:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    try:
        decode_snapshot(bytes(data))
    except ConfigError:
        return
    except zlib.error as error:
        raise AssertionError("an error of another's") from error


def check(rng: random.Random) -> None:
    rng.choice((dump, dump, answer, round_trip, file))(rng)


if __name__ == "__main__":
    run(check)
