"""``deadpeer run`` as whoever types it meets it: pid, exit code, signals, terminal."""

import fcntl
import json
import os
import pty
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.host.launched import PROGRAM, launched, until

from deadpeer.cli.root import run
from deadpeer.cli.run_log import RunLog, entry_of, sentence
from deadpeer.host.trapped import Happening

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="programs are supervised on Linux only"
)

WITHIN = ("--within", "6")
F_GETPIPE_SZ = 1032  # include/uapi/linux/fcntl.h


def ran(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    command = [*PROGRAM, *WITHIN, "--", *words]
    return subprocess.run(command, text=True, check=False, timeout=30, **piped)


def refused(*words: str, sentence: str) -> tuple[int, bool]:
    """Return the exit code, and whether one line says this."""
    # In a process of its own, which is the program if nothing is refused after all.
    done = subprocess.run(
        [*PROGRAM, *words], capture_output=True, text=True, check=False, timeout=30
    )
    return done.returncode, sentence in done.stderr and done.stderr.count("\n") == 1


# -- what the program sees -----------------------------------------------------------


def test_the_program_has_the_pid_and_the_parent_of_the_command(tmp_path):
    with launched("sh", "-c", "echo $$ $PPID", log=tmp_path / "log") as program:
        assert program.line() == f"{program.pid} {os.getpid()}"


def test_its_exit_code_is_the_commands():
    assert ran("sh", "-c", "exit 37").returncode == 37


def test_a_signal_ends_it_and_is_seen_by_its_parent(tmp_path):
    with launched("sleep", "60", log=tmp_path / "log") as program:
        # What the helper tells comes before the program.
        until(lambda: program.told("helper"))
        program.process.send_signal(signal.SIGTERM)

        assert program.process.wait(10) == -signal.SIGTERM


def test_what_it_gets_is_what_the_command_got():
    code = "import os; print(dict(os.environ), os.getcwd(), os.umask(0))"
    surroundings = {"A": "1", "B": "two words", "LC_ALL": "C", "PATH": "/bin:/usr/bin"}
    plain = subprocess.run(
        [sys.executable, "-c", code],
        env=surroundings,
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran(sys.executable, "-c", code, env=surroundings).stdout == plain.stdout


def ignored(status: str) -> int:
    """Return the set of signals that a process ignores, a bit for each."""
    return int(status.split()[1], 16)


def ignored_without_us() -> int:
    """Return what a program ignores that this process starts: what it inherited."""
    plain = ["grep", "SigIgn", "/proc/self/status"]
    return ignored(subprocess.check_output(plain, text=True))


def test_signals_that_python_ignores_are_not_ignored():
    status = ran("grep", "SigIgn", "/proc/self/status").stdout

    assert ignored(status) == ignored_without_us()
    assert not ignored(status) & 1 << (signal.SIGPIPE - 1)


def test_a_service_of_systemd_finds_sigpipe_ignored_as_without_the_command():
    # systemd tells a service's first process that it is it.
    started = 'export SYSTEMD_EXEC_PID=$$; exec "$@"'
    words = [*PROGRAM, *WITHIN, "--", "grep", "SigIgn", "/proc/self/status"]
    status = subprocess.check_output(["sh", "-c", started, "-", *words], text=True)

    assert ignored(status) == ignored_without_us() | 1 << (signal.SIGPIPE - 1)


def test_an_environment_that_python_would_not_make_is_no_hindrance():
    odd = subprocess.run(
        ["env", "=x", *PROGRAM, *WITHIN, "--", "true"], check=False, timeout=30
    )

    assert odd.returncode == 0


def test_its_descriptors_are_those_it_was_given():
    listed = ran("ls", "/proc/self/fd", stdin=subprocess.DEVNULL).stdout.split()

    # 3 is the directory that is listed.
    assert listed == ["0", "1", "2", "3"]


def test_a_pipeline_ends_with_the_program(tmp_path):
    # Were the helpers to hold the pipe, its reader would wait for them.
    reading, writing = os.pipe()
    with (
        os.fdopen(reading) as pipe,
        launched("echo", "done", log=tmp_path / "log", stdout=writing),
    ):
        os.close(writing)
        assert pipe.read() == "done\n"


def test_ctrl_c_on_a_terminal_is_for_the_program_only(tmp_path):
    child = """
import os, signal, sys, time
def heard(*_):
    print("heard", flush=True)
    os._exit(5)
signal.signal(signal.SIGINT, heard)
assert os.isatty(0) and os.isatty(1)
assert os.tcgetpgrp(0) == os.getpgrp()
print("ready", flush=True)
time.sleep(30)
"""
    log = tmp_path / "log"
    command = [*PROGRAM, *WITHIN, "--log", str(log), "--json", "--"]
    pid, terminal = pty.fork()
    if pid == 0:
        words = [*command, sys.executable, "-c", child]
        os.execv(words[0], words)  # noqa: S606
    try:
        seen = b""
        while b"ready" not in seen:
            seen += os.read(terminal, 1024)
        os.write(terminal, b"\x03")
        while b"heard" not in seen:
            seen += os.read(terminal, 1024)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        os.close(terminal)

    assert code == 5
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert events.count("helper") == 2, "a helper was ended and replaced"


@pytest.mark.netns
def test_a_connection_it_is_started_with_is_protected(tmp_path):
    code = "import socket; print(socket.socket(fileno=0).getsockopt(1, 9))"
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as near,
        server.accept()[0],
        launched(
            *(sys.executable, "-c", code), log=tmp_path / "log", stdin=near.fileno()
        ) as program,
    ):
        assert program.line() == "1"
        (told,) = program.told("protected")

    assert (told["call"], told["descriptor"]) == ("inherited", 0)


# -- what cannot be started -----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        ("not-there-at-all", 127, "not-there-at-all is not there"),
        ("/not/there", 127, "/not/there is not there"),
        ("{}/plain", 126, "Permission denied"),
        ("{}/nonsense", 126, "Exec format error"),
        ("{}/orphan", 127, "needs an interpreter that is not there"),
    ],
)
def test_a_program_that_cannot_be_started_is_told_as_shells_do(
    name, code, sentence, tmp_path
):
    (tmp_path / "plain").write_text("text")
    (tmp_path / "nonsense").write_bytes(b"\0nonsense")
    (tmp_path / "orphan").write_text("#!/not/there\n")
    for executable in ("nonsense", "orphan"):
        (tmp_path / executable).chmod(0o755)

    done = ran(name.format(tmp_path))

    assert done.returncode == code
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["true"], "--within SECONDS"),
        (["--within", "6"], "name the program"),
        (["--within", "6", "--keepalive", "5,1,3", "true"], "do not go together"),
        (["--keepalive", "5,1,3", "--rtt", "1", "true"], "do not go together"),
        (["--within", "1", "true"], "the smallest promise"),
        (["--within", "6", "--json", "true"], "-v or --log"),
        (["--keepalive", "99999,1,3", "true"], "TCP_KEEPIDLE"),
    ],
)
def test_a_wrong_command_line_starts_nothing(words, sentence):
    assert refused(*words, sentence=sentence) == (2, True)


