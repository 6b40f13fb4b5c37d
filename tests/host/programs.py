"""
Programs that nobody changed, each with one connection and no keepalive.

Each connects, prints what it receives, and ends when its connection does; what it saw
of that, it prints on standard error.
"""

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["PROGRAMS", "build_static", "started", "why_no"]

PYTHON = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
try:
    while data := s.recv(100):
        print(data.decode(), end="", flush=True)
except OSError as error:
    sys.exit(error)
"""

NODE = """
const socket = require("net").connect(process.argv[2], process.argv[1]);
socket.on("data", data => process.stdout.write(data));
socket.on("error", error => { console.error(error.code); process.exit(1); });
"""

C = """
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **words) {
    struct sockaddr_in peer = {.sin_family = AF_INET};
    peer.sin_port = htons(atoi(words[2]));
    inet_pton(AF_INET, words[1], &peer.sin_addr);
    int s = socket(AF_INET, SOCK_STREAM, 0);
    if (count < 3 || connect(s, (struct sockaddr *)&peer, sizeof peer)) return 2;
    char data[100];
    ssize_t got;
    while ((got = read(s, data, sizeof data)) > 0)
        if (write(1, data, got) != got) return 3;
    if (got < 0) fprintf(stderr, "%s\\n", strerror(errno));
    return got < 0;
}
"""

PROGRAMS = ("nc", "python", "node", "static")
NEEDS = {"nc": "nc", "node": "node", "static": "cc"}


def why_no(name: str) -> str:
    """Return what is missing for a program; empty if it can be run."""
    needed = NEEDS.get(name)
    if needed is None or shutil.which(needed):
        return ""
    return f"needs the command `{needed}`"


def build_static(folder: Path) -> Path:
    """Compile the program that no library can be slipped under."""
    source = folder / "plain.c"
    source.write_text(C, encoding="ascii")
    made = folder / "plain"
    subprocess.run(["cc", "-static", "-O1", "-o", made, source], check=True)
    return made


@contextlib.contextmanager
def started(
    name: str, host: str, port: int, *, static: Path
) -> Iterator[subprocess.Popen[str]]:
    """Run a program in the namespace that this thread is in."""
    commands = {
        "nc": ["nc", host, str(port)],
        "python": [sys.executable, "-c", PYTHON, host, str(port)],
        "node": ["node", "-e", NODE, host, str(port)],
        "static": [str(static), host, str(port)],
    }
    process = subprocess.Popen(
        commands[name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
