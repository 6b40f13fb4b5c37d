"""``deadpeer check`` on real processes and connections, all of the test's own."""

import errno
import json
import os
import re
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.neighbours import Neighbour, as_nobody, neighbour

from deadpeer.cli.check import groups, summary, unnoticed
from deadpeer.cli.diagnosis import Connection, Problem, diagnose
from deadpeer.cli.root import run
from deadpeer.kernel.procfs import tcp_rows
from deadpeer.kernel.sysctl.values import effective_defaults
from deadpeer.kernel.tcp_info import TcpState
from deadpeer.kernel.tcp_table import Timer
from deadpeer.policy import Keepalive

KEPT = "a.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)"
SHORT = "[a.setsockopt(6, name, value) for name, value in ((4, 5), (5, 1), (6, 3))]"
LIMITED = "a.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 8000)"


@pytest.fixture
def child():
    """A child with one connection, of which ``a`` is one end and ``b`` the other."""
    with neighbour() as made:
        made.told("a, b = pair()")
        yield made


@pytest.fixture
def secluded():
    """The same, in a network namespace of its own."""
    with neighbour(namespace=True) as made:
        made.told("a, b = pair()")
        yield made


def checked(capsys, *words: object) -> tuple[int, dict[str, Any]]:
    code = run(["check", *map(str, words), "--json"])
    out, err = capsys.readouterr()
    assert err == ""
    return code, json.loads(out)


def end(data: dict[str, Any], child: Neighbour, name: str = "a") -> dict[str, Any]:
    """Return what was said of one end of the child's connection."""
    port = child.told(f"{name}.getsockname()[1]")
    return next(c for c in data["connections"] if c["local"].endswith(f":{port}"))


def problems(data: dict[str, Any]) -> dict[str, str]:
    return {f["problem"]: f["severity"] for f in data["findings"]}


# -- a process ---------------------------------------------------------------------


def test_a_program_that_never_turned_keepalive_on(child, capsys):
    code, data = checked(capsys, child.pid)

    assert code == 1
    assert data["protected"] is False
    assert len(data["connections"]) == 2
    said = end(data, child)
    assert problems(said)["keepalive off"] == "defect"
    assert problems(said)["no limit on data in flight"] == "defect"
    assert said["unnoticed_idle"] is None
    assert said["settings"]["on"] is False
    assert said["timer"] == {"kind": "none", "expires": 0.0}
    assert said["state"] == "ESTABLISHED"


def test_a_protected_connection_is_not_blamed_for_its_neighbour(child, capsys):
    for told in (KEPT, SHORT, LIMITED):
        child.told(told)

    code, data = checked(capsys, child.pid)

    assert code == 1
    assert end(data, child)["protected"] is True
    assert end(data, child, "b")["protected"] is False
    assert end(data, child)["unnoticed_idle"] < 10
    assert end(data, child)["timer"]["kind"] == "keepalive"
    assert problems(end(data, child)).get("values overridden") == "note"


def test_a_protected_process_exits_with_0(child, capsys):
    for told in (KEPT, SHORT, LIMITED):
        child.told(told)
        child.told(told.replace("a.", "b."))

    code, data = checked(capsys, child.pid)

    assert (code, data["protected"]) == (0, True)


def test_how_soon_is_soon_enough_can_be_said(child, capsys):
    for told in (KEPT, SHORT, LIMITED):
        child.told(told)
        child.told(told.replace("a.", "b."))

    code, data = checked(capsys, child.pid, "--within", "5")

    assert code == 1
    assert problems(end(data, child))["too slow"] == "defect"


def test_a_process_without_connections_is_unprotected_in_none(capsys):
    with neighbour() as child:
        child.told("server = socket.create_server(('127.0.0.1', 0))")
        child.told("idle = socket.socket()")
        child.told("udp = socket.socket(type=socket.SOCK_DGRAM)")
        child.told("unix = socket.socketpair()")

        code, data = checked(capsys, child.pid)

    assert code == 0
    assert data["connections"] == []
    assert data["listening"] == 1


def test_both_families_are_seen(capsys):
    with neighbour() as child:
        child.told("a, b = pair('::1')")

        _, data = checked(capsys, child.pid)

    assert all(c["peer"].startswith("[::1]:") for c in data["connections"])
    assert len(data["connections"]) == 2


def test_a_connection_that_waits_behind_a_closed_window(child, capsys):
    child.told(KEPT)
    child.told("a.settimeout(0.5)\ntry: a.sendall(bytes(2**24))\nexcept OSError: pass")
    wait_for_timer(child, Timer.ZERO_WINDOW)

    _, data = checked(capsys, child.pid)

    assert problems(end(data, child))["timer hidden"] == "note"
    assert end(data, child)["timer"]["kind"] == "zero_window"


def wait_for_timer(child: Neighbour, timer: Timer) -> None:
    """Return once the kernel has armed it; each look is a turn of the loop."""
    inode = child.told("os.fstat(a.fileno()).st_ino")
    for _ in range(100_000):
        if any(r.inode == inode and r.timer is timer for r in tcp_rows(child.pid)):
            return
    raise AssertionError(f"{timer} was never armed")


