"""The record of a change: believed only if it makes sense, or else refused in words."""

import json

import pytest

from deadpeer.errors import ConfigError
from deadpeer.kernel.sysctl.files import file_text
from deadpeer.kernel.sysctl.record import OWN_FILE, load

KEY = "net.ipv4.tcp_keepalive_time"
TEXT = file_text({KEY: 5})
FILE = {"path": OWN_FILE, "new": TEXT, "made": 0, "old": None}


def record(**changed: object) -> str:
    whole = {
        "schema": 1,
        "made_at": "2026-01-01T00:00:00+00:00",
        "boot_id": None,
        "namespace": None,
        "made": 0,
        "live": [{"key": KEY, "old": "7200\n", "new": 5}],
        "file": FILE,
    }
    return json.dumps({**whole, **changed})


def live(**changed: object) -> str:
    return record(live=[{"key": KEY, "old": "7200\n", "new": 5, **changed}])


REFUSED = [
    (b"\xff", "it is not text"),
    ("", "it is no JSON (line 1, column 1)"),
    ("[]", "[] is no object"),
    ("{}", "schema is missing"),
    ('{"schema": 2}', "schema 2 is not 1"),
    ('{"schema": 1}', "made_at is missing"),
    (record(live={}), "{} is no list"),
    (record(live=[{"key": KEY}]), "old is missing"),
    (live(new=True), "True is no number"),
    (live(key=[]), "[] is no text"),
    (live(key="kernel.x"), "'kernel.x' is not a setting that we change"),
    (record(file=[]), "[] is no object"),
    (record(file={**FILE, "path": "/x"}), "'/x' is not a file that we write"),
    (record(file={**FILE, "new": "x"}), f"{OWN_FILE} never held this text"),
    (record(file={**FILE, "old": {}}), "text is missing"),
    (
        record(file={**FILE, "new": TEXT.replace("= 5", "= " + "5" * 5000)}),
        "none holds such values",
    ),
]


@pytest.mark.parametrize(("content", "why"), REFUSED, ids=range(len(REFUSED)))
def test_what_makes_no_sense_is_no_record_and_says_why_in_words(tmp_path, content, why):
    path = tmp_path / "set-0001.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(ConfigError) as caught:
        load(path)

    assert caught.value.message == f"{path} is no record of a change: {why}"


def test_what_makes_sense_is_read(tmp_path):
    path = tmp_path / "set-0001.json"
    path.write_text(record())

    assert load(path).live[0].new == 5
    assert json.loads(load(path).as_text()) == json.loads(record())
