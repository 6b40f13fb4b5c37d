"""The root of the command line: verbs, help, errors, output that cannot be written."""

import os
import pty
import re
import subprocess
import sys
import time
import types
from typing import Any

import click
import pytest

from deadpeer import errors
from deadpeer.cli.root import VERBS, Verb, run

PROGRAM = [sys.executable, "-m", "deadpeer"]
QUICK = 0.25  # seconds that --help may take

ERRORS = [
    getattr(errors, name)
    for name in errors.__all__
    if issubclass(getattr(errors, name), errors.DeadPeerError)
]


def program(*arguments: str, **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments], capture_output=True, text=True, check=False, **more
    )


@pytest.fixture
def verb(monkeypatch):
    """Return a function that makes a verb ``odd`` of a function."""

    def make(action) -> None:
        module: Any = types.ModuleType("deadpeer_odd_verb")
        module.command = click.command()(action)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(VERBS, "odd", Verb(module=module.__name__, help="Be odd."))

    return make


def raising(error: BaseException):
    def action() -> None:
        raise error

    return action


def test_help_is_there_at_once():
    def once() -> float:
        began = time.perf_counter()
        assert program("--help").returncode == 0
        return time.perf_counter() - began

    # The machine may be busy with something else now and then, not always.
    assert any(once() < QUICK for _ in range(20))


def test_help_imports_no_verb_and_nothing_heavy():
    code = (
        "import sys; from deadpeer.cli.root import run; run(['--help']);"
        "print(sorted(m for m in sys.modules"
        " if m.startswith(('rich', 'pyroute2', 'deadpeer'))))"
    )

    output = subprocess.check_output([sys.executable, "-c", code], text=True)

    assert output.splitlines()[-1] == str(
        [
            "deadpeer",
            "deadpeer.cli",
            "deadpeer.cli.root",
            "deadpeer.errors",
        ]
    )


def test_help_names_every_verb_with_its_sentence(capsys):
    assert run(["--help"]) == 0

    printed = capsys.readouterr().out
    for name, row in VERBS.items():
        assert re.search(rf"^  {name} +{re.escape(row.help)}$", printed, re.MULTILINE)


def test_without_a_verb_help_goes_to_stderr_and_the_exit_code_is_2(capsys):
    assert run([]) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("Usage: deadpeer")


@pytest.mark.parametrize("name", list(VERBS))
def test_every_verb_of_the_table_is_there_and_has_help(name, capsys):
    assert run([name, "--help"]) == 0

    printed = capsys.readouterr().out
    assert printed.startswith(f"Usage: deadpeer {name}")


def test_the_version_is_that_of_the_distribution(capsys):
    from importlib.metadata import version

    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"deadpeer {version('deadpeer')}\n"


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_an_error_is_one_line_with_its_hint_and_its_exit_code(kind, verb, capsys):
    verb(raising(kind("this is\nwrong", hint="do that")))

    assert run(["odd"]) == kind.exit_code
    assert capsys.readouterr() == ("", "error: this is wrong; do that\n")


def test_an_error_without_a_hint_ends_after_its_sentence(verb, capsys):
    verb(raising(errors.LabError("no room")))

    assert run(["odd"]) == 6
    assert capsys.readouterr().err == "error: no room\n"


def test_what_a_terminal_would_obey_is_not_repeated_to_it(capsys):
    assert run(["\x1b]0;pwned\x07\u202e"]) == 2

    printed = capsys.readouterr().err
    assert printed.rstrip("\n").isprintable()
    assert "\\x1b" in printed


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["--nonsense"],
        ["explain", "--nonsense"],
        ["explain", "--within"],
        ["completion"],
        ["completion", "tcsh"],
    ],
)
def test_a_wrong_command_line_is_one_line_that_names_the_help(arguments, capsys):
    assert run(arguments) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(r"error: .+; see: deadpeer.* --help\n", printed.err)


