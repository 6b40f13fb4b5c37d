"""A whole run as an ordinary user."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

import deadpeer

pytestmark = [pytest.mark.netns, pytest.mark.slow]

NOBODY = 65534

RUN = """
import json, os
from deadpeer.lab.runner import run
from deadpeer.lab.scenario import Scenario

done = run(Scenario(within=8, rtt=0.01, families=(4, 6), only=("plan,heartbeat", "cable/idle/plan,normal close,reader pauses,process stopped/idle/h")))
print(json.dumps({"user": os.getuid(), "run": done.to_json(), "ok": done.ok}))
"""

FAIL = """
from deadpeer.errors import LabError
from deadpeer.lab.runner import run
from deadpeer.lab.scenario import Scenario

try:
    run(Scenario(within=6, only=("cable/idle/plan",)))
except LabError as error:
    print(error.hint)
"""

# Root of a user namespace forbids more of them, and gives up what root can do.
FORBID = """
import ctypes, subprocess, sys

open("/proc/sys/user/max_user_namespaces", "w").write("0")
PR_CAPBSET_DROP = 24
for capability in range(64):
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
subprocess.run([sys.executable, "-c", sys.argv[1]], check=True)
"""


def places():
    """Return where the package and the libraries that it needs are."""
    import pyroute2

    found = (deadpeer, click, pyroute2)
    return {str(Path(str(module.__file__)).parent.parent) for module in found}


def may_run(python):
    """Whether an ordinary user may run this interpreter, and it knows enough."""
    script = (
        "import sys, ctypes, json, multiprocessing; assert sys.version_info >= (3, 11)"
    )
    try:
        tried = as_nobody([python, "-c", script])
    except OSError:
        return False
    return tried.returncode == 0


def as_nobody(command):
    return subprocess.run(
        command,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd="/",
        env={"PYTHONPATH": os.pathsep.join(places()), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def python():
    """An interpreter for an ordinary user; root's own may be out of reach."""
    outside = Path("/proc/self/uid_map").read_text(encoding="ascii").split()
    if outside != ["0", "0", "4294967295"]:
        pytest.skip("this is a user namespace already, it has no other users")
    found = (sys.executable, "/usr/bin/python3", *map(shutil.which, ["python3"]))
    for candidate in found:
        if candidate and may_run(candidate):
            return candidate
    pytest.skip("no Python 3.11 or later here that an ordinary user may run")


@pytest.fixture(scope="module")
def allowed():
    tried = as_nobody(["unshare", "--user", "--map-root-user", "--net", "true"])
    if tried.returncode:
        pytest.skip(f"user namespaces are not allowed here: {tried.stderr.strip()}")


def test_an_ordinary_user_can_pull_cables_too(python, allowed):
    done = as_nobody([python, "-W", "error", "-c", RUN])

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    said = json.loads(done.stdout)
    notes = [m["note"] for m in said["run"]["measurements"]]
    assert said["user"] == NOBODY
    assert said["run"]["rootless"]
    assert said["ok"], notes


def test_where_nothing_is_allowed_the_remedy_is_said(python, allowed):
    own_root = ["unshare", "--user", "--map-root-user", python, "-c"]

    done = as_nobody([*own_root, FORBID, FAIL])

    assert done.returncode == 0, done.stderr
    assert "max_user_namespaces" in done.stdout
