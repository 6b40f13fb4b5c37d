"""
Control groups that tests make for themselves, below the root, and remove again.

Nothing is ever attached to a cgroup that was not made here. Those of a run that was
killed are removed by the next one; what was attached to them goes with them.
"""

import contextlib
import functools
import itertools
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from deadpeer.errors import DeadPeerError
from deadpeer.kernel import bpf
from deadpeer.kernel.bpf import Hook
from deadpeer.kernel.cgroups import Cgroup, hierarchy

__all__ = ["needs_cgroups", "own_cgroup", "started_in", "take_off"]

PREFIX = "deadpeer-test-"
COUNTER = itertools.count()


@functools.cache
def why_not() -> str:
    """Return why nothing can be attached to a cgroup of our own; empty if it can."""
    try:
        with own_cgroup() as cgroup:
            descriptor = os.open(cgroup.folder, os.O_RDONLY)
            try:
                bpf.attached_ids(descriptor, Hook.SOCK_OPS)
                os.close(bpf.create_record(b"test", name="deadpeer_test"))
            finally:
                os.close(descriptor)
    except (DeadPeerError, OSError) as error:
        return f"needs root, BPF, and a writable cgroup of version 2: {error}"
    return ""


@pytest.fixture
def needs_cgroups() -> None:
    """Skip, with the reason, where no cgroup can be made and attached to."""
    if why_not():
        pytest.skip(why_not())


@contextlib.contextmanager
def own_cgroup(suffix: str = "", *, inside: Cgroup | None = None) -> Iterator[Cgroup]:
    """Make a cgroup, and remove it when its processes have ended."""
    top = hierarchy()
    if inside is None:
        sweep(top)
    name = f"{PREFIX}{os.getpid()}-{next(COUNTER)}{suffix}"
    folder = (inside.folder if inside else top) / name
    folder.mkdir()
    try:
        yield Cgroup(name=f"/{folder.relative_to(top)}", folder=folder)
    finally:
        removed(folder)


def removed(folder: Path) -> None:
    """Remove a cgroup; one whose last process is just ending is busy for a moment."""
    for _ in range(2000):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            (folder / "cgroup.procs").read_text()
            os.sched_yield()
        else:
            return


def take_off(cgroup: Cgroup, hook: Hook) -> None:
    """Take the one program off one hook, as if nobody had come to attach it."""
    descriptor = os.open(cgroup.folder, os.O_RDONLY)
    try:
        [number], _ = bpf.attached_ids(descriptor, hook)
        program = bpf.program_by_id(number)
        try:
            bpf.detach(program, descriptor, hook)
        finally:
            os.close(program)
    finally:
        os.close(descriptor)


def sweep(top: Path) -> None:
    """Remove what runs left behind that no longer exist."""
    for folder in top.glob(f"{PREFIX}*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            with contextlib.suppress(OSError):
                folder.rmdir()


def started_in(
    cgroup: Cgroup | None, command: Sequence[str], *, network: int, **more: Any
) -> subprocess.Popen[str]:
    """Start a program in a cgroup, in the network namespace of a process."""
    enter = ["nsenter", f"--net=/proc/{network}/ns/net", "--"]
    if cgroup is not None:
        script = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
        enter = ["sh", "-c", script, str(cgroup.folder), *enter]
    return subprocess.Popen(
        [*enter, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        **more,
    )
