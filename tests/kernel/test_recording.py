"""A snapshot as a file: what is written is read, and what is damaged is refused."""

import base64
import gzip
import json
import sys
import zlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.diag_samples import row, rows
from tests.neighbours import neighbour
from tests.recordings.record import FOLDER, described

from deadpeer.errors import AccessDenied, ConfigError
from deadpeer.kernel import recording
from deadpeer.kernel.diag_dumps import RawDump, decode_dump
from deadpeer.kernel.diag_messages import encode_done, encode_row
from deadpeer.kernel.diag_rows import TCP
from deadpeer.kernel.namespaces import Namespace, find_namespace
from deadpeer.kernel.owners import Owners
from deadpeer.kernel.processes import Process
from deadpeer.kernel.recording import decode_snapshot, encode_snapshot
from deadpeer.kernel.settings_of import SettingsOf, SocketSettings
from deadpeer.kernel.snapshot import Snapshot, Space, take_snapshot
from deadpeer.platforms import Defaults

WORD = st.integers(0, 2**32 - 1)
TEXT = st.text(max_size=20)
MAYBE = st.none() | WORD
TICKS = st.none() | st.integers(1, 1000)
HERE = Namespace(inode=7, path="/proc/self/ns/net", name="blue", pids=(1, 2))


def dump_of(made):
    data = b"".join(encode_row(one, sequence=3) for one in made)
    raw = RawDump(
        family=2,
        protocol=TCP,
        sequence=3,
        datagrams=(data, encode_done(sequence=3)),
    )
    return decode_dump([raw], repeats=1, is_whole=False, missing=("mptcp",))


snapshots = st.builds(
    Snapshot,
    kernel=TEXT,
    boot_id=TEXT,
    spaces=st.lists(
        st.builds(
            Space,
            namespace=st.builds(
                Namespace, inode=WORD, path=TEXT, name=TEXT, pids=st.tuples(WORD)
            ),
            dump=st.builds(dump_of, st.lists(rows(), max_size=4)),
            defaults=st.builds(Defaults, idle=st.floats(0, 1e6), hz=TICKS),
        ),
        max_size=2,
    ).map(tuple),
    owners=st.builds(
        Owners,
        first=st.dictionaries(WORD, st.tuples(WORD, WORD), max_size=3),
        unreadable=st.lists(WORD, max_size=3).map(tuple),
    ),
    settings=st.builds(
        SettingsOf,
        settings=st.dictionaries(
            st.binary(min_size=8, max_size=8),
            st.builds(SocketSettings, st.booleans(), MAYBE, MAYBE, MAYBE, MAYBE),
            max_size=3,
        ),
        gone=st.lists(st.binary(max_size=8), max_size=2).map(tuple),
    ),
    processes=st.lists(
        st.builds(
            Process,
            pid=WORD,
            name=TEXT,
            command=st.lists(TEXT, max_size=2).map(tuple),
            uid=MAYBE,
            user=TEXT,
            cgroup=TEXT,
            container=TEXT,
            netns=WORD,
        ),
        max_size=2,
    ).map(lambda made: {one.pid: one for one in made}),
)


@given(snapshots)
def test_what_is_written_is_read_back(snapshot):
    assert decode_snapshot(encode_snapshot(snapshot)) == snapshot


SETTINGS = SocketSettings(
    keepalive=True, idle_s=1, interval_s=2, probes=3, user_timeout_ms=None
)


def sample() -> Snapshot:
    return Snapshot(
        kernel="6.18",
        boot_id="",
        spaces=(Space(namespace=HERE, dump=dump_of([row()]), defaults=Defaults()),),
        owners=Owners(first={5: (1, 2)}, others={5: [(3, 4), (3, 5)]}),
        settings=SettingsOf(
            settings={b"12345678": SETTINGS},
            refused={9: AccessDenied("no", hint="sudo", capability="CAP_SYS_PTRACE")},
        ),
        processes={1: Process(pid=1, name="init")},
        closed_spaces=((HERE, ConfigError("gone", hint="look again")),),
    )


def test_several_holders_of_a_socket_are_kept():
    owners = decode_snapshot(encode_snapshot(sample())).owners

    assert owners.of(5) == ((1, 2), (3, 4), (3, 5))


def test_what_a_socket_shows_under_odd_sysctls_is_kept():
    odd = SettingsOf(settings={b"12345678": SETTINGS._replace(idle_s=-1)})
    made = encode_snapshot(replace(sample(), settings=odd))

    assert decode_snapshot(made).settings == odd


