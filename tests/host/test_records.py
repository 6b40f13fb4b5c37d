"""The record of a fix: whole on the disk, believed only if it makes sense."""

import json
import os
import resource
import stat
from pathlib import Path

import pytest
from tests.neighbours import NOBODY

from deadpeer.errors import ConfigError, KernelRefused
from deadpeer.host.records import (
    FixRecord,
    RecordedSocket,
    load_record,
    new_record_path,
    record_home,
    write_record,
)

RECORD = FixRecord(
    made_at="2026-01-01T00:00:00+00:00",
    boot_id="0f",
    within=8.0,
    sockets=(
        RecordedSocket(
            netns=4026531840,
            inode=7,
            cookie=2**63 + 1,
            local="192.0.2.1:80",
            peer="192.0.2.2:4000",
            pid=11,
            process="nc",
            before={"on": 0, "idle": 7200, "user_timeout": 0},
            after={"on": 1, "idle": 1, "user_timeout": 3000},
        ),
    ),
)


def test_what_is_written_is_what_is_read(tmp_path):
    path = tmp_path / "new" / "deeper" / "record.json"

    write_record(RECORD, path)

    assert load_record(path) == RECORD
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["record.json"]


def test_a_record_never_replaces_a_file(tmp_path):
    path = tmp_path / "record.json"
    path.write_text("mine")

    with pytest.raises(ConfigError, match="is there already"):
        write_record(RECORD, path)

    assert path.read_text() == "mine"


def test_where_nothing_can_be_written_the_error_says_so(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(KernelRefused, match="write the record") as caught:
        write_record(RECORD, tmp_path / "file" / "record.json")

    assert "nothing was changed" in caught.value.hint


@pytest.mark.parametrize("name", ["record.json", "new/deeper/record.json"])
def test_a_record_that_cannot_be_written_leaves_nothing_behind(tmp_path, name):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(KernelRefused, match="File too large"):
            write_record(RECORD, tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("environ", "uid", "home"),
    [
        ({}, 0, "/var/lib/deadpeer"),
        ({"XDG_STATE_HOME": "/s"}, 0, "/var/lib/deadpeer"),
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, 5, "/s/deadpeer"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, 5, "/h/.local/state/deadpeer"),
        ({"HOME": "/h"}, 5, "/h/.local/state/deadpeer"),
    ],
)
def test_records_are_kept_where_state_is_kept(environ, uid, home):
    assert record_home(environ, uid=uid) == Path(home)


def test_no_two_records_have_one_name():
    assert new_record_path() != new_record_path()


def bad(**changes):
    data = json.loads(RECORD.as_text())
    data["sockets"][0].update(changes.pop("socket", {}))
    return json.dumps({**data, **changes})


VALUES = {"on": 0, "idle": 7200, "user_timeout": 0}

SENSELESS = [
    ("", "it is no JSON (line 1, column 1)"),
    ("\x00", "it is no JSON (line 1, column 1)"),
    ("[" * 100_000, "it is no JSON that any program of ours writes"),
    ("[]", "[] is no object"),
    ("{}", "schema is missing"),
    (
        bad(schema="deadpeer-fix-record/2"),
        "schema 'deadpeer-fix-record/2' is not deadpeer-fix-record/1",
    ),
    ('{"schema": "deadpeer-fix-record/1"}', "made_at is missing"),
    (bad(within="8"), "'8' is no duration"),
    (bad(within=True), "True is no duration"),
    (bad(sockets={"a": 1}), "{'a': 1} is no list"),
    (bad(sockets=[1]), "1 is no object"),
    (bad(sockets=[{}]), "netns is missing"),
    (bad(boot_id=None), "None is no text"),
    (bad(socket={"cookie": -1}), "-1 is no number"),
    (bad(socket={"cookie": "7"}), "'7' is no number"),
    (bad(socket={"inode": None}), "None is no number"),
    (bad(socket={"after": {"on": 1, "mark": 1}}), "'mark' is no setting of ours"),
    (
        bad(socket={"after": {"on": 1, "interval": 1}}),
        "a value was set whose old one is not told",
    ),
    (bad(socket={"after": {"idle": 1}}), "a value was set whose old one is not told"),
    (bad(socket={"before": {**VALUES, "idle": "7"}}), "idle='7' is no number"),
    (bad(socket={"before": {**VALUES, "on": False}}), "on=False is no number"),
    (
        bad(socket={"before": {**VALUES, "idle": 2**31}}),
        "idle=2147483648 is no value that a socket can have",
    ),
    (
        bad(socket={"before": {**VALUES, "idle": -(2**31) - 1}}),
        "idle=-2147483649 is no value that a socket can have",
    ),
    (bad(socket={"before": []}), "[] is no object"),
    (bad(socket={"after": None}), "None is no object"),
]


@pytest.mark.parametrize(("text", "why"), SENSELESS, ids=range(len(SENSELESS)))
def test_what_makes_no_sense_is_no_record_and_says_why_in_words(tmp_path, text, why):
    path = tmp_path / "record.json"
    path.write_text(text)

    with pytest.raises(ConfigError) as caught:
        load_record(path)

    assert caught.value.message == f"{path} is no record of a fix: {why}"


def test_whatever_is_nested_is_refused_and_no_depth_is_a_traceback(tmp_path):
    path = tmp_path / "record.json"
    for depth in range(800, 1100):
        path.write_text("[" * depth + "]" * depth)
        with pytest.raises(ConfigError, match="is no record of a fix"):
            load_record(path)


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_record_that_others_may_write_is_not_believed(tmp_path, mode):
    path = tmp_path / "record.json"
    write_record(RECORD, path)
    path.chmod(mode)

    with pytest.raises(ConfigError, match="others may write"):
        load_record(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
def test_a_record_of_another_user_is_not_believed_not_even_through_a_link(tmp_path):
    path, link = tmp_path / "record.json", tmp_path / "link.json"
    write_record(RECORD, path)
    link.symlink_to(path)
    assert load_record(link) == RECORD
    os.chown(path, NOBODY, NOBODY)

    for name in (path, link):
        with pytest.raises(ConfigError, match="belongs to another user"):
            load_record(name)


def test_bytes_that_are_no_text_are_no_record(tmp_path):
    path = tmp_path / "record.json"
    path.write_bytes(b"\xff\xfe")

    with pytest.raises(ConfigError, match="it is not text"):
        load_record(path)


def test_a_record_that_is_not_there_says_where_they_are_kept(tmp_path):
    with pytest.raises(ConfigError, match="there is no record") as caught:
        load_record(tmp_path / "none.json")

    assert "deadpeer" in caught.value.hint


def test_what_cannot_be_read_is_said_and_privileges_only_where_they_help(tmp_path):
    with pytest.raises(KernelRefused, match="Is a directory") as caught:
        load_record(tmp_path)

    assert caught.value.hint == ""
