"""What ``deadpeer fix``, ``undo`` and ``kill`` say, and the codes they exit with."""

import json
from typing import Any

import pytest
from tests.host.interrupting import interrupted_after_one
from tests.neighbours import Neighbour, neighbour

from deadpeer.cli.outcomes import change_words, line
from deadpeer.cli.root import run
from deadpeer.host import fixing, killing, undoing
from deadpeer.host.outcomes import Outcome
from deadpeer.policy import Keepalive

pytestmark = pytest.mark.netns

# What changes one socket.
CHANGES = {
    "fix": (fixing, "_apply"),
    "undo": (undoing, "_put_back"),
    "kill": (killing, "_end"),
}


@pytest.fixture
def child():
    with neighbour(namespace=True) as made:
        made.told("a, b = pair()")
        yield made


def one(child: Neighbour, name: str = "a") -> tuple[str, ...]:
    """Return what selects one socket of the child."""
    port = child.told(f"{name}.getsockname()[1]")
    return ("sport", "=", f":{port}", "--pid", str(child.pid))


def said(capsys: Any, *words: str, code: int = 0) -> list[str]:
    """Run a verb; return the lines of its output."""
    capsys.readouterr()
    assert run(words) == code
    lines: list[str] = capsys.readouterr().out.splitlines()
    return lines


def test_the_plan_is_one_line_for_each_and_says_how_to_do_it(child, capsys):
    first, *rest = said(capsys, "fix", *one(child), "--within", "8")

    assert first.startswith("planned ")
    assert f"[{child.pid}] 127.0.0.1:" in first
    assert "keepalive off → on, idle 7200 → 1 s" in first
    assert "user timeout none → " in first
    assert all(other.startswith("warning: ") for other in rest[:-1])
    assert any("window stays closed" in other for other in rest)
    assert rest[-1] == "1 planned. Nothing was changed. Do it with --yes."


def test_what_was_done_is_told_with_its_record_and_the_way_back(
    child, capsys, tmp_path
):
    path = tmp_path / "of the fix.json"
    words = ("fix", *one(child), "--within", "8", "--yes", "--record", str(path))

    assert run(words) == 0

    answer = capsys.readouterr()
    assert f"record: {path}" in answer.err
    assert answer.out.startswith("done ")
    assert "the next probe is due in" in answer.out
    way_back = f"deadpeer undo --yes '{path}'"
    assert answer.out.splitlines()[-1].endswith(way_back)

    undone = said(capsys, "undo", "--yes", str(path))
    assert undone[0].startswith("done ")
    assert undone[0].endswith("whatever the system's become: idle, interval")
    assert undone[-1] == "1 done."


def test_nothing_to_do_writes_no_record(child, capsys, tmp_path):
    words = ("fix", *one(child), "--within", "8", "--yes", "--record")
    said(capsys, *words, str(tmp_path / "one.json"))

    lines = said(capsys, *words, str(tmp_path / "two.json"))

    assert lines[0].startswith("already ")
    assert lines[-1] == "1 already. Nothing was changed."
    assert [path.name for path in tmp_path.iterdir()] == ["one.json"]


def test_nothing_selected_is_no_error_and_listeners_are_named(child, capsys):
    child.told("s = socket.create_server(('127.0.0.1', 0))")

    (line_,) = said(capsys, "fix", *one(child, "s"), "--within", "8")

    assert "--listening" in line_


def test_a_refusal_has_its_exit_code_and_the_rest_is_done(child, capsys, tmp_path):
    child.told("s = socket.create_server(('127.0.0.1', 0))")
    child.told("c = socket.create_connection(s.getsockname())")  # not accepted yet
    words = ("fix", "state", "established", "--netns", str(child.pid), "--within", "8")
    record = tmp_path / "record.json"

    lines = said(capsys, *words, "--yes", "--record", str(record), code=5)

    assert any(x.startswith("refused ") and "not accepted it yet" in x for x in lines)
    assert sum(x.startswith("done ") for x in lines) == 3