def test_a_log_that_cannot_be_written_starts_nothing(tmp_path):
    words = [*WITHIN, "--log", f"{tmp_path}/no/log", "true"]

    assert refused(*words, sentence="No such file") == (1, True)


def test_options_of_the_program_are_the_programs():
    assert ran("echo", "--json", "-v").stdout == "--json -v\n"


# -- what is told ---------------------------------------------------------------------


def test_it_is_silent_unless_asked():
    done = ran("true")

    assert (done.stdout, done.stderr) == ("", "")


def test_verbose_tells_on_stderr():
    done = subprocess.run(
        [*PROGRAM, *WITHIN, "-v", "--", "true"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == ""
    assert done.stderr.startswith("deadpeer: protecting ")
    assert "stands by" in done.stderr


def test_own_values_may_be_given_in_place_of_a_promise(tmp_path):
    code = """
import socket
with socket.create_server(("127.0.0.1", 0)) as s:
    print([s.getsockopt(*o) for o in ((1, 9), (6, 4), (6, 5), (6, 6), (6, 18))])
"""
    with launched(
        *(sys.executable, "-c", code),
        log=tmp_path / "log",
        options=("--keepalive", "50,7,3,12"),
    ) as program:
        assert program.line() == "[1, 50, 7, 3, 12000]"


HAPPENINGS = {
    "started": Happening("started", 1, "borrow"),
    "helper": Happening("helper", 1),
    "protected": Happening("protected", 1, "connect", 3, b"\7\0\0\0\0\0\0\0"),
    "partly": Happening("partly", 1, "listen", 3, why="of a reason"),
    "unprotected": Happening("unprotected", 1, "connect", 3, why="of a reason"),
    "ended": Happening("ended", 1),
}


@pytest.mark.parametrize("event", HAPPENINGS)
def test_each_event_has_a_sentence_with_its_reason(event):
    happening = HAPPENINGS[event]
    entry = entry_of(happening, at=1.5, lost=0)

    said = sentence(entry)

    assert "1" in said
    assert happening.why in said
    assert ("NOT" in said) == (event == "unprotected")
    assert entry["schema"] == 1
    assert entry["verb"] == "run"


def test_a_name_that_a_terminal_would_obey_is_one_harmless_line():
    entry = entry_of(HAPPENINGS["protected"], at=1.5, lost=0)
    entry["process"] = "a\ndeadpeer: \x1b[2J"

    said = sentence(entry)

    assert "a\\x0adeadpeer: \\x1b[2J (1)" in said
    assert said.isprintable()


def test_the_cookie_is_the_number_that_other_verbs_show():
    assert entry_of(HAPPENINGS["protected"], at=1.5, lost=0)["cookie"] == 7


def test_a_line_that_nobody_takes_is_left_out_and_counted():
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        log = RunLog(writing, as_json=True)
        full = os.write(writing, b"x" * fcntl.fcntl(writing, F_GETPIPE_SZ))

        log.tell(HAPPENINGS["helper"])  # would wait for ever
        assert len(pipe.read(full)) == full
        log.tell(HAPPENINGS["helper"])

        assert json.loads(pipe.read(4096))["lost"] == 1
        os.close(writing)


def test_a_log_whose_reader_is_gone_is_no_trouble():
    reading, writing = os.pipe()
    os.close(reading)

    RunLog(writing, as_json=True).tell(HAPPENINGS["helper"])

    os.close(writing)


def test_help_names_what_it_is_for(capsys):
    assert run(["run", "--help"]) == 0
    assert "Needs no privilege" in capsys.readouterr().out


def test_the_folder_of_the_helper_is_not_the_programs(tmp_path):
    with launched("sleep", "60", log=tmp_path / "log") as program:
        until(lambda: len(program.told("helper")) == 2)
        for entry in program.told("helper"):
            place = Path(f"/proc/{entry['task']}")
            assert (place / "cwd").readlink() == Path("/")
            held = {str(fd.readlink()) for fd in (place / "fd").iterdir()}
            assert {held_by for held_by in held if held_by.startswith("pipe:")} == set()
