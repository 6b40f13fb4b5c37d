"""``deadpeer lab`` where people sit: terminals, a real cable, Ctrl-C."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console
from tests.lab.endings import wait_until_gone
from tests.lab.laboratory import Laboratory
from tests.lab.made_run import by_hand, made_run

from deadpeer.cli.lab import REPORT
from deadpeer.cli.lab_progress import watched
from deadpeer.cli.lab_table import print_run
from deadpeer.cli.root import run
from deadpeer.lab.rendering.replay import run_from_text
from deadpeer.lab.rendering.watching import Watching
from deadpeer.lab.scenario import Scenario
from deadpeer.lab.selection import choose_cells


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """No test leaves a report in the repository."""
    monkeypatch.chdir(tmp_path)


def files() -> list[str]:
    """Return what lies in the directory that a test runs in."""
    return sorted(path.name for path in Path().iterdir())


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def terminal(width: int, **more) -> Console:
    """A terminal that remembers."""
    return Console(
        file=io.StringIO(),
        force_terminal=True,
        width=width,
        height=50,
        markup=False,
        emoji=False,
        highlight=False,
        **more,
    )


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("details", [False, True])
def test_a_terminal_of_any_usual_width_is_not_overrun(width, details):
    console = terminal(width, color_system=None)
    print_run(console, made_run(), details=details)
    found = lines(shown(console))

    assert max(map(len, found)) <= width
    # Nothing that counts is cut: both numbers of each row stand on one line.
    assert any("3.00 to 3.27 s" in line and " ok" in line for line in found)


def test_the_table_is_not_wrapped_at_eighty_columns():
    console = terminal(80, color_system=None)
    print_run(console, made_run(), details=False)
    tables = shown(console).split("Cable pulled: who noticed")[0]

    for label in ("loss from peer: unacknowledged", "half closed by the peer"):
        assert f"  {label}  " in tables


def test_colours_are_for_terminals_that_want_them(monkeypatch):
    coloured = terminal(100, color_system="standard")
    print_run(coloured, by_hand(), details=False)
    assert "\x1b[31m" in shown(coloured)

    monkeypatch.setenv("NO_COLOR", "1")
    plain = terminal(100, color_system="standard")
    print_run(plain, by_hand(), details=False)
    assert "\x1b[3" not in shown(plain)


def test_on_a_terminal_a_run_can_be_watched():
    console = terminal(100, color_system=None)
    scenario = Scenario()
    cells = choose_cells(scenario)
    with watched(console, scenario, Watching(cells)) as listener:
        Laboratory().run(scenario, progress=listener)
    frames = shown(console)

    assert "Building networks for 140 connections" in frames
    assert "since: cable pulled" in frames
    assert "promise: 10 s" in frames
    assert (
        "20 still believe in a dead peer, 82 have noticed; 38 peers are alive" in frames
    )
    assert "unnoticed" in frames


@pytest.mark.netns
@pytest.mark.slow
def test_a_real_cable_is_pulled_and_reported(capsys):
    assert (
        run(["lab", "--within", "6", "--only", "plan", "--only", "normal,killed"]) == 0
    )

    out = capsys.readouterr().out
    assert "All 6 measurements lie within their predictions." in out
    found = run_from_text(Path(REPORT).read_text(encoding="utf-8"))
    assert found.kernel == os.uname().release
    assert all(m.at is not None for m in found.measurements)


@pytest.mark.netns
@pytest.mark.slow
def test_ctrl_c_in_the_middle_of_a_run_leaves_nothing():
    with subprocess.Popen(
        [sys.executable, "-m", "deadpeer", "lab", "--only", "outage"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("lab: building networks")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        give_up_at = time.monotonic() + 20
        while not (running := children.read_text(encoding="ascii").split()):
            assert time.monotonic() < give_up_at
            time.sleep(0.01)  # nothing tells when a process has been started
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)

    assert (process.returncode, out, err) == (130, "", "")
    assert files() == []
    # One that was only just started dies with its parent, by the kernel's hand.
    wait_until_gone(map(int, running))