def test_what_its_program_has_closed_is_gone_and_no_refusal(child, capsys):
    child.told("c, d = pair(); port = c.getsockname()[1]; c.close()")
    port = child.told("port")
    words = ("fix", "sport", "=", f":{port}", "--netns", str(child.pid))

    lines = said(capsys, *words, "--within", "8")

    assert lines[0].startswith("gone ")


def test_a_wrong_filter_points_at_the_place(child, capsys):
    assert run(["fix", "dport", "near", ":80", "--within", "8"]) == 2

    assert ">>" in capsys.readouterr().err


def test_the_json_of_a_fix_has_settings_before_and_after(child, capsys):
    capsys.readouterr()
    assert run(["fix", *one(child), "--within", "8", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)

    assert (data["schema"], data["applied"], data["record"]) == (
        "deadpeer-fix/1",
        False,
        None,
    )
    (socket,) = data["sockets"]
    assert socket["before"]["on"] is False
    assert socket["after"]["on"] is True
    assert socket["local"]["host"] == "127.0.0.1"


def test_a_kill_says_what_was_ended(child, capsys):
    assert said(capsys, "kill", *one(child))[-1] == (
        "1 planned. Nothing was ended. Do it with --yes."
    )
    assert said(capsys, "kill", *one(child), "--yes")[-1] == "1 done."
    assert said(capsys, "kill", *one(child, "a"), "--yes") == [
        "No connection is selected."
    ]


@pytest.mark.parametrize("verb", ["fix", "undo", "kill"])
def test_after_ctrl_c_is_said_what_was_done_and_what_was_not(
    child, capsys, tmp_path, verb
):
    child.told("c, d = pair()")
    path = str(tmp_path / "record.json")
    ports = child.told("[s.getsockname()[1] for s in (a, c)]")
    which = "sport", "=", f":{ports[0]}", "or", "sport", "=", f":{ports[1]}"
    chosen = (*which, "--pid", str(child.pid), "--yes")
    fix = ("fix", *chosen, "--within", "8", "--record", path)
    words = {"fix": fix, "undo": ("undo", "--yes", path), "kill": ("kill", *chosen)}
    if verb == "undo":
        assert run(fix) == 0

    capsys.readouterr()
    with interrupted_after_one(*CHANGES[verb]):
        code = run(words[verb])

    answer = capsys.readouterr()
    assert code == 130
    assert "stopped; what is still planned was left as it is" in answer.err
    lines = answer.out.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["done", "planned"]
    assert lines[-1].startswith("1 planned, 1 done.")


def test_a_warning_names_no_process_in_a_way_that_a_terminal_obeys(child, capsys):
    child.told(
        r"""
a.setblocking(False)
try:
    while True: a.send(b"x" * 65536)
except BlockingIOError:
    pass
Path("/proc/self/comm").write_text("e\x1b[2J")
"""
    )
    # The window probe is armed once all that was sent has been acknowledged.
    for _ in range(200):
        lines = said(capsys, "fix", *one(child), "--within", "8")
        (warning, *_) = [x for x in lines if "at the moment" in x] or [""]
        if warning:
            break

    assert warning.startswith("warning: e\\x1b[2J[")


def test_changes_are_told_and_what_stays_is_not():
    before = Keepalive(idle=60, interval=75, user_timeout=0, on=True)
    after = Keepalive(idle=1, interval=75, user_timeout=3.5, on=True)

    assert change_words(before, after) == "idle 60 → 1 s, user timeout none → 3.5 s"
    assert change_words(after, before) == "idle 1 → 60 s, user timeout 3.5 → none"
    assert change_words(before, before) == "nothing"


def test_a_name_that_a_terminal_would_obey_is_shown_as_it_is():
    shown = line(Outcome.DONE, "evil\x1b]0;name\x07[7]", "")

    assert "\x1b" not in shown.plain
    assert "evil\\x1b]0;name\\x07[7]" in shown.plain