def test_multipath_is_named(capsys):
    with neighbour() as child:
        made = child.told(
            "try: m = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)\n"
            "except OSError: m = None\n"
            "m is not None"
        )
        code, data = checked(capsys, child.pid)

    # A kernel without Multipath TCP has no such sockets to be found.
    assert problems(data) == ({"multipath TCP": "defect"} if made else {})
    assert code == int(made)


@pytest.mark.netns
def test_a_timer_armed_before_the_sysctls_were_changed(secluded, capsys):
    secluded.told(KEPT)
    secluded.told("sysctl('tcp_keepalive_time', 30)")

    _, data = checked(capsys, secluded.pid)

    said = end(data, secluded)
    assert problems(said)["timer armed before the change"] == "defect"
    assert said["settings"]["idle"] == 30  # which getsockopt says, and is no use
    assert said["timer"]["expires"] > 7000
    assert said["unnoticed_idle"] > 7000


@pytest.mark.netns
def test_the_remedy_for_it_works(secluded, capsys):
    secluded.told(KEPT)
    secluded.told("sysctl('tcp_keepalive_time', 30)")
    secluded.told("a.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)")

    _, data = checked(capsys, secluded.pid)

    assert "timer armed before the change" not in problems(end(data, secluded))
    assert end(data, secluded)["timer"]["expires"] <= 30


@pytest.mark.netns
def test_another_namespace_is_named_with_its_values(secluded, capsys):
    secluded.told("sysctl('tcp_keepalive_time', 31)")

    _, data = checked(capsys, secluded.pid)

    (finding,) = data["findings"]
    assert finding["problem"] == "another namespace"
    assert "net.ipv4.tcp_keepalive_time is 31 s there" in finding["evidence"]


@pytest.mark.netns
def test_overridden_is_measured_by_the_sysctls_of_its_own_namespace(secluded, capsys):
    secluded.told("sysctl('tcp_keepalive_time', 31)")
    secluded.told(KEPT)

    _, data = checked(capsys, secluded.pid)
    assert "values overridden" not in problems(end(data, secluded))

    secluded.told("a.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15)")
    _, data = checked(capsys, secluded.pid)
    assert problems(end(data, secluded))["values overridden"] == "note"


@pytest.mark.netns
def test_keepalive_hidden_by_unacknowledged_data(secluded, capsys):
    secluded.told(KEPT)
    secluded.told("loopback(False)\na.send(b'into the void')")
    wait_for_timer(secluded, Timer.RETRANSMIT)

    _, data = checked(capsys, secluded.pid)

    said = end(data, secluded)
    assert problems(said)["timer hidden"] == "note"
    evidence = next(
        f["evidence"] for f in said["findings"] if f["problem"] == "timer hidden"
    )
    assert "13 bytes are unacknowledged" in evidence


@pytest.mark.netns
def test_a_connection_made_in_another_namespace_than_its_process(secluded, capsys):
    # As a program does that was handed a socket, or that moved.
    secluded.told(
        "import ctypes\nmoved = ctypes.CDLL(None).unshare(0x40000000)"  # CLONE_NEWNET
    )

    _, data = checked(capsys, secluded.pid)

    assert len(data["connections"]) == 2
    assert end(data, secluded)["timer"] is None
    assert any("2 of its connections" in f["evidence"] for f in data["findings"])


def test_nothing_is_changed(child, capsys):
    child.told("import fcntl")
    child.told(KEPT)
    look = (
        "[(s.getsockopt(1, 9), fcntl.fcntl(s, fcntl.F_GETFL),"
        " [s.getsockopt(6, n) for n in (1, 4, 5, 6, 18)]) for s in (a, b)]"
    )
    before = child.told(look)

    checked(capsys, child.pid)

    assert child.told(look) == before
    assert child.told("a.send(b'x')\nb.recv(1)") == b"x"


# -- words ------------------------------------------------------------------------


def test_the_words_for_a_process(child, capsys):
    assert run(["check", str(child.pid)]) == 1

    lines = capsys.readouterr().out.splitlines()
    here, there = (child.told(f"{end}.getsockname()[1]") for end in "ab")
    assert lines[0] == f"Process {child.pid}: 2 TCP connections, 0 listening sockets"
    assert re.fullmatch(
        rf"127\.0\.0\.1:(?:{here}|{there}) -> 127\.0\.0\.1:(?:{here}|{there})"
        r" ESTABLISHED and 1 more like it",
        lines[2],
    )
    assert lines[3].startswith("  a death goes unnoticed for ever when idle, for up to")
    assert re.fullmatch(r"  defect: keepalive off: .+; remedy: .+", lines[4])
    assert lines[-1] == "2 of 2 connections would not notice a dead peer within 1 min."