def test_what_was_refused_is_kept_with_the_capability_that_it_takes():
    found = decode_snapshot(encode_snapshot(sample()))

    error = found.settings.refused[9]
    assert isinstance(error, AccessDenied)
    assert error.capability == "CAP_SYS_PTRACE"
    assert str(error) == "no; sudo"
    ((namespace, why),) = found.closed_spaces
    assert namespace == HERE
    assert str(why) == "gone; look again"


@pytest.mark.netns
def test_what_was_seen_here_is_read_back():
    with neighbour(namespace=True) as child:
        child.told("keep = [pair() for _ in range(5)]")
        seen = take_snapshot([find_namespace(str(child.pid))])

    assert decode_snapshot(encode_snapshot(seen)) == seen


@pytest.mark.parametrize(
    "path", sorted(FOLDER.glob("*.recording")), ids=lambda path: path.stem
)
def test_a_recording_of_a_real_kernel_is_read_as_it_was_then(path):
    snapshot = decode_snapshot(path.read_bytes())

    assert described(snapshot) == path.with_suffix(".txt").read_text(encoding="ascii")


def content() -> Any:
    return json.loads(gzip.decompress(encode_snapshot(sample())))


def packed(changed) -> bytes:
    return gzip.compress(json.dumps(changed).encode())


def changed(path: str, value) -> bytes:
    """Return a recording in which one value is another."""
    whole = content()
    at = whole
    *before, last = path.split("/")
    for step in before:
        at = at[int(step)] if isinstance(at, list) else at[step]
    at[int(last) if isinstance(at, list) else last] = value
    return packed(whole)


REFUSED = {
    "nothing": (b"", "cut off"),
    "something else": (b"\x7fELF not a recording", "no recording"),
    "plain JSON": (b'{"schema": "deadpeer-recording/1"}', "no recording"),
    "JSON that is no recording": (packed([1, 2]), "no recording"),
    "JSON without a form": (packed({"kernel": "6"}), "no recording"),
    "another version": (changed("schema", "deadpeer-recording/9"), "recording/9"),
    "another byte order": (
        changed("byteorder", "big" if sys.byteorder == "little" else "little"),
        "another byte order",
    ),
    "no JSON": (gzip.compress(b"{"), "damaged"),
    "deep JSON": (gzip.compress(b"[" * 100_000), "damaged"),
    "cut off": (encode_snapshot(sample())[:-20], "cut off"),
    "bad checksum": (encode_snapshot(sample())[:-8] + bytes(8), "no recording"),
    "a text for a number": (changed("spaces/0/namespace/inode", "7"), "no number"),
    "a truth for a number": (changed("holders/0/0", value=True), "no number"),
    "a number below zero": (changed("holders/0/0", -1), "no number"),
    "a setting that none can be": (changed("settings/0/5", 1 << 400), "no socket"),
    "a number for a text": (changed("kernel", 6), "no text"),
    "a number for a truth": (changed("settings/0/1", 1), "neither true nor"),
    "no list": (changed("spaces", {}), "no list"),
    "too short a list": (changed("holders/0", [1]), "laid out"),
    "a cookie that is none": (changed("settings/0/0", "xyz"), "laid out"),
    "no base64": (changed("spaces/0/dumps/0/datagrams", ["a"]), "laid out"),
    "a broken datagram": (
        changed("spaces/0/dumps/0/datagrams", [base64.b64encode(bytes(20)).decode()]),
        "not understood",
    ),
    "a default that is none": (changed("spaces/0/defaults/idle", "long"), "no number"),
    "a default that is no number": (
        changed("spaces/0/defaults/idle", float("nan")),
        "no number",
    ),
    "a default that is not known": (
        changed("spaces/0/defaults/rto_max", None),
        "no number",
    ),
    "a clock without ticks": (changed("spaces/0/defaults/hz", 0), "no number"),
    "a strange default": (changed("spaces/0/defaults", {"what": 1}), "damaged"),
    "what is missing": (changed("spaces/0", {}), "laid out"),
}


@pytest.mark.parametrize(("data", "sentence"), REFUSED.values(), ids=list(REFUSED))
def test_what_is_no_recording_is_refused_with_a_reason(data, sentence):
    with pytest.raises(ConfigError, match=sentence) as caught:
        decode_snapshot(data)

    assert caught.value.hint
    assert caught.value.field == "recording"


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(monkeypatch):
    monkeypatch.setattr(recording, "MOST_BYTES", 1 << 20)
    bomb = gzip.compress(bytes(1 << 22))

    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        decode_snapshot(bomb)


def test_the_file_is_plain_gzip():
    assert zlib.decompress(encode_snapshot(sample()), 31).startswith(b'{"schema"')
