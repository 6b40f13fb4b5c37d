"""What ends ``deadpeer watch`` without a terminal, and what does not."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli.watched import (
    PATIENCE,
    guarded_pair,
    pull_the_cable_under_load,
    watching,
)

from deadpeer.cli.watch_signals import signals_noted

pytestmark = pytest.mark.netns

MANY = 1100  # files; select() knows 1024
HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]


@pytest.fixture
def child():
    with guarded_pair() as made:
        yield made


def test_a_signal_that_comes_as_soon_as_it_is_caught_is_not_lost(monkeypatch):
    catch = signal.signal
    come: list[int] = []

    def caught(number, handler):
        old = catch(number, handler)
        if not come:
            come.append(number)
            signal.raise_signal(number)
        return old

    monkeypatch.setattr(signal, "signal", caught)
    with signals_noted() as signals:
        assert signals.wait(time.monotonic(), None) == come[0]


def test_a_reader_that_no_longer_reads_keeps_nobody_from_ending_it(child):
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb"), os.fdopen(writing, "wb", buffering=0) as full:
        os.set_blocking(writing, False)
        while full.write(bytes(4096)):
            pass  # until there is no more room
        os.set_blocking(writing, True)
        told = ["--on", "unprotected", 'echo "told: $DEADPEER_CHANGE"']
        with watching(child, *told, stdout=full) as daemon:
            child.told("c = pair()")
            # Runs once the change is on its way to the output.
            assert daemon.said("told: unprotected")
            assert daemon.ends() == 0
            assert daemon.said("nobody read the output")


def test_messages_that_cannot_be_written_end_nothing(child):
    """As where a log is on a full disk: commands are run all the same."""
    words = [sys.executable, "-m", "deadpeer", "watch", "--json", "--every", "0.1"]
    told = ["--netns", str(child.pid), "--on", "suspect", "exit 3"]
    with (
        Path("/dev/full").open("wb") as full,
        subprocess.Popen([*words, *told], stdout=subprocess.PIPE, stderr=full) as watch,
    ):
        try:
            pull_the_cable_under_load(child)
            assert watch.stdout
            for _ in range(4):
                assert watch.stdout.readline()
            watch.terminate()

            assert watch.wait(PATIENCE) == 0
        finally:
            watch.kill()


def test_what_is_said_of_new_rules_is_so(child, tmp_path):
    """Whose the connections are is known after a look only."""
    rules = tmp_path / "rules.toml"
    rules.write_text("process = 'nobody'\n")
    with watching(child, "--rules", str(rules)) as daemon:
        assert "watching 0 connections" in daemon.begun
        rules.write_text("within = 1\n")
        daemon.process.send_signal(signal.SIGHUP)

        assert "watching 2 connections: 2 unprotected" in daemon.said("reloaded;")


def test_a_reader_that_goes_away_ends_it_though_nothing_changes(child):
    reading, writing = os.pipe()
    with (
        os.fdopen(reading, "rb") as reader,
        os.fdopen(writing, "wb") as output,
        watching(child, stdout=output) as daemon,
    ):
        output.close()
        reader.close()

        assert daemon.process.wait(PATIENCE) == 141
        assert daemon.rest() == []


@pytest.mark.skipif(HARD < 2 * MANY, reason="needs so many files")
def test_it_may_have_more_files_open_than_select_can_count(child, tmp_path):
    """As on a host of many namespaces, each of which takes two."""
    crowded = (
        "import os, resource as r, sys;"
        f" r.setrlimit(r.RLIMIT_NOFILE, ({2 * MANY}, {HARD}));"
        f" [os.set_inheritable(os.dup(0), True) for _ in range({MANY})];"
        " os.execv(sys.argv[1], sys.argv[1:])"
    )
    out, prefix = tmp_path / "out", [sys.executable, "-c", crowded]
    told = ["--output", str(out), "--on", "suspect", "echo told"]
    with watching(child, *told, prefix=prefix) as daemon:
        daemon.process.send_signal(signal.SIGHUP)
        daemon.said("reloaded;")
        pull_the_cable_under_load(child)
        daemon.said("told")

        assert daemon.ends() == 0
    assert "suspect" in out.read_text()
