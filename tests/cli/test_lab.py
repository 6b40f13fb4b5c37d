"""``deadpeer lab``: every option, every wrong turn, and one real cable."""

import json
import sys
from pathlib import Path

import pytest
from tests.lab.laboratory import Laboratory
from tests.lab.made_run import by_hand, failed, made_run

from deadpeer.cli.lab import REPORT, command
from deadpeer.cli.root import run
from deadpeer.errors import LabError
from deadpeer.lab import runner
from deadpeer.lab.rendering.replay import run_from_text
from deadpeer.lab.scenario import Run, Scenario
from deadpeer.lab.selection import choose_cells
from deadpeer.policy.keepalive import Keepalive


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """No test leaves a report in the repository."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def laboratory(monkeypatch):
    stand_in = Laboratory()
    monkeypatch.setattr(runner, "run", stand_in.run)
    return stand_in


@pytest.fixture
def earlier(tmp_path):
    """A file with the JSON of an earlier run."""

    def written(found: Run) -> str:
        path = tmp_path / "earlier.json"
        path.write_text(json.dumps(found.to_json()), encoding="utf-8")
        return str(path)

    return written


GOLDEN = """\
                       predicted       measured         ok         decided by
Nothing set, cable pulled: unnoticed in 3 of 3
  idle                 never           nothing in 15 s  ok         no keepalive
  unacknowledged       15 to 18 min    nothing in 15 s  ok         15 retries
  idle, then a write   15 to 18 min    nothing in 15 s  ok         15 retries

Keepalive alone, cable pulled: unnoticed in 2 of 3, as soon as data is in flight
  idle                 6.90 to 7.30 s  7.10 s           ok         3 probes
  unacknowledged       15 to 18 min    nothing in 15 s  ok         15 retries
  idle, then a write   15 to 18 min    nothing in 15 s  ok         15 retries

The plan, cable pulled: all within 10 s, the last after 7.80 s
  idle                 3.90 to 4.30 s  4.10 s           ok         3 probes
  unacknowledged       4.10 to 4.50 s  4.30 s           ok         the user timeout
  idle, then a write   4.60 to 8.00 s  4.80 to 7.80 s   2 of 2 ok  the user timeout

The plan, other faults: all within 10 s, the last after 0.05 s
  normal close: idle   within 0.1 s    0.05 s           ok         a goodbye

Live peers: all 2 left alone
  outage 1.25 s: idle  stays alive     alive, 15 s      ok         the peer lives
  idle                 stays alive     alive, 15 s      ok         the peer lives

Cable pulled: who noticed, and when  (the latest of several; unnoticed in 15 s)
                      nothing    keepalive  plan
  idle                unnoticed  7.10 s     4.10 s
  unacknowledged      unnoticed  unnoticed  4.30 s
  idle, then a write  unnoticed  unnoticed  7.80 s