@pytest.mark.parametrize("signal", [KeyboardInterrupt(), click.Abort()])
def test_an_interrupted_verb_is_silent_and_exits_with_130(signal, verb, capsys):
    verb(raising(signal))

    assert run(["odd"]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_verb_chooses_its_exit_code(verb):
    verb(lambda: click.get_current_context().exit(7))

    assert run(["odd"]) == 7


def test_a_file_that_cannot_be_read_is_named_and_no_traceback(verb, capfd):
    verb(lambda: open("/nowhere/at/all"))  # noqa: PTH123, SIM115

    assert in_a_child(lambda: run(["odd"])) == 1
    assert capfd.readouterr().err == (
        "error: /nowhere/at/all: No such file or directory\n"
    )


def in_a_child(action) -> int:
    """Return what *action* returns, in a process whose output may be given up."""
    child = os.fork()
    if not child:
        os._exit(action())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_mistake_of_ours_is_not_hidden(verb):
    verb(raising(ZeroDivisionError("ours")))

    with pytest.raises(ZeroDivisionError):
        run(["odd"])


@pytest.mark.parametrize(
    "arguments", [["completion", "bash"], ["explain"], ["explain", "--code"]]
)
def test_a_reader_that_goes_away_ends_the_program_quietly(arguments):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [*PROGRAM, *arguments], stdout=pipe, stderr=subprocess.PIPE, check=False
        )

    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["explain"]])
def test_a_full_disk_is_an_error(arguments):
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run(
            [*PROGRAM, *arguments], stdout=full, stderr=subprocess.PIPE, check=False
        )

    assert done.returncode == 1
    assert done.stderr == b"error: No space left on device\n"


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_one_line_says_what_to_install(missing):
    code = (
        f"import sys; sys.modules[{missing!r}] = None;"
        "from deadpeer.cli import main; main(['explain'])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert done.returncode == 3
    assert done.stdout == ""
    assert re.fullmatch(
        rf"error: .* needs {missing}, which is not installed;"
        r" pip install 'deadpeer\[cli\]'\n",
        done.stderr,
    )


def test_a_verb_whose_extra_is_missing_names_the_extra(monkeypatch, capsys):
    monkeypatch.setitem(VERBS, "odd", Verb(module="deadpeer_odd_verb", help=""))
    finder = types.SimpleNamespace(
        find_spec=lambda name, *_: _missing("pyroute2") if "odd" in name else None
    )
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])

    assert run(["odd"]) == 3
    assert capsys.readouterr().err == (
        "error: deadpeer odd needs pyroute2, which is not installed;"
        " pip install 'deadpeer[lab]'\n"
    )


def _missing(name: str):
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_a_verb_that_misses_something_else_is_a_mistake_of_ours(monkeypatch):
    monkeypatch.setitem(VERBS, "odd", Verb(module="deadpeer.cli.nowhere", help=""))

    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        run(["odd"])


def on_a_terminal(arguments: list[str], **environment: str) -> bytes:
    """Return what the program writes to a terminal as its stderr."""
    ours, theirs = pty.openpty()
    env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | environment
    subprocess.run(
        [*PROGRAM, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=env,
        check=False,
    )
    os.close(theirs)
    written = os.read(ours, 4096)
    os.close(ours)
    return written


def test_errors_have_colour_on_a_terminal_only_and_not_with_no_color():
    assert b"\x1b[31m" in on_a_terminal(["nonsense"], TERM="xterm")
    assert b"\x1b[" not in on_a_terminal(["nonsense"], TERM="xterm", NO_COLOR="1")
    assert "\x1b[" not in program("nonsense").stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(shell, capsys):
    assert run(["completion", shell]) == 0
    assert "_DEADPEER_COMPLETE" in capsys.readouterr().out


def test_bash_understands_its_script(tmp_path):
    script = tmp_path / "deadpeer"
    script.write_text(program("completion", "bash").stdout)

    subprocess.run(["bash", "-n", script], check=True)


def completed(words: str) -> list[str]:
    env = os.environ | {
        "_DEADPEER_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - (not words.endswith(" "))),
    }
    output = subprocess.check_output(PROGRAM, env=env, text=True)
    return [line.partition(",")[2] for line in output.splitlines()]


def test_verbs_options_and_languages_are_completed():
    assert completed("deadpeer ") == list(VERBS)
    assert completed("deadpeer ex") == ["explain"]
    assert "--within" in completed("deadpeer explain --")
    assert completed("deadpeer explain --code ngi") == ["nginx"]
