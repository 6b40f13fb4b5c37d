"""A run that is killed half way leaves nothing: no process, namespace or file."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.netns, pytest.mark.slow]

RUN = """
from deadpeer.lab.runner import run
from deadpeer.lab.scenario import Scenario

def tell(news):
    print(news.what, flush=True)

run(Scenario(within=6, rtt=0.002, only=("plan", "silent drop,reboot,none")), progress=tell)
"""


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


def namespaces(pid="[0-9]*"):
    """Return the network namespaces that processes are in, or hold open."""
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
    links = {entry.name for entry in Path("/sys/class/net").iterdir()}
    return links, {entry.name for entry in named.iterdir()} if named.exists() else {}


@pytest.fixture
def before():
    return surroundings()


@pytest.fixture
def started(tmp_path, before):
    """A run under way, after its first fault."""
    with subprocess.Popen(
        [sys.executable, "-c", RUN],
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


def wait_until_gone(pids):
    """Wait for the ends of processes that are not our children."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ready = select.select([descriptor], [], [], 10)[0]
        os.close(descriptor)
        assert ready, f"process {pid} is still there"


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
    assert surroundings() == before
    made = children(started.pid)
    theirs = {name for pid in made for name in namespaces(pid)}

    # A worker, and for each of three networks a peer and a wire.
    assert len(made) == 7
    # Four hosts each, one more for the reboot, and the worker's own.
    assert len(theirs) == 3 * 4 + 1 + 1

    kill(started, victim, number)
    wait_until_gone([*made, started.pid])

    assert children(started.pid) == set()
    assert namespaces() & theirs == set()
    assert list(tmp_path.iterdir()) == []
