"""The measurements work: each program runs, in a few seconds, with a few peers."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]
BENCH = HOUSE / "bench"

NOT_MEASURED = 3  # deadpeer was not among the subjects

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="reads /proc, and one clock for all processes"
)


def run(program, *arguments):
    return subprocess.run(
        [sys.executable, BENCH / program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_cost_of_each_heartbeat_and_connection_is_a_number():
    ended = run(
        *("cost.py", "--connections", "20", "--interval", "0.3", "--seconds", "0.6"),
        *("--rounds", "1", "--subjects", "aiohttp", "floor", "--json"),
    )

    assert ended.returncode == NOT_MEASURED, ended.stderr
    measured = json.loads(ended.stdout)
    assert set(measured["subjects"]) == {"aiohttp", "floor"}
    for subject in measured["subjects"].values():
        (sample,) = subject["samples"]
        assert sample["heartbeats"] >= 20
        assert 0 < sample["cpu_us"] < 100_000


def test_a_blocked_loop_is_seen_to_kill_the_living_with_every_ping_in_flight():
    ended = run(
        *("false_deaths.py", "--pace", "0.4", "0.4", "--peers", "6", "--dying", "3"),
        *("--scenarios", "blocked-1.5", "--subjects", "websockets", "--json"),
    )

    assert ended.returncode == NOT_MEASURED, ended.stderr
    (row,) = json.loads(ended.stdout)["rows"]
    outcome = row["outcome"]
    # The harness has teeth: what it is for, it makes happen.
    assert outcome["killed"] == outcome["live"] >= 6
    assert len(outcome["found"]) == outcome["died"] >= 1


def test_who_is_left_alone_lives_and_who_falls_silent_is_found():
    ended = run(
        *("false_deaths.py", "--pace", "0.4", "0.4", "--peers", "6", "--dying", "3"),
        *("--scenarios", "calm", "--subjects", "deadpeer", "--loop", "uvloop"),
        "--json",
    )

    # How late is for the whole run to say, on a machine that does nothing else.
    assert ended.returncode in (0, 1), ended.stderr
    (row,) = json.loads(ended.stdout)["rows"]
    assert row["outcome"]["killed"] == 0
    assert len(row["outcome"]["found"]) == row["outcome"]["died"] == 3


def test_a_table_names_every_subject_and_says_when_ours_is_missing():
    ended = run(
        *("cost.py", "--connections", "5", "--interval", "0.3", "--seconds", "0.5"),
        *("--rounds", "1", "--subjects", "floor"),
    )

    assert ended.returncode == NOT_MEASURED, ended.stderr
    assert "| floor " in ended.stdout
    assert "deadpeer was not measured" in ended.stdout


def test_every_detector_watches_a_peer_that_answers_and_says_nothing():
    ended = run("detectors.py", "--beats", "300")

    assert ended.returncode == 0, ended.stderr
    _, monitors = ended.stdout.split("through a monitor, 300 answered pings")
    rows = [line for line in monitors.splitlines() if line.endswith("599 |")]
    assert len(rows) == 7
    assert "of 2 s that it may take" in monitors


@pytest.mark.parametrize(
    ("suffix", "told"), [(EXTENSION_SUFFIXES[0], "compiled"), (".py", "pure")]
)
def test_a_measurement_says_whether_the_hot_paths_were_compiled(tmp_path, suffix, told):
    core = tmp_path / "deadpeer" / "core"
    core.mkdir(parents=True)
    for name in ("../__init__.py", "__init__.py", f"judge{suffix}"):
        (core / name).touch()
    ended = subprocess.run(
        [sys.executable, "-c", "import tables; print(tables.build())"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{BENCH}"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout == f"{told}\n"


@pytest.mark.slow
def test_bad_peers_end_alone_and_are_named():
    ended = run("bad_peers.py", "--good", "5", "--each", "1", "--loop", "asyncio")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "good peers lost: 0;" in ended.stdout
    assert ended.stdout.endswith("held\n")


def test_the_verb_runs_every_program_that_measures():
    makefile = (HOUSE / "Makefile").read_text(encoding="utf-8")
    _, programs = makefile.split("for program in ")[0:2]
    measuring = {
        path.stem
        for path in BENCH.glob("*.py")
        if "Exit codes:" in path.read_text(encoding="utf-8")
    }

    assert set(re.findall(r"\w+", programs.partition(";")[0])) == measuring
    assert measuring >= {"false_deaths", "bad_peers", "detectors", "cost"}


@pytest.mark.parametrize(
    "words",
    [
        ["false_deaths.py", "--dying", "0"],
        ["false_deaths.py", "--pace", "nan", "1"],
        ["bad_peers.py", "--good", "-4"],
        ["detectors.py", "--beats", "0"],
        ["detectors.py", "--floor", "-1"],
    ],
    ids=" ".join,
)
def test_a_wrong_number_is_told_in_a_line(words):
    ended = run(*words)

    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert ": error: " in ended.stderr.splitlines()[-1]


@pytest.mark.netns
@pytest.mark.skipif(shutil.which("ss") is None, reason="needs ss, of iproute2")
def test_a_look_at_a_hosts_sockets_is_measured_beside_ss():
    ended = run("host_sockets.py", "--sockets", "80", "--runs", "1")

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("80 sockets, 80 with a holder, of 80\n")
    assert "ss -tinopH" in ended.stdout


@pytest.mark.netns
def test_what_run_adds_to_a_connect_is_a_number():
    # One of few connects may be any; so the verdict is not asked for.
    ended = run("run_connect.py", "--connects", "30", "--rounds", "1")

    assert re.search(r"added: tcp \d+ µs, unix -?\d+ µs", ended.stdout), ended.stderr


@pytest.mark.netns
def test_a_watch_of_a_hosts_sockets_is_measured_as_it_runs():
    ended = run("host_watch.py", "--sockets", "80", "--seconds", "2")

    assert ended.returncode in (0, 1), ended.stderr  # how much is for the whole run
    assert ended.stdout.startswith("80 connections watched, of 80\n")
    assert " % (at most 25 %)" in ended.stdout
