"""The helpers beside a launched program: killed, forbidden, refused."""

import contextlib
import errno
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.host.launched import Launched, launched, until
from tests.neighbours import Neighbour, neighbour

from deadpeer.kernel.call_filter import MACHINES

pytestmark = [pytest.mark.netns, pytest.mark.slow]

# Does what it is told, a line each, and says what came of it.
SERVANT = """
import os, socket, sys, time
ears = socket.create_server(("127.0.0.1", 0), backlog=64)
at = ears.getsockname()
OPTIONS = ((1, 9), (6, 4), (6, 5), (6, 18))
def held(s):
    return [s.getsockopt(*option) for option in OPTIONS]
def connect():
    with socket.create_connection(at) as s, ears.accept()[0] as other:
        return held(s), held(other)
def connect_for(seconds):
    end, all_held, slowest = time.monotonic() + seconds, set(), 0
    while time.monotonic() < end:
        start = time.monotonic()
        all_held |= {tuple(both) for both in connect()}
        slowest = max(slowest, time.monotonic() - start)
    return len(all_held), slowest
print("ready", flush=True)
for line in sys.stdin:
    try:
        print(repr(eval(line)), flush=True)
    except OSError as error:
        print(repr(error.errno), flush=True)
"""

# Puts a filter on itself that forbids one call, and becomes what follows.
FORBIDS = """
import ctypes, errno, os, struct, sys
from deadpeer.kernel.classic_bpf import IfEqual, Label, Load, Return, assemble
number = int(sys.argv[1])
lines = [Load(0), IfEqual(number, "no"), Return(0x7FFF0000)]
program = assemble([*lines, Label("no"), Return(0x50000 | errno.EPERM)])
text = ctypes.create_string_buffer(program, len(program))
libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0)
where = struct.pack("@HP", len(program) // 8, ctypes.addressof(text))
assert libc.syscall(int(sys.argv[2]), 1, 0, where) == 0
os.execvp(sys.argv[3], sys.argv[3:])
"""
PIDFD_GETFD = 438

