"""
Programs that nobody rewrote, in a cgroup that deadpeer was attached to.

They are started once for all tests of this file, in a network of their own: in
Python, node and C (static), nc, one that accepts, one that sets its own values. Then
the cable is cut, and they are waited for.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.conftest import why_no_namespaces
from tests.host.connected import connected_options
from tests.neighbours import Neighbour, neighbour
from tests.own_cgroups import needs_cgroups, own_cgroup, started_in, why_not

from deadpeer.host.attachments import attached
from deadpeer.kernel.bpf_terms import Counts
from deadpeer.kernel.cgroups import Cgroup

__all__ = ["needs_cgroups"]

pytestmark = [pytest.mark.netns, pytest.mark.slow]

WITHIN = 8.0
PORT = 7000
WAITS = """
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
for word in sys.argv[2:]:
    s.setsockopt(*map(int, word.split(",")))
print("ready", flush=True)
try:
    s.recv(1)
except OSError as error:
    print(error.errno, flush=True)
"""
SENDS = """
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.settimeout(0.1)
print("ready", flush=True)
while True:
    try:
        s.send(b"x")
        s.recv(1)
    except OSError as error:
        if error.errno:  # the kernel's, not that of 0.1 s
            print(error.errno, flush=True)
            break
"""
ACCEPTS = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    print("ready", flush=True)
    s, _ = server.accept()
    print("accepted", flush=True)
    try:
        s.recv(1)
    except OSError as error:
        print(error.errno, flush=True)
"""
NODE = """
const s = require("net").connect(+process.argv[1], "127.0.0.1")
s.on("connect", () => console.log("ready"))
s.on("error", error => console.log(error.code))
s.resume()
"""
C = """
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int count, char **words) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(words[1]))};
    char byte;
    int s = socket(AF_INET, SOCK_STREAM, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(s, (struct sockaddr *)&to, sizeof to)) return 1;
    puts("ready");
    fflush(stdout);
    if (read(s, &byte, 1) < 0) printf("%d\\n", errno);
    return 0;
}
"""
# Go turns keepalive on by itself, with 15 s: net.Dialer, KeepAlive.
GO = """
package main

import (
    "fmt"
    "net"
    "os"
)

func main() {
    connection, err := net.Dial("tcp", "127.0.0.1:"+os.Args[1])
    if err != nil {
        os.Exit(1)
    }
    fmt.Println("ready")
    _, err = connection.Read(make([]byte, 1))
    fmt.Println(err)
}
"""
# SO_KEEPALIVE off, 60 s before the first probe, 60 s between, 60 of them.
WEAKER = ("1,9,0", "6,4,60", "6,5,60", "6,6,60", "6,18,600000")
# Who does not notice, and is not waited for.
UNAWARE = {"outside", "stubborn", "go"}


@dataclass
class Fate:
    """What became of a program: its options, when it ended after the cut, its words."""

    options: list[tuple[int, ...]] = field(default_factory=list)
    after: float | None = None
    said: str = ""


def static_program(folder: Path) -> list[str] | None:
    """Compile the C program without shared libraries, if there is a compiler."""
    source, made = folder / "waits.c", folder / "waits"
    source.write_text(C)
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    done = subprocess.run(
        [compiler, "-static", "-o", made, source], capture_output=True, check=False
    )
    return [str(made)] if done.returncode == 0 else None


def go_program(folder: Path) -> list[str] | None:
    """Compile the Go program, if there is a compiler."""
    compiler = shutil.which("go")
    if compiler is None:
        return None
    source, made = folder / "waits.go", folder / "waits-go"
    source.write_text(GO)
    command = [compiler, "build", "-o", made, source]
    settings = {"CGO_ENABLED": "0", "GO111MODULE": "off"}
    subprocess.run(command, check=True, env=os.environ | settings)
    return [str(made)]


def commands(folder: Path) -> dict[str, list[str]]:
    """Return how to start each program that this machine has; the port comes next."""
    known = {
        "python": [sys.executable, "-c", WAITS],
        "node": (path := shutil.which("node")) and [path, "-e", NODE],
        "static": static_program(folder),
        "nc": (path := shutil.which("nc")) and [path, "127.0.0.1"],
    }
    return {name: command for name, command in known.items() if command}


def attach_by_command(cgroup: Cgroup, *more: str) -> None:
    """Attach with the command line; what it leaves behind is on its own then."""
    words = ["attach", cgroup.name, "--within", f"{WITHIN}", "--yes", *more]
    subprocess.run([sys.executable, "-m", "deadpeer", *words], check=True, timeout=30)


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline()


@pytest.fixture(scope="module")
def counted() -> dict[str, Counts]:
    """Filled by the fixture that starts the programs."""
    return {}


