"""
Programs that nobody rewrote, started by ``deadpeer run``, and a cable that is cut.

They are started once for all tests of this file, in a network of their own: in
Python, node and C (static), children of a shell, ones that accept, ones that set their
own values. Then the cable is cut, and they are waited for.
"""

import contextlib
import errno
import platform
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
from tests.host.launched import Launched, launched
from tests.neighbours import Neighbour, neighbour

from deadpeer.kernel.namespaces import in_namespace_of

pytestmark = [pytest.mark.netns, pytest.mark.slow]

WITHIN = 6.0
PORT = 7000
# SO_KEEPALIVE off, 60 s before the first probe, 60 s between, data 600 s.
WEAKER = ("1,9,0", "6,4,60", "6,5,60", "6,18,600000")

WAITS = """
import os, socket, sys
def end(s):
    for word in sys.argv[3:]:
        s.setsockopt(*map(int, word.split(",")))
    print("ready", os.getpid(), flush=True)
    try:
        s.recv(1)
    except OSError as error:
        print(error.errno, flush=True)
port = int(sys.argv[2])
if sys.argv[1] == "connect":
    end(socket.create_connection(("127.0.0.1", port)))
elif sys.argv[1] == "thread":
    import threading
    to = ("127.0.0.1", port)
    threading.Thread(target=lambda: end(socket.create_connection(to))).start()
elif sys.argv[1] == "fast open":
    s = socket.socket()
    s.sendto(b"x", socket.MSG_FASTOPEN, ("127.0.0.1", port))
    end(s)
elif sys.argv[1] == "write":
    import time
    s = socket.create_connection(("127.0.0.1", port))
    print("ready", os.getpid(), flush=True)
    try:
        while True:
            s.send(b"x")
            time.sleep(0.1)
    except OSError as error:
        print(error.errno, flush=True)
else:
    with socket.create_server(("127.0.0.1", port)) as server:
        print("listens", flush=True)
        end(server.accept()[0])
"""
NODE = """
const s = require("net").connect(+process.argv[1], "127.0.0.1")
s.on("connect", () => console.log("ready", process.pid))
s.on("error", error => console.log(error.code))
s.resume()
"""
# With a second word, a number of the 32-bit table makes the connection: 362 connect,
# 102 socketcall, whose arguments lie in memory.
C = """
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static struct sockaddr_in to = {.sin_family = AF_INET};
static unsigned words32[3];
int old(int number, unsigned a, unsigned b, unsigned c) {
    int result = -ENOSYS;
#ifdef __x86_64__
    __asm__ volatile("int $0x80" : "=a"(result)
                     : "a"(number), "b"(a), "c"(b), "d"(c) : "memory", "r8", "r9",
                       "r10", "r11");
#endif
    return result;
}
int main(int count, char **words) {
    unsigned at = (unsigned)(unsigned long)&to;
    char byte;
    int number = count > 2 ? atoi(words[2]) : 0, failed = 0;
    int s = socket(AF_INET, SOCK_STREAM, 0);
    to.sin_port = htons(atoi(words[1]));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    words32[0] = s, words32[1] = at, words32[2] = sizeof to;
    if (number == 362) failed = old(362, s, at, sizeof to);
    else if (number) failed = old(number, 3, (unsigned)(unsigned long)words32, 0);
    else failed = connect(s, (struct sockaddr *)&to, sizeof to);
    printf(failed ? "failed %d\\n" : "ready %d\\n", failed ? failed : getpid());
    fflush(stdout);
    if (read(s, &byte, 1) < 0) printf("%d\\n", errno);
    return 0;
}
"""

CLIENTS = (
    "python",
    "node",
    "static",
    "child of a shell",
    "in a thread",
    "fast open",
    "writer",
    "stubborn, pinned",
    "32-bit connect",
    "32-bit socketcall",
)
SERVERS = ("accepting", "stubborn server, pinned")


@dataclass
class Fate:
    """What became of a program: its options, when it ended after the cut, its words."""

    options: list[tuple[int, ...]] = field(default_factory=list)
    after: float | None = None
    said: str = ""
    events: list[str] = field(default_factory=list)


def static_program(folder: Path) -> list[str]:
    """Compile the C program without shared libraries; empty without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return []
    source, made = folder / "waits.c", folder / "waits"
    source.write_text(C)
    flags = ["-static", "-no-pie", "-w"]
    done = subprocess.run(
        [compiler, *flags, "-o", made, source], capture_output=True, check=False
    )
    return [str(made)] if done.returncode == 0 else []


def commands(folder: Path) -> dict[str, list[str]]:
    """Return how to start each program that this machine has."""
    python = [sys.executable, "-c", WAITS]
    static = static_program(folder)
    node = shutil.which("node")
    port = str(PORT)
    shell = ["sh", "-c", '"$@"; true', "sh"]
    known = {
        "python": [*python, "connect", port],
        "node": node and [node, "-e", NODE, port],
        "static": static and [*static, port],
        "child of a shell": [*shell, *python, "connect", port],
        "in a thread": [*python, "thread", port],
        "fast open": [*python, "fast open", port],
        "writer": [*python, "write", port],
        "stubborn": [*python, "connect", port, *WEAKER],
        "stubborn, pinned": [*python, "connect", port, *WEAKER],
    }
    if static and has_the_old_table(static):
        for number, name in ((362, "connect"), (102, "socketcall")):
            known[f"32-bit {name}"] = [*static, port, str(number)]
    return {name: command for name, command in known.items() if command}


def has_the_old_table(static: list[str]) -> bool:
    """Tell whether the kernel runs 32-bit calls: nobody listens, and that is told."""
    if platform.machine() != "x86_64":
        return False
    done = subprocess.run(
        [*static, "1", "362"], capture_output=True, text=True, check=False, timeout=10
    )
    return done.stdout.startswith(f"failed {-errno.ECONNREFUSED}\n")


def is_ready(program: Launched) -> int:
    """Wait for a program's connection; return the process that has it."""
    word, pid = program.line().split()
    assert word == "ready", pid
    return int(pid)