# Gives up what root could do, also after the next execve: PR_CAPBSET_DROP.
GIVES_UP = """
import ctypes, os, sys
for capability in range(64):
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
UNPRIVILEGED = (sys.executable, "-c", GIVES_UP)
STATUS = "dict(line.split(':') for line in open('/proc/self/status'))"


def forbidding(number: int) -> tuple[str, ...]:
    """Return what to put before a command that may not make a system call."""
    seccomp = MACHINES[platform.machine()].seccomp
    return (sys.executable, "-c", FORBIDS, str(number), str(seccomp))


@pytest.fixture(scope="module")
def network() -> Iterator[Neighbour]:
    with neighbour(namespace=True) as made:
        yield made


@contextlib.contextmanager
def servant(network: Neighbour, tmp_path: Path, **more: object) -> Iterator[Launched]:
    log = tmp_path / "log"
    command = (sys.executable, "-c", SERVANT)
    with launched(*command, network=network.pid, log=log, **more) as program:
        assert program.line() == "ready"
        yield program


def asked(program: Launched, what: str) -> Any:
    program.say(what)
    return eval(program.line())  # noqa: S307 - our own servant said it


def helpers(program: Launched) -> list[int]:
    """Return the helpers that live, the one that answers first."""
    found = [entry["task"] for entry in program.told("helper")]
    return [pid for pid in found if is_alive(pid)]


def is_alive(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def kill_first(program: Launched) -> None:
    """Kill the one that answers once there are two, and wait for its end."""
    until(lambda: len(helpers(program)) == 2)
    answers = helpers(program)[0]
    os.kill(answers, signal.SIGKILL)
    # Until then it seems to live, and its successor is the only one.
    until(lambda: not is_alive(answers))


def test_whoever_answers_may_be_killed_again_and_again(network, tmp_path):
    with servant(network, tmp_path) as program:
        program.say("connect_for(1.5)")
        killed = 0
        end = time.monotonic() + 1.2
        while time.monotonic() < end:
            kill_first(program)
            killed += 1
        kinds, slowest = eval(program.line())  # noqa: S307 - our own servant

        assert killed > 3
        # Every connection had the same settings, none was refused, none hung.
        assert kinds == 1
        assert slowest < 1
        assert program.told("unprotected") == []


def test_one_that_stands_by_is_replaced(network, tmp_path):
    with servant(network, tmp_path) as program:
        until(lambda: len(helpers(program)) == 2)
        os.kill(helpers(program)[1], signal.SIGKILL)

        until(lambda: len(program.told("helper")) == 3)
        assert asked(program, "connect()[0][0]") == 1


def test_signals_for_the_program_do_not_reach_the_helpers(network, tmp_path):
    with servant(network, tmp_path) as program:
        until(lambda: len(helpers(program)) == 2)
        for pid in helpers(program):
            for number in (
                signal.SIGINT,
                signal.SIGTERM,
                signal.SIGHUP,
                signal.SIGUSR1,
            ):
                os.kill(pid, number)
            assert os.getsid(pid) not in (program.pid, os.getsid(0))

        assert asked(program, "connect()[0][0]") == 1
        assert len(program.told("helper")) == 2


def test_without_any_helper_connections_are_refused_and_existing_ones_live(
    network, tmp_path
):
    with servant(network, tmp_path) as program:
        assert asked(program, "(c := socket.create_connection(at)) and 1") == 1
        until(lambda: len(helpers(program)) == 2)
        answers, stands_by = helpers(program)
        # One that is stopped cannot take over.
        os.kill(stands_by, signal.SIGSTOP)
        os.kill(answers, signal.SIGKILL)
        os.kill(stands_by, signal.SIGKILL)
        until(lambda: not helpers(program))

        assert asked(program, "connect()") == errno.ENOSYS
        assert asked(program, "c.send(b'x')") == 1


def test_helpers_end_with_the_last_descendant_and_not_before(network, tmp_path):
    reading, writing = os.pipe()
    outlives = f"import os; os.fork() and os._exit(3); os.read({reading}, 1)"
    log = tmp_path / "log"
    with (
        os.fdopen(reading, "rb"),
        os.fdopen(writing, "wb", buffering=0) as held,
        launched(
            *(sys.executable, "-c", outlives),
            network=network.pid,
            log=log,
            pass_fds=(reading,),
        ) as program,
    ):
        assert program.process.wait(10) == 3
        until(lambda: len(helpers(program)) == 2)
        held.write(b"x")
        until(lambda: not helpers(program))
        until(lambda: program.told("ended"))


def test_the_helpers_are_no_children_of_the_program(network, tmp_path):
    with servant(network, tmp_path) as program:
        until(lambda: len(helpers(program)) == 2)

        assert asked(program, "os.waitpid(-1, os.WNOHANG)") == errno.ECHILD
        parents = Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text()
        assert parents.split() == []


def test_it_takes_no_privilege(network, tmp_path):
    with servant(network, tmp_path, before=UNPRIVILEGED) as program:
        held = asked(program, STATUS)

        assert int(held["CapEff"], 16) == 0
        assert held["NoNewPrivs"].strip() == "1"
        assert asked(program, "connect()[0][0]") == 1


def test_where_nothing_may_be_borrowed_sockets_are_handed_out(network, tmp_path):
    with servant(network, tmp_path, before=forbidding(PIDFD_GETFD)) as program:
        near, far = asked(program, "connect()")

        assert near[0] == far[0] == 1
        assert 0 < near[3] == far[3] < 6000
        assert {entry["call"] for entry in program.told("protected")} == {"socket"}
        made = (
            "socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)"
        )
        assert asked(program, f"os.get_blocking((s := {made}).fileno())") is False
        assert asked(program, "os.get_inheritable(s.fileno())") is False
        assert asked(program, "s.family == socket.AF_INET6 and held(s)[0]") == 1
        # What is not TCP, or not at all, is none of the helper's business.
        assert asked(program, "int(socket.socket(type=2).type)") == 2
        bad = "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 17)"
        assert asked(program, bad) == errno.EPROTONOSUPPORT


def test_handed_out_sockets_survive_the_helpers_too(network, tmp_path):
    with servant(network, tmp_path, before=forbidding(PIDFD_GETFD)) as program:
        program.say("connect_for(0.7)")
        for _ in range(3):
            kill_first(program)
        kinds, _ = eval(program.line())  # noqa: S307 - our own servant

        assert kinds == 1


def test_multipath_tcp_gets_what_it_takes_and_that_is_told(network, tmp_path):
    with servant(network, tmp_path) as program:
        made = asked(
            program,
            "(m := socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)) and 1",
        )
        if made != 1:
            pytest.skip("needs a kernel with Multipath TCP")
        assert asked(program, "m.connect(at)") is None

        assert asked(program, "m.getsockopt(1, 9)") == 1
        until(lambda: program.told("partly"))
        assert "user timeout" in program.told("partly")[0]["why"]


def test_other_sockets_are_left_alone(network, tmp_path):
    with servant(network, tmp_path) as program:
        until(lambda: program.told("protected"))
        before = len(program.told("protected"))
        udp = "(u := socket.socket(type=socket.SOCK_DGRAM)).connect(at)"

        assert asked(program, udp) is None
        assert asked(program, "u.getsockopt(1, 9)") == 0
        assert asked(program, "socket.socket(socket.AF_UNIX).connect('/none')") == 2
        assert asked(program, "socket.socket(fileno=0)") == errno.ENOTSOCK
        assert len(program.told("protected")) == before


def test_a_process_that_may_not_be_looked_into_stays_unprotected(network, tmp_path):
    alone = "import ctypes; ctypes.CDLL(None).prctl(4, 0)"  # PR_SET_DUMPABLE
    with servant(network, tmp_path, before=UNPRIVILEGED) as program:
        asked(program, f"exec({alone!r})")
        if program.told("started")[0]["call"] == "hand out":  # under Yama
            assert asked(program, "connect()[0][0]") == 1
            return

        assert asked(program, "connect()[0][0]") == 0
        until(lambda: program.told("unprotected"))
        assert "CAP_SYS_PTRACE" in program.told("unprotected")[0]["why"]


def test_a_supervised_process_cannot_be_supervised_again(tmp_path):
    with launched("true", log=tmp_path / "log", before=()) as outer:
        assert outer.process.wait(10) == 0
    inner = [sys.executable, "-m", "deadpeer", "run", "--within", "6", "--", "true"]

    with launched(*inner, log=tmp_path / "log2", stderr=subprocess.PIPE) as program:
        _, said = program.process.communicate(timeout=10)

    assert program.process.returncode == 5
    assert "supervised already" in said


@pytest.mark.parametrize("call", ["seccomp"])
def test_a_sandbox_that_forbids_it_is_named(call, tmp_path):
    number = getattr(MACHINES[platform.machine()], call)

    with launched(
        "true",
        log=tmp_path / "log",
        before=forbidding(number),
        stderr=subprocess.PIPE,
    ) as program:
        _, said = program.process.communicate(timeout=10)

    assert program.process.returncode == 4
    assert "sandbox" in said
    assert program.told("started") == []
