"""
Processes for tests to look into: a child that does what it is told.

The child runs ``python -i``-like: each line it gets is a statement, answered by one
line of its result. It is in this process's network namespace, or in one of its own
(``unshare --net``, with the loopback interface up), and ends with its pipe.
"""

import ast
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

__all__ = [
    "Neighbour",
    "as_nobody",
    "connect_by_many_paths",
    "left_as_it_was",
    "neighbour",
    "paired_neighbour",
]

NOBODY = 65534

CHILD = """
import ast, fcntl, os, socket, struct, sys
from pathlib import Path

def loopback(up):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        flags = 0x41 if up else 0x40  # IFF_UP | IFF_RUNNING, linux/if.h
        fcntl.ioctl(s, 0x8914, struct.pack("16sh22x", b"lo", flags))  # SIOCSIFFLAGS

def sysctl(name, value):
    Path("/proc/sys/net/ipv4", name).write_text(str(value))

def pair(host="127.0.0.1"):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        client = socket.create_connection(server.getsockname()[:2])
        return client, server.accept()[0]

def multipath():
    by_many_paths = socket.AF_INET, socket.SOCK_STREAM, 262  # IPPROTO_MPTCP
    with socket.socket(*by_many_paths) as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        client = socket.socket(*by_many_paths)
        client.connect(server.getsockname())
        return client, server.accept()[0]

scope = {name: value for name, value in globals().items() if name[0] != "_"}
print("None", flush=True)
for line in sys.stdin:
    tree = ast.parse(ast.literal_eval(line))
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "told", "exec"), scope)
    answer = last and eval(compile(ast.Expression(last.value), "told", "eval"), scope)
    print(repr(answer), flush=True)
"""


class Neighbour:
    """A child that does what it is told."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.pid = process.pid
        self._answer()

    def told(self, code: str) -> Any:
        """Have the child run *code*; return the value of its last line."""
        assert self.process.stdin
        self.process.stdin.write(f"{code!r}\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the neighbour ended; what it said is above"
        return ast.literal_eval(line)


@contextlib.contextmanager
def neighbour(*, namespace: bool = False) -> Iterator[Neighbour]:
    """Run a child, in a network namespace of its own if asked for."""
    # Without a fork in between, so that its number is that of the Python child.
    command = ["unshare", "--net", "--"] if namespace else []
    process = subprocess.Popen(
        [*command, sys.executable, "-c", CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            child = Neighbour(process)
            if namespace:
                child.told("loopback(True)")
            yield child
        finally:
            process.kill()


@contextlib.contextmanager
def paired_neighbour() -> Iterator[Neighbour]:
    """Run a child in a network namespace of its own, with a connection ``a``."""
    with neighbour(namespace=True) as child:
        child.told("a = pair()")
        yield child


def connect_by_many_paths(child: Neighbour) -> None:
    """Have a child connect ``m`` and ``n`` by Multipath TCP; skip if it cannot."""
    made = child.told(
        """
try:
    m, n = multipath()
except OSError:
    m = None
m is not None
"""
    )
    if not made:
        pytest.skip("needs a kernel with MPTCP (sysctl net.mptcp.enabled)")


@contextlib.contextmanager
def left_as_it_was(child: Neighbour, *, timeout: float | None) -> Iterator[None]:
    """
    Check that what is done to a child's ``a`` leaves its modes and options alone.

    Meanwhile ``timeout`` is Python's default, which changes sockets that it makes.
    """
    child.told("import fcntl")
    look = (
        "fcntl.fcntl(a, fcntl.F_GETFL), a.getsockopt(1, 9),"
        " [a.getsockopt(6, n) for n in (4, 5, 6, 18)]"
    )
    before = child.told(look)
    socket.setdefaulttimeout(timeout)
    try:
        yield
    finally:
        socket.setdefaulttimeout(None)
    assert child.told(look) == before


def as_nobody(action: Callable[[], int]) -> int:
    """
    Return what *action* returns, called in a process without privileges.

    As root that takes another user; anybody else is unprivileged already.
    """
    child = os.fork()
    if not child:
        code = 255
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            code = action()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