Cable pulled (elsewhere: closed by the peer) at 0 s.
Connections with the plan: 4 of 4 reported within 10 s, the latest after 7.80 s.
Unnoticed for 15 s: 3 of 3 states with nothing set, 2 of 3 with keepalive alone (as soon as data is in flight).
Live peers: 2 of 2 left alone.
All 13 measurements lie within their predictions.
"""


def files() -> list[str]:
    """Return what lies in the directory that a test runs in."""
    return sorted(path.name for path in Path().iterdir())


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def test_an_earlier_run_is_shown_again_in_full(earlier, capsys):
    assert run(["lab", "--from", earlier(by_hand())]) == 0

    out, err = capsys.readouterr()
    assert lines(out) == lines(GOLDEN)
    assert err == ""
    assert not Path(REPORT).exists()


def test_what_failed_is_shown_in_full_and_decides_the_exit_code(earlier, capsys):
    found = failed(by_hand(), "cable/idle/plan/v4", at=12.0, note="too late")

    assert run(["lab", "--from", earlier(found)]) == 1

    out = capsys.readouterr().out
    assert (
        "cable/idle/plan/v4: too late; predicted 3.90 to 4.30 s;"
        " measured ETIMEDOUT after 12.00 s;"
        " unanswered: probes 3, retransmissions 0" in out
    )
    assert "1 of 13 measurements lie outside their prediction." in out
    assert "12.00 s FAILED" in out


def test_details_are_a_row_for_every_connection(earlier, capsys):
    run(["lab", "--from", earlier(by_hand()), "--details"])

    out = capsys.readouterr().out
    assert "idle, then a write at 3.5 s" in out
    assert "ETIMEDOUT, 3 probes, 0 resent" in out


def test_a_run_ends_with_the_place_of_its_report(laboratory, capsys):
    assert run(["lab"]) == 0

    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == f"report: {REPORT}"
    assert run_from_text(Path(REPORT).read_text(encoding="utf-8")).ok
    assert lines(err) == [
        "lab: building networks for 140 connections",
        "lab: cable pulled; watching for 28 s",
        *lines(err)[2:],
    ]
    assert "lab: 10 s later: 82 of 102 deaths noticed, 20 still believe" in err


def test_the_next_run_replaces_the_report_of_the_last(laboratory):
    assert run(["lab"]) == 0
    first = Path(REPORT).read_text(encoding="utf-8")
    assert run(["lab", "--within", "8"]) == 0

    assert Path(REPORT).read_text(encoding="utf-8") != first
    assert files() == [REPORT]


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("theirs.html", "is there already and is no report of deadpeer lab"),
        ("missing/report.html", "there is no directory"),
        (".", "is a directory"),
        ("/dev/null", "is there already"),
    ],
)
def test_a_file_that_is_not_ours_is_left_alone_and_nothing_is_run(
    laboratory, capsys, target, sentence
):
    Path("theirs.html").write_text("<html>years of work</html>", encoding="utf-8")

    for option in ("--report", "--svg"):
        assert run(["lab", option, target]) == 2
        assert sentence in capsys.readouterr().err

    assert Path("theirs.html").read_text(encoding="utf-8").startswith("<html>years")
    assert laboratory.asked == []


def test_no_report_is_written_where_none_is_wanted(laboratory, capsys):
    assert run(["lab", "--no-report"]) == 0

    assert files() == []
    assert "report:" not in capsys.readouterr().out


def test_a_picture_goes_where_it_is_wanted_and_replaces_its_like(laboratory, capsys):
    for _ in range(2):
        assert run(["lab", "--svg", "it.svg", "--report", "other.html"]) == 0

    assert files() == ["it.svg", "other.html"]
    assert Path("it.svg").read_text(encoding="utf-8").startswith("<svg ")
    assert lines(capsys.readouterr().out)[-2:] == [
        "picture: it.svg",
        "report: other.html",
    ]


def test_json_is_all_there_is_on_standard_output(laboratory, capsys):
    assert run(["lab", "--json"]) == 0

    out = capsys.readouterr().out
    data = json.loads(out)
    assert (data["schema"], data["verb"]) == (1, "lab")
    assert run_from_text(out).measurements == made_run(laboratory.asked[0]).measurements
    assert files() == []


def test_json_and_pages_lead_from_one_to_the_other(laboratory, capsys):
    run(["lab"])
    capsys.readouterr()
    assert run(["lab", "--from", REPORT, "--json"]) == 0
    Path("run.json").write_text(capsys.readouterr().out, encoding="utf-8")
    assert run(["lab", "--from", "run.json", "--report", "again.html"]) == 0

    again = Path("again.html").read_text(encoding="utf-8")
    assert again == Path(REPORT).read_text(encoding="utf-8")


def test_options_become_a_scenario(laboratory):
    arguments = (
        "lab --within 8s --rtt 20ms --family both --only cable --only idle,zero --full"
    )
    run(arguments.split())
    run(["lab", "--ipv6", "--keepalive", "5,500ms,3,4.5", "--within", "20"])
    run(["lab", "--allow-stalled-reader", "--within", "60"])

    run(["lab", "--heartbeats", "--loop", "threads", "--within", "3"])
    run(["lab", "--no-heartbeats"])

    first, second, third, fourth, fifth = laboratory.asked
    assert first.heartbeats is None
    assert (fourth.heartbeats, fourth.loop, fourth.within) == (True, "threads", 3)
    assert (fifth.heartbeats, fifth.loop) == (False, "asyncio")
    assert (first.within, first.rtt, first.families) == (8.0, 0.02, (4, 6))
    assert (first.only, first.full) == (("cable", "idle,zero"), True)
    assert second.families == (6,)
    assert second.custom == Keepalive(idle=5, interval=0.5, probes=3, user_timeout=4.5)
    assert third.allow_stalled_reader


def test_cells_are_listed_without_a_run(laboratory, capsys):
    assert run(["lab", "--list"]) == 0
    listed = capsys.readouterr().out

    assert laboratory.asked == []
    for cell in choose_cells(Scenario()):
        assert f"\n{cell.id}  " in listed
    assert run(["lab", "--list", "--only", "none", "--json"]) == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert [cell["fault"] for cell in cells] == ["none", "none"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--within nonsense", "is not a duration"),
        ("--within -1", "within=-1.0"),
        ("--within 2", "within=2.0"),
        ("--rtt inf", "is not a duration"),
        ("--family 5", "'5' is not one of '4', '6', 'both'"),
        ("--only nowhere", "no cell matches 'nowhere'"),
        ("--keepalive 5,1", "is not IDLE,INTERVAL,PROBES[,USER_TIMEOUT]"),
        ("--keepalive 5,1,three", "is not IDLE,INTERVAL,PROBES[,USER_TIMEOUT]"),
        ("--keepalive 5,x,3", "'x' is not a duration"),
        ("--keepalive 0,1,3", "idle=0.0"),
        ("--keepalive 5,1,999", "probes=999"),
        ("--keepalive 5,1,3 --allow-stalled-reader", "do not go together"),
        ("--no-heartbeats --loop threads", "--no-heartbeats and --loop do not go"),
        ("--loop trio", "'trio' is not one of"),
        ("--from x.json --heartbeats", "do not go together"),
        ("--report a.html --no-report", "do not go together"),
        ("--report a.html --svg a.html", "name the same file"),
        ("--from x.json --within 5", "do not go together"),
        ("--from x.json --list", "do not go together"),
        ("--list --report a.html", "do not go together"),
        ("--json --details", "do not go together"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_runs_nothing(
    laboratory, capsys, arguments, sentence
):
    assert run(["lab", *arguments.split()]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert sentence in err
    assert laboratory.asked == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "No such file"),
        ("not json", "this is no run of the lab"),
        ('{"schema": 99}', "schema 99"),
    ],
)
def test_what_holds_no_run_is_refused(capsys, content, sentence):
    if content is not None:
        Path("it.json").write_text(content, encoding="utf-8")

    assert run(["lab", "--from", "it.json"]) in (2, 5)
    assert sentence in capsys.readouterr().err


def test_a_lab_that_cannot_be_built_says_what_would_allow_it(laboratory, capsys):
    laboratory.error = LabError("no networks here", hint="run it as root")

    assert run(["lab"]) == 6

    err = lines(capsys.readouterr().err)
    assert err[-1] == "error: no networks here; run it as root"
    assert files() == []


def test_an_interrupted_run_writes_nothing(laboratory):
    laboratory.error = KeyboardInterrupt()

    assert run(["lab"]) == 130
    assert files() == []


def test_a_missing_extra_is_one_clear_line(laboratory, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyroute2", None)

    assert run(["lab"]) == 3

    err = capsys.readouterr().err
    assert err == (
        "error: deadpeer lab needs pyroute2, which is not installed;"
        " pip install 'deadpeer[lab]'\n"
    )
    assert laboratory.asked == []


def test_a_missing_loop_is_one_clear_line(laboratory, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "uvloop", None)

    assert run(["lab", "--loop", "uvloop"]) == 3
    assert "pip install 'deadpeer[uvloop]'" in capsys.readouterr().err
    assert laboratory.asked == []


def test_what_is_left_out_is_said(laboratory, monkeypatch, capsys):
    def nowhere():
        raise LabError("not installed")

    monkeypatch.setattr(runner, "find_library", nowhere)

    assert run(["lab", "--heartbeats"]) == 0
    assert "no wall clock is stepped" in capsys.readouterr().err


def test_the_help_names_every_option(capsys):
    assert run(["lab", "--help"]) == 0

    said = capsys.readouterr().out
    options = [name for option in command.params for name in option.opts]
    assert len(options) > 10
    assert [name for name in options if name not in said] == []
