"""``deadpeer ls`` on real processes, all of the test's own, and on recordings."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.neighbours import as_nobody, neighbour

from deadpeer.cli import ls_work
from deadpeer.cli.ls import EXIT_FOUND
from deadpeer.cli.ls_json import as_json, as_json_by_two
from deadpeer.cli.root import run
from deadpeer.errors import ConfigError
from deadpeer.host.listing import Listing, select
from deadpeer.host.selection import Selection
from deadpeer.kernel import recording
from deadpeer.kernel.recording import decode_snapshot

RECORDINGS = Path(__file__).parents[1] / "recordings"
RECORDING = RECORDINGS / "linux-6.18.recording"
GOLDEN = RECORDINGS / "linux-6.18.ls.txt"
KEPT = """
a, b = pair()
a.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
[a.setsockopt(6, name, value) for name, value in ((4, 5), (5, 1), (6, 3), (18, 4500))]
"""
LOOKS = pytest.mark.netns


@pytest.fixture(scope="module")
def child():
    """A process with a protected connection, whose other end is not."""
    with neighbour(namespace=True) as made:
        made.told(KEPT)
        yield made


def listed(capsys, *words: object) -> dict[str, Any]:
    assert run(["ls", "--json", *map(str, words)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    data: dict[str, Any] = json.loads(out)
    return data


# -- JSON --------------------------------------------------------------------------


@LOOKS
def test_a_connection_as_json(child, capsys):
    near, far = child.told("a.getsockname()[1], b.getsockname()[1]")

    data = listed(capsys, "--pid", child.pid, f"sport = :{near}")

    assert data["schema"] == "deadpeer-ls/1"
    assert data["verb"] == "ls"
    assert data["whole"] is True
    (row,) = data["connections"]
    assert row["rtt_us"] > 0
    assert 0 <= row["timer"]["fires_in"] <= 5.1
    assert row["timer"]["kind"] == "keepalive"
    assert row["inode"] == child.told("os.fstat(a.fileno()).st_ino")
    assert row["cookie"] > 0
    assert row["local"] == {"host": "127.0.0.1", "port": near}
    assert row["peer"] == {"host": "127.0.0.1", "port": far}
    assert row["netns"] == data["namespaces"][0]["netns"]
    assert (row["pid"], row["fd"]) == (child.pid, child.told("a.fileno()"))
    assert row["process"].startswith("python")
    assert row["other_holders"] == []
    assert row["state"] == "ESTABLISHED"
    assert row["protocol"] == "tcp"
    assert row["keepalive"] is True
    assert (row["idle"], row["interval"], row["probes"]) == (5, 1, 3)
    assert row["user_timeout"] == 4.5
    assert row["unseen"] is None
    assert (row["verdict"], row["protected"]) == ("protected", True)
    assert row["reason"] is None
    assert 6 < row["unnoticed_idle"] < 7
    assert 4.5 < row["unnoticed_busy"] < 7
    assert row["unanswered"] == row["unacknowledged"] == row["unread"] == 0


@LOOKS
def test_what_waits_and_who_else_holds_it(capsys):
    with neighbour(namespace=True) as child:
        child.told("a, b = pair(); b.send(b'unread'); twin = a.dup()")

        data = listed(capsys, "--pid", child.pid, "--unprotected")

    (row,) = (one for one in data["connections"] if one["unread"])
    assert row["unread"] == 6
    assert row["unnoticed_idle"] is None  # never
    ((other),) = row["other_holders"]
    assert other["pid"] == child.pid
    assert other["fd"] != row["fd"]
    assert data["verdicts"]["unprotected"] == len(data["connections"]) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_what_is_not_known_is_absent(capfd):
    with neighbour() as held:
        held.told("a, b = pair()")
        port = held.told("a.getsockname()[1]")

        assert as_nobody(lambda: run(["ls", "--json", f"sport = :{port}"])) == 0

    out, _ = capfd.readouterr()
    (row,) = json.loads(out)["connections"]
    assert row["pid"] is row["fd"] is row["idle"] is row["user_timeout"] is None
    assert "CAP_SYS_PTRACE" in row["unseen"]
    assert json.loads(out)["attached"] is None
    assert row["keepalive"] is False
    assert row["unnoticed_idle"] is None  # never: no timer is armed
    assert "unnoticed_busy" not in row  # not known
    assert held.pid in json.loads(out)["hidden_processes"]


def test_every_string_of_a_process_is_escaped(capsys):
    with neighbour(namespace=True) as child:
        child.told(
            r"""a, b = pair(); Path('/proc/self/comm').write_text('a"\\\n\x1bz')"""
        )

        data = listed(capsys, "--pid", child.pid)
        assert run(["ls", "--pid", str(child.pid)]) == 0

    assert {row["process"] for row in data["connections"]} == {'a"\\\n\x1bz'}
    assert "\x1b" not in capsys.readouterr().out.replace("\x1b[0m", "")


def test_no_name_reaches_a_terminal_as_it_is(capsys, monkeypatch):
    odd = "\x1b[2J\udcff"  # whoever makes a container or a namespace names it
    one = decode_snapshot(RECORDING.read_bytes())
    (space,) = one.spaces
    named = replace(space, namespace=replace(space.namespace, name=odd))
    other = replace(space, namespace=replace(space.namespace, inode=5, name=odd))
    snapshot = replace(
        one,
        spaces=(replace(named, dump=replace(space.dump, is_whole=False)), other),
        processes={
            pid: replace(process, container=odd, user=odd)
            for pid, process in one.processes.items()
        },
        closed_spaces=((named.namespace, ConfigError(f"{odd} is gone")),),
    )
    monkeypatch.setattr(recording, "decode_snapshot", lambda _: snapshot)

    for words in ([], ["--summary"]):
        assert run(["ls", "--replay", str(RECORDING), *words]) == 0
        out, err = capsys.readouterr()
        assert "\x1b[2J" not in out + err
        assert r"\x1b[2J\xdcff" in out
        assert r"\x1b[2J\xdcff" in err


def test_two_processes_say_what_one_says():
    snapshot = decode_snapshot(RECORDING.read_bytes())
    selection = Selection(words=("state", "all"))
    listing = Listing(rows=select(snapshot, selection), snapshot=snapshot)

    by_two = "".join(as_json_by_two(snapshot, selection, []))

    assert json.loads(by_two) == json.loads("".join(as_json(listing, 60.0, [])))
    # One half, or both, may have nothing to say.
    for words in (("state", "time-wait"), ("dport", "1")):
        few = Selection(words=words)
        data = json.loads("".join(as_json_by_two(snapshot, few, None)))
        assert len(data["connections"]) == len(select(snapshot, few))


def test_very_many_are_listed_by_two(capsys, monkeypatch):
    monkeypatch.setattr(ls_work, "MANY", 1)
    with neighbour(namespace=True) as child:
        child.told("kept = [pair() for _ in range(20)]")

        data = listed(capsys, "--pid", child.pid)

    assert len(data["connections"]) == data["verdicts"]["unprotected"] == 40
    assert {row["pid"] for row in data["connections"]} == {child.pid}


# -- text --------------------------------------------------------------------------


@LOOKS
def test_the_worst_comes_first(child, capsys):
    assert run(["ls", "--pid", str(child.pid)]) == 0

    out, err = capsys.readouterr()
    head, first, second, last = out.splitlines()
    near = child.told("a.getsockname()[1]")
    assert head.split()[:3] == ["VERDICT", "IDLE", "BUSY"]
    assert re.match(r"unprotected +never +17 min \d+ s +established", first)
    assert re.search(rf"protected +6.\d* s +6.\d* s .*127.0.0.1:{near} ", second)
    assert "5/1/3" in second
    assert f"[{child.pid}]" in second
    assert last == "2 connections: 1 unprotected, 1 protected (within 1 min)."
    assert err == ""


@LOOKS
def test_the_summary_counts_by_process(child, capsys):
    assert run(["ls", "--summary", "--pid", str(child.pid)]) == 0

    _, line, _ = capsys.readouterr().out.splitlines()
    assert line.split()[-4:] == ["2", "0", "1", "0"]

    data = listed(capsys, "--summary", "--pid", child.pid)
    (process,) = data["processes"]
    assert process["pid"] == child.pid
    assert (process["connections"], process["unprotected"]) == (2, 1)
    assert "connections" not in data


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_what_may_not_be_seen_is_marked_and_what_it_takes_is_said(capfd):
    with neighbour() as held:
        held.told(
            "a, b = pair(); a.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)"
        )
        port = held.told("a.getsockname()[1]")

        assert as_nobody(lambda: run(["ls", f"sport = :{port}"])) == 0

    out, err = capfd.readouterr()
    line = out.splitlines()[1]
    assert re.match(r"unknown +\? +\? ", line)
    assert "on ?" in line
    assert "CAP_SYS_PTRACE" in err


@LOOKS
def test_columns_for_namespaces_and_colours_come_where_they_are_needed(
    child, capsys, monkeypatch
):
    with neighbour(namespace=True) as other:
        other.told("c, d = pair()")
        names = [word for one in (child, other) for word in ("--netns", str(one.pid))]
        assert run(["ls", *names]) == 0

    out = capsys.readouterr().out
    assert "NETNS" in out.splitlines()[0]
    assert "CONTAINER" not in out
    assert "\x1b" not in out


# -- exit codes --------------------------------------------------------------------


@LOOKS
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--fail-on", "unprotected"], EXIT_FOUND),
        (["--fail-on", "unprotected", "--json"], EXIT_FOUND),
        (["--fail-on", "unprotected", "dport = :1"], 0),
        (["--fail-on", "suspect"], 0),
        (["dport"], 2),
        (["--within", "0"], 2),
    ],
)
def test_the_exit_code_is_a_verdict(child, capsys, words, code):
    assert run(["ls", "--pid", str(child.pid), *words]) == code


@LOOKS
def test_a_suspect_fails_too(capsys):
    with neighbour(namespace=True) as child:
        child.told("a, b = pair(); loopback(False); a.send(b'hello?')")
        words = ["ls", "--pid", str(child.pid), "--fail-on", "suspect"]

        codes = (run(words) for _ in range(2000))  # it takes 0.6 s
        assert next(code for code in codes if code) == EXIT_FOUND

    assert "retransmissions in a row" in capsys.readouterr().out


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_what_is_hidden_is_not_taken_for_protected(capfd):
    with neighbour() as held:
        held.told("a, b = pair()")
        held.told(
            "[x.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) for x in (a, b)]"
        )
        port = held.told("a.getsockname()[1]")
        words = ["ls", "--fail-on", "unprotected", f"sport = :{port}"]

        assert as_nobody(lambda: run(words)) == 4

    assert "CAP_SYS_PTRACE" in capfd.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(
    ("whose", "code"),
    [
        (["--unprotected"], 4),
        (["--user", "root"], 4),
        (["--process", "python*"], 4),
        (["--process", "no-such"], 0),
        (["--user", "nobody-of-this-name"], 0),
    ],
)
def test_a_choice_that_leaves_out_what_is_hidden_does_not_hide_it(whose, code, capfd):
    with neighbour() as held:
        held.told(
            "a, b = pair(); Path('/proc/self/comm').write_text('python-x')\n"
            "[x.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) for x in (a, b)]"
        )
        port = held.told("a.getsockname()[1]")
        words = ["ls", "--fail-on", "unprotected", *whose, f"sport = :{port}"]

        assert as_nobody(lambda: run(words)) == code

    assert ("CAP_SYS_PTRACE" in capfd.readouterr().err) == (code == 4)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("verdict", ["unprotected", "suspect"])
def test_a_namespace_that_is_closed_is_not_taken_for_a_healthy_one(verdict, capfd):
    words = ["ls", "--netns", "all", "--fail-on", verdict, "dport = :1"]

    assert as_nobody(lambda: run(words)) == 4
    assert "not every network namespace" in capfd.readouterr().err


# -- recordings --------------------------------------------------------------------


@LOOKS
def test_what_was_recorded_is_shown_again(child, capsys, tmp_path):
    file = tmp_path / "seen"
    file.touch(0o644)  # one that was there already is hidden as well

    now = listed(capsys, "--pid", child.pid, "--record", file)
    again = listed(capsys, "--replay", file, "--pid", child.pid)

    assert again["connections"] == now["connections"]
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_recording_of_a_real_kernel_is_shown_as_before(capsys):
    assert run(["ls", "--replay", str(RECORDING), "state", "all"]) == 0

    assert capsys.readouterr().out == GOLDEN.read_text(encoding="utf-8")


def test_every_state_in_the_table_is_one_of_the_filters(capsys):
    head, *lines, _ = GOLDEN.read_text("utf-8").splitlines()
    at = head.index("STATE")
    for name in {line[at:].split()[0] for line in lines}:
        assert run(["ls", "--replay", str(RECORDING), "state", name]) == 0
        assert f" {name} " in capsys.readouterr().out


def test_a_recording_has_its_namespaces(capsys):
    data = listed(capsys, "--replay", RECORDING)
    inode = data["namespaces"][0]["netns"]

    chosen = listed(capsys, "--replay", RECORDING, "--netns", inode)
    assert chosen["connections"] == data["connections"]
    assert run(["ls", "--replay", str(RECORDING), "--netns", "no-such"]) == 2
    assert f"net:[{inode}]" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"no recording", RECORDING.read_bytes()[:99]])
def test_what_is_no_recording_is_refused(content, capsys, tmp_path):
    file = tmp_path / "seen"
    file.write_bytes(content)

    assert run(["ls", "--replay", str(file)]) == 2
    assert "recording" in capsys.readouterr().err


def test_a_file_without_end_is_refused(capsys, monkeypatch):
    monkeypatch.setattr("deadpeer.kernel.recording.MOST_BYTES", 1 << 16)

    assert run(["ls", "--replay", "/dev/zero"]) == 2
    assert "no recording" in capsys.readouterr().err


def test_a_recording_that_does_not_fit_is_named(capsys):
    assert run(["ls", "--replay", str(RECORDING), "--record", "/dev/full"]) == 1
    assert "/dev/full: No space left" in capsys.readouterr().err


def test_a_recording_that_is_not_there(capsys, tmp_path):
    assert run(["ls", "--replay", str(tmp_path / "none")]) == 1
    assert "No such file" in capsys.readouterr().err


# -- speed -------------------------------------------------------------------------


def test_what_takes_long_to_import_waits_until_the_owners_are_looked_for():
    script = "import sys, deadpeer.cli.ls; print(*sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout

    late = {"host.listing", "host.judgement", "kernel.snapshot", "cli.ls_work"}
    assert {f"deadpeer.{name}" for name in late}.isdisjoint(out.split())