@pytest.fixture(scope="module")
def fates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Fate]]:
    if why_no_namespaces():
        pytest.skip(why_no_namespaces())
    folder = tmp_path_factory.mktemp("launched")
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(neighbour(namespace=True))
        network.told(f"server = socket.create_server(('127.0.0.1', {PORT}))\nends = []")
        programs: dict[str, Launched] = {}

        def start(name: str, command: list[str]) -> None:
            programs[name] = stack.enter_context(
                launched(
                    *command,
                    network=network.pid,
                    log=folder / f"{name}.log",
                    options=(
                        *("--within", f"{WITHIN}"),
                        *(["--pin"] if "pinned" in name else []),
                    ),
                )
            )

        for name, command in commands(folder).items():
            start(name, command)
        python = [sys.executable, "-c", WAITS, "accept"]
        for number, name in enumerate(SERVERS, start=1):
            weaker = WEAKER if "stubborn" in name else ()
            start(name, [*python, str(PORT + number), *weaker])
        outside = in_namespace_of(network.pid, lambda: plain_client(stack))
        yield cut(network, programs, outside)


def plain_client(stack: contextlib.ExitStack) -> Launched:
    """Start the Python program as it is."""
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS, "connect", str(PORT)],
        stdout=subprocess.PIPE,
        text=True,
    )
    stack.enter_context(process)
    stack.callback(process.kill)
    return Launched(process, Path())


def cut(
    network: Neighbour, programs: dict[str, Launched], outside: Launched
) -> dict[str, Fate]:
    """Wait until all are connected, cut the cable, and see what becomes of them."""
    found = {name: Fate() for name in programs}
    for number, name in enumerate(SERVERS, start=1):
        assert programs[name].line() == "listens"
        at = ("127.0.0.1", PORT + number)
        network.told(f"ends.append(socket.create_connection({at}))")
    for _ in range(len(programs) - len(SERVERS) + 1):
        network.told("ends.append(server.accept()[0])")
    for name, program in programs.items():
        found[name].options = connected_options(is_ready(program))
    found["outside"] = Fate(options=connected_options(is_ready(outside)))
    network.told("loopback(False)")
    cut_at = time.monotonic()
    for name, program in programs.items():
        left = cut_at + WITHIN + 2 - time.monotonic()
        if name == "stubborn":
            continue
        with contextlib.suppress(subprocess.TimeoutExpired):
            found[name].said = program.process.communicate(timeout=max(left, 0.1))[0]
            found[name].after = time.monotonic() - cut_at
    for name, program in {**programs, "outside": outside}.items():
        if name in ("stubborn", "outside") and program.process.poll() is not None:
            found[name].after = time.monotonic() - cut_at
    for name, program in programs.items():
        found[name].events = [
            entry["call"]
            for event in ("protected", "unprotected")
            for entry in program.told(event)
        ]
    return found


def fate_of(fates: dict[str, Fate], name: str) -> Fate:
    if name not in fates:
        pytest.skip(f"{name!r} needs node, a C compiler, or 32-bit calls")
    return fates[name]


@pytest.mark.parametrize("name", [*CLIENTS, *SERVERS])
def test_a_program_is_told_of_the_death_within_the_promise(fates, name):
    fate = fate_of(fates, name)

    # The same error everywhere, as node calls it, or by its number.
    assert fate.said.strip() in ("ETIMEDOUT", "110", "101"), fate
    assert fate.after is not None
    assert fate.after <= WITHIN


@pytest.mark.parametrize("name", [*CLIENTS, *SERVERS])
def test_each_connection_has_keepalive_and_a_limit_for_data(fates, name):
    fate = fate_of(fates, name)

    assert fate.options
    for on, idle, interval, user_timeout in fate.options:
        assert on == 1
        assert idle + interval < WITHIN
        assert 0 < user_timeout < WITHIN * 1000


def test_it_was_told_at_which_calls(fates):
    assert fates["python"].events == ["connect"]
    assert fates["fast open"].events == ["send"]
    assert fates["accepting"].events == ["listen"]


def test_a_program_that_sets_its_own_values_keeps_them_unless_they_are_pinned(fates):
    fate = fates["stubborn"]

    assert fate.options == [(0, 60, 60, 600_000)]
    assert fate.after is None


def test_a_program_beside_them_is_left_alone(fates):
    fate = fates["outside"]

    assert fate.options[0][0] == 0
    assert fate.options[0][3] == 0
    assert fate.after is None
