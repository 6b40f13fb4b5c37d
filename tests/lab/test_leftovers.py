"""A run that is killed half way leaves nothing: no process, namespace or file."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.lab.endings import wait_until_gone

from deadpeer.errors import LabError
from deadpeer.lab.false_time import MEMORY, find_library

pytestmark = [pytest.mark.netns, pytest.mark.slow]

RUN = """
from deadpeer.lab.runner import run
from deadpeer.lab.scenario import Scenario

def tell(news):
    print(news.what, flush=True)

run(Scenario(within=6, rtt=0.002, only=("plan", "silent drop,reboot,none")), progress=tell)
"""

# A clock of its own (a file and shared memory), and a watcher that is stopped.
BEATING = """
from deadpeer.lab.runner import run
from deadpeer.lab.scenario import Scenario

struck = set()

def tell(news):
    if news.what == "struck":
        struck.add(news.fault)
    print("struck" if len(struck) == 2 else "", flush=True)

faults = "watcher stopped,clock stepped"
run(Scenario(within=2, heartbeats=True, only=("heartbeat/", faults)), progress=tell)
"""


def has_false_time():
    try:
        find_library()
    except LabError:
        return False
    return True


def children(pid):
    """Return the numbers of all descendants of a process."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(encoding="utf-8")
            except OSError:
                continue  # gone meanwhile
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = {pid}
    while more := {p for p, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def bearers(folder):
    """
    Return the numbers of all processes that were started with a folder of their own.

    What holds a namespace is one of them, wherever it has got to. The namespaces
    themselves tell less: their numbers are given to the next ones at once.
    """
    mark = f"TMPDIR={folder}".encode()
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone meanwhile
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.add(int(entry.name))
    return found


def namespaces(pid):
    """Return the network namespaces that a process is in, or holds open."""
    found = set()
    for link in Path("/proc").glob(f"{pid}/task/*/ns/net"):
        found |= inode(link)
    for link in Path("/proc").glob(f"{pid}/fd/*"):
        found |= inode(link)
    return found - inode(Path("/proc/self/ns/net"))


def inode(link):
    try:
        target = str(link.readlink())
    except OSError:
        return set()
    return {target} if target.startswith("net:[") else set()


def surroundings():
    """Return what a run could leave outside its processes."""
    named = Path("/run/netns")
    links = set(Path("/sys/class/net").iterdir())
    hosts = set(named.iterdir()) if named.exists() else set()
    return links | hosts | set(MEMORY.glob("*faketime*"))


def left_since(before):
    """
    Return what is there that was not there before.

    Memory bears the number of its process; what a live one has is not left yet, and
    may be that of another lab on this machine.
    """
    return {
        found
        for found in surroundings() - before
        if found.parent != MEMORY
        or not Path("/proc", found.name.rpartition("_")[2]).exists()
    }


@pytest.fixture
def before():
    return surroundings()


@pytest.fixture
def started(tmp_path, before, request):
    """A run under way, after its first fault."""
    script = getattr(request, "param", RUN)
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={
            **os.environ,
            "TMPDIR": str(tmp_path),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
    ) as process:
        assert process.stdout
        assert any(line.strip() == "struck" for line in process.stdout)
        yield process
        process.kill()


def kill(process, victim, number):
    if victim == "the run":
        process.send_signal(number)
        return
    workers = [
        pid
        for pid in children(process.pid)
        if b"deadpeer.lab.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    assert len(workers) == 1
    os.kill(workers[0], number)


@pytest.mark.parametrize(
    ("victim", "number"),
    [
        ("the run", signal.SIGKILL),
        ("the run", signal.SIGINT),
        ("the worker", signal.SIGKILL),
    ],
)
def test_nothing_is_left_of_a_run_that_is_killed_half_way(
    tmp_path, before, started, victim, number
):
    # Nothing shows outside while it runs, so nothing has to be put back.
    assert left_since(before) == set()
    made = children(started.pid)
    theirs = {name for pid in made for name in namespaces(pid)}

    # A worker, and for each of three networks a peer and a wire.
    assert len(made) == 7
    assert bearers(tmp_path) == made | {started.pid}
    # Four hosts each, one more for the reboot, and the worker's own.
    assert len(theirs) == 3 * 4 + 1 + 1

    kill(started, victim, number)
    wait_until_gone([*made, started.pid])

    assert children(started.pid) == set()
    assert bearers(tmp_path) == set()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not has_false_time(), reason="libfaketime is not installed")
@pytest.mark.parametrize("started", [BEATING], indirect=True, ids=["heartbeats"])
@pytest.mark.parametrize("victim", ["the run", "the worker"])
def test_nothing_is_left_of_watchers_stopped_or_not(tmp_path, before, started, victim):
    made = children(started.pid)

    # A worker, and for each of two networks a watcher and two peers.
    assert len(made) == 1 + 2 * 3
    assert bearers(tmp_path) == made | {started.pid}

    kill(started, victim, signal.SIGKILL)
    wait_until_gone([*made, started.pid])

    assert children(started.pid) == set()
    assert bearers(tmp_path) == set()
    assert left_since(before) == set()
    assert list(tmp_path.iterdir()) == []
