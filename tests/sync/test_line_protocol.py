"""The chat with a thread for each guest, run as the program that it is."""

import contextlib
import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.sync.stories import WAIT, child, freeze

EXAMPLE = Path(__file__).parents[2] / "examples" / "line_protocol_threads" / "server.py"

GUEST = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as sock:
    sock.sendall(b"hello from the guest\\n")
    for line in sock.makefile("rb"):
        if line.startswith(b"ping"):
            sock.sendall(line.replace(b"ping", b"pong"))
"""


@contextlib.contextmanager
def chat(interval, timeout):
    """Run the server; yield its port and what it says."""
    with subprocess.Popen(
        [sys.executable, EXAMPLE, "0", str(interval), str(timeout)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().split()[1]), process.stdout
        finally:
            process.kill()


@contextlib.contextmanager
def visit(port):
    """Yield a guest of the test's own, as a file of lines."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=WAIT) as sock,
        sock.makefile("rb") as heard,
    ):
        yield sock, heard


def test_a_stopped_guest_is_found_and_the_others_chat_on():
    with chat(0.3, 0.3) as (port, said), visit(port) as (good, heard):
        assert said.readline() == "joined\n"
        with child(GUEST, port) as bad:
            lines = filter(lambda line: not line.startswith(b"ping"), pong(good, heard))
            assert next(lines) == b"hello from the guest\n"
            freeze(bad)
            assert said.readline() == "joined\n"
            # The good one answers its pings meanwhile, or it would be dead too.
            with visit(port) as (third, _):
                third.sendall(b"still here?\n")
                assert next(lines) == b"still here?\n"
                answering = pong(good, heard)
                while next(answering).startswith(b"ping"):
                    if has_line(said):
                        break
                verdict = [said.readline() for _ in range(2)]
        assert any(one.startswith("dead: 127.0.0.1:") for one in verdict), verdict


def pong(sock, heard):
    """Yield the lines that come, and answer each ping."""
    for line in heard:
        if line.startswith(b"ping"):
            sock.sendall(line.replace(b"ping", b"pong"))
        yield line


def has_line(stream):
    """Tell whether there is something to read."""
    return bool(select.select([stream], [], [], 0)[0])


def test_a_guest_that_leaves_is_no_death():
    with chat(20, 10) as (port, said):
        with visit(port) as (guest, _):
            guest.sendall(b"hello\n")
            assert said.readline() == "joined\n"
        assert said.readline() == "left\n"


@pytest.mark.parametrize("arguments", [("0.3", "0.3")])
def test_a_guest_that_reads_nothing_holds_nobody_up_for_longer_than_the_promise(
    arguments,
):
    with (
        chat(*arguments) as (port, said),
        visit(port) as (deaf, _),
        visit(port) as (talker, heard),
    ):
        assert [said.readline() for _ in range(2)] == ["joined\n"] * 2
        # Everything goes to the deaf one until its buffer is full; its verdict
        # frees the talker's thread, which then answers again.
        for _ in range(200):
            talker.sendall(b"." * 50_000 + b"\n")
        talker.sendall(b"ping 7\n")
        assert any(line == b"pong 7\n" for line in pong(talker, heard))
        assert said.readline().startswith("dead: ")
        assert deaf.fileno() >= 0