@pytest.fixture(scope="module")
def fates(
    counted: dict[str, Counts], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Fate]]:
    for reason in (why_no_namespaces(), why_not()):
        if reason:
            pytest.skip(reason)
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(neighbour(namespace=True))
        plain = stack.enter_context(own_cgroup())
        pinned = stack.enter_context(own_cgroup())
        attach_by_command(plain)
        attach_by_command(pinned, "--pin")
        network.told(f"server = socket.create_server(('127.0.0.1', {PORT}))\nends = []")
        processes: dict[str, subprocess.Popen[str]] = {}

        def start(name: str, cgroup: Cgroup | None, *command: str) -> None:
            process = started_in(cgroup, command, network=network.pid)
            stack.enter_context(process)
            stack.callback(process.kill)
            processes[name] = process

        python = (sys.executable, "-c", WAITS, str(PORT))
        folder = tmp_path_factory.mktemp("programs")
        programs = commands(folder)
        if go := go_program(folder):
            start("go", plain, *go, str(PORT))
            start("go, pinned", pinned, *go, str(PORT))
        for name, command in programs.items():
            start(name, plain, *command, str(PORT))
        start("stubborn", plain, *python, *WEAKER)
        start("stubborn, pinned", pinned, *python, *WEAKER)
        start("busy", plain, sys.executable, "-c", SENDS, str(PORT))
        start("outside", None, *python)
        for _ in processes:
            network.told("ends.append(server.accept()[0])")
        start("accepting", plain, sys.executable, "-c", ACCEPTS, str(PORT + 1))
        for name, process in processes.items():
            if name != "nc":  # which says nothing
                assert line_of(process) == "ready\n"
        network.told(f"far = socket.create_connection(('127.0.0.1', {PORT + 1}))")
        assert line_of(processes["accepting"]) == "accepted\n"
        found = {name: Fate() for name in processes}
        for name, process in processes.items():
            found[name].options = connected_options(process.pid)
        found["far end"] = Fate(options=connected_options(network.pid))
        terms = {one.cgroup: one.terms for one in attached()}
        counted["plain"] = terms[plain.name].counts
        counted["pinned"] = terms[pinned.name].counts
        cut(network, processes, found)
        # Or what is left of some sockets would go on sending for minutes.
        network.told("loopback(True)")
        yield found


def cut(
    network: Neighbour,
    processes: dict[str, subprocess.Popen[str]],
    fates: dict[str, Fate],
) -> None:
    """Cut the cable, and note when each program ended."""
    network.told("loopback(False)")
    cut_at = time.monotonic()
    unaware = UNAWARE & set(processes)
    for name in set(processes) - unaware:
        left = cut_at + WITHIN + 3 - time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            fates[name].said = processes[name].communicate(timeout=max(left, 0.1))[0]
            fates[name].after = time.monotonic() - cut_at
    for name in unaware:
        ended = processes[name].poll() is not None
        fates[name].after = time.monotonic() - cut_at if ended else None


def fate_of(fates: dict[str, Fate], name: str) -> Fate:
    if name not in fates:
        pytest.skip(f"needs {name}")
    return fates[name]


@pytest.mark.parametrize(
    "name", ["python", "node", "static", "nc", "accepting", "busy", "stubborn, pinned"]
)
def test_a_covered_program_gets_the_values(fates, name):
    [values] = fate_of(fates, name).options

    assert values[0] == 1
    assert values[1:3] == (1, 1)
    assert 1000 < values[3] < WITHIN * 1000


@pytest.mark.parametrize(
    "name", ["python", "node", "static", "nc", "accepting", "busy", "stubborn, pinned"]
)
def test_a_covered_program_learns_of_the_death_within_the_promise(fates, name):
    fate = fate_of(fates, name)

    assert fate.after is not None
    assert fate.after <= WITHIN


@pytest.mark.parametrize(
    ("name", "word"), [("python", "110"), ("node", "ETIMEDOUT"), ("static", "110")]
)
def test_its_error_is_that_of_the_kernel(fates, name, word):
    assert word in fate_of(fates, name).said


def test_a_program_that_sets_its_own_values_has_them_without_pin(fates):
    assert fates["stubborn"].options == [(0, 60, 60, 600000)]
    assert fates["stubborn"].after is None


def test_go_has_its_own_values_without_pin_and_ours_with_it(fates):
    [own], [pinned] = (fate_of(fates, name).options for name in ("go", "go, pinned"))

    assert own[1] == 15
    assert pinned[1:3] == (1, 1)
    assert fates["go"].after is None
    assert fates["go, pinned"].after is not None
    assert fates["go, pinned"].after <= WITHIN
    assert "timed out" in fates["go, pinned"].said


def test_a_program_outside_of_the_cgroup_is_untouched(fates):
    assert [values[0] for values in fates["outside"].options] == [0]
    assert [values[3] for values in fates["outside"].options] == [0]
    assert fates["outside"].after is None


def test_what_was_done_is_counted_in_the_kernel(fates, counted):
    made = set(fates) & {"python", "node", "static", "nc", "go", "stubborn", "busy"}

    assert counted["plain"] == Counts(made=len(made), accepted=1)
    assert counted["pinned"].made == len(
        set(fates) & {"stubborn, pinned", "go, pinned"}
    )
    assert counted["pinned"].swallowed >= len(WEAKER) - 1


def test_the_other_ends_are_untouched(fates):
    assert {values[0] for values in fates["far end"].options} == {0}
    assert {values[3] for values in fates["far end"].options} == {0}
