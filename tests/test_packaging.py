"""What is packaged beside the code fits it: the service and the dashboard."""

import configparser
import json
import re
import shlex
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from deadpeer.cli.watch import command
from deadpeer.host.metrics import Metrics
from deadpeer.host.selection import Selection
from deadpeer.host.watching import Watcher

PACKAGING = Path(__file__).parents[1] / "packaging"
UNIT = PACKAGING / "deadpeer-watch.service"
BOARD = PACKAGING / "grafana-dashboard.json"


def service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(
        strict=False, interpolation=None, delimiters=("=",)
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser["Service"]


def test_the_service_starts_a_watch_with_options_that_exist():
    program, verb, *words = shlex.split(service()["ExecStart"])

    assert program.startswith("/")
    assert verb == "watch"
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known
    assert "--json" in words


def test_the_service_has_two_capabilities_and_no_way_to_more():
    found = service()

    assert found["AmbientCapabilities"] == "CAP_SYS_PTRACE CAP_DAC_READ_SEARCH"
    assert found["CapabilityBoundingSet"] == found["AmbientCapabilities"]
    assert found["NoNewPrivileges"] == "yes"


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze"
)
def test_systemd_understands_the_service(tmp_path):
    there = UNIT.read_text().replace("/usr/local/bin/deadpeer", "/bin/true")
    unit = tmp_path / UNIT.name
    unit.write_text(there)
    ended = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False
    )

    assert UNIT.name not in ended.stderr, ended.stderr


def test_the_dashboard_asks_for_metrics_that_there_are():
    panels = json.loads(BOARD.read_text())["panels"]
    asked = {
        name
        for panel in panels
        for target in panel["targets"]
        for name in re.findall(r"deadpeer_\w+", target["expr"])
    }
    with (
        Watcher(Selection()) as watcher,
        Metrics(watcher, address=("127.0.0.1", 0), lock=threading.Lock()) as metrics,
    ):
        told = {family.name for family in metrics.families()}

    assert len(panels) >= 8
    assert {re.sub(r"_total$|_bucket$", "", name) for name in asked} <= told