def told_of(peer: str, *, on: bool = True):
    return diagnose(
        Connection(
            local="127.0.0.1:1",
            peer=peer,
            state=TcpState.ESTABLISHED,
            keepalive=Keepalive(idle=5, interval=1, user_timeout=8, on=on),
            defaults=None,
            rtt=0.0,
            row=None,
        ),
        within=60,
    )


def test_connections_that_are_alike_are_told_together():
    told = [told_of("x"), told_of("y", on=False), told_of("z")]

    assert [[d.connection.peer for d in group] for group in groups(told)] == [
        ["x", "z"],
        ["y"],
    ]


def test_a_verdict_counts_the_longest_and_the_worst():
    told = [told_of("x"), told_of("y", on=False)]

    assert unnoticed(told).startswith("a death goes unnoticed for ever when idle")
    assert summary(told, 60) == (
        "1 of 2 connections would not notice a dead peer within 1 min."
    )
    assert summary(told[:1], 60) == (
        "1 connection: a dead peer would be noticed within 1 min."
    )


# -- a fresh connection ---------------------------------------------------------------


@pytest.fixture(params=["127.0.0.1", "::1", "localhost"])
def served(request):
    family = socket.AF_INET6 if request.param == "::1" else socket.AF_INET
    bind = "127.0.0.1" if request.param == "localhost" else request.param
    with socket.create_server((bind, 0), family=family) as server:
        host = f"[{request.param}]" if family == socket.AF_INET6 else request.param
        yield f"{host}:{server.getsockname()[1]}"


def test_a_fresh_connection_shows_what_the_sysctls_do(served, capsys):
    defaults = effective_defaults()
    _, data = checked(capsys, served)

    (connection,) = data["connections"]
    assert data["target"] == served
    assert problems(data) == {"keepalive off": "note"}
    assert connection["settings"]["on"] is True
    assert connection["settings"]["idle"] == defaults.idle
    assert connection["timer"]["kind"] == "keepalive"
    assert connection["timer"]["expires"] == pytest.approx(defaults.idle, abs=2)


@pytest.mark.netns
def test_sysctls_that_are_short_enough_exit_with_0():
    with neighbour(namespace=True) as child:
        settings = {
            "tcp_keepalive_time": 10,
            "tcp_keepalive_intvl": 5,
            "tcp_keepalive_probes": 3,
            "tcp_retries2": 4,
        }
        for name, value in settings.items():
            child.told(f"sysctl({name!r}, {value})")
        child.told("server = socket.create_server(('127.0.0.1', 0))")
        address = child.told("'127.0.0.1:%d' % server.getsockname()[1]")
        child.told("import subprocess")
        command = [sys.executable, "-m", "deadpeer", "check", address]

        ran = f"subprocess.run({command!r}, capture_output=True, check=False)"
        assert child.told(f"{ran}.returncode") == 0


def test_the_words_for_a_fresh_connection(served, capsys):
    run(["check", served])

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"A connection to {served}, made for this check"
    assert "  note: keepalive off: a fresh connection has SO_KEEPALIVE off" in lines[1]


# -- what can go wrong ------------------------------------------------------------------


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


WRONG = {
    "nonsense": (2, "is neither a process id nor HOST:PORT"),
    "0": (2, "has no process id"),
    "4194304": (2, "there is no process 4194304"),
    "::1:80": (2, "without brackets"),
    "localhost:0": (2, "has no port"),
    # Names that no server is asked for.
    "[fe80::1%nowhere0]:80": (2, "the name 'fe80::1%nowhere0' is not known: Name"),
    f"{'x' * 64}.invalid:80": (2, "has no host name: 'xxxx"),
    "1 --within 0": (2, "within=0.0 is not a duration"),
    "1 --timeout -1": (2, "timeout=-1.0 is not a duration"),
}


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_target_is_one_line_and_its_exit_code(words, capsys):
    code, sentence = WRONG[words]

    assert run(["check", *words.split()]) == code
    assert_one_line(capsys, sentence)


def assert_one_line(capsys, sentence: str) -> None:
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert sentence in err
    assert "; " in err  # and what to do


def test_nobody_listening_is_said(capsys):
    assert run(["check", f"127.0.0.1:{unused_port()}"]) == 5
    assert_one_line(capsys, os.strerror(errno.ECONNREFUSED))


def test_somebody_elses_process_names_the_capability(capfd):
    assert as_nobody(lambda: run(["check", "1"]) + sys.stderr.write("")) == 4

    assert_one_line(capfd, "belongs to somebody else")


def test_nobody_answering_is_a_dead_peer(capsys):
    # A listener whose queue is full answers no further connect.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)  # noqa: FBT003
            one.connect_ex(address)

        assert run(["check", f"127.0.0.1:{address[1]}", "--timeout", "0.3"]) == 10

        for one in waiting:
            one.close()
    assert_one_line(capsys, "did not answer within 0.3 s")


def test_every_problem_that_is_named_is_tested():
    text = Path(__file__).read_text(encoding="utf-8")

    assert [p for p in Problem if f'"{p}"' not in text] == []
