"""The test vectors that other languages are written against, and one that was."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.core import wire_vectors

from deadpeer.core.breaches import BREACHES

NODE = Path(__file__).parents[2] / "examples" / "node"

# Judged by time or by two announcements, or only ever one's own.
NOT_IN_A_STREAM = {
    "handshake-too-slow",
    "frame-too-slow",
    "unacceptable-heartbeat",
    "before-hello",
    "bad-sequence",
}


def test_the_file_is_what_the_code_makes():
    written = json.loads(wire_vectors.FILE.read_text(encoding="utf-8"))

    assert written == wire_vectors.vectors(), (
        "the wire format changed: python -m tests.core.wire_vectors writes the file"
    )


@pytest.mark.parametrize("name", wire_vectors.STREAMS)
def test_a_stream_is_the_same_a_byte_at_a_time(name):
    data, asked = wire_vectors.STREAMS[name]
    at_once = wire_vectors.hear([data], asked)
    bytewise = wire_vectors.hear([bytes((byte,)) for byte in data], asked)

    assert at_once == bytewise
    assert [type(a) for a in at_once[0]] == [type(a) for a in bytewise[0]]


def test_every_breach_that_bytes_can_make_is_in_a_stream():
    made = {
        wire_vectors.hear([data], n)[1] for data, n in wire_vectors.STREAMS.values()
    }

    assert made - {""} == set(BREACHES) - NOT_IN_A_STREAM


def test_zeros_are_written_short_and_nothing_else():
    data = b"\x40" + bytes(63) + b"\x00\x01" + bytes(10) + b"\x10"

    assert wire_vectors.hexed(data) == "40(00*64)01" + "00" * 10 + "10"


def test_another_language_agrees_with_every_vector():
    if shutil.which("node") is None:
        pytest.skip("needs node: apt-get install nodejs")
    ended = subprocess.run(
        ["node", NODE / "check-vectors.mjs", wire_vectors.FILE],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    checked = json.loads(wire_vectors.FILE.read_text(encoding="utf-8"))
    count = sum(len(checked[part]) for part in ("frames", "streams", "agreements"))

    assert ended.stdout == f"{count} vectors agree\n", ended.stderr
    page = wire_vectors.FILE.with_name("wire-format.md").read_text(encoding="utf-8")
    assert f"check-vectors.mjs docs/reference/wire-vectors.json\n{ended.stdout}" in page
