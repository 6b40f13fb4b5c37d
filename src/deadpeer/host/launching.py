"""
Starting a program so that every TCP connection it makes or accepts is protected.

This process becomes the program: same pid, same terminal, same parent, so its exit
code and signals need nobody to pass them on. Before that it makes the helpers, which
are nobody's children but init's: the program never meets one that it did not make.

Once the helper is there, the filter is put on, and its listener is given to the
helper over a socket pair, on which the two agree in this order:

    helper  → launcher   which way it can protect, or what is wrong
    launcher → helper    the listener
    helper  → launcher   ready

Whoever of the two hears nothing more gives up, and nothing is left behind.
"""

import ctypes
import gc
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from deadpeer.errors import (
    AccessDenied,
    ConfigError,
    DeadPeerError,
    KernelRefused,
    NotTcp,
    UnsupportedError,
)
from deadpeer.host.becoming import become
from deadpeer.host.supervising import Tell, block_signals, supervise
from deadpeer.host.trapped import Happening, Protector, require_settable
from deadpeer.kernel.borrow import Lender
from deadpeer.kernel.call_filter import Machine, Way, call_filter
from deadpeer.kernel.current_platform import this_platform
from deadpeer.kernel.descriptors import (
    NONE_LEFT,
    no_descriptor_left,
    require_descriptors,
)
from deadpeer.kernel.options import apply
from deadpeer.kernel.seccomp import Desk, Listener, install
from deadpeer.kernel.seccomp_support import this_machine
from deadpeer.platforms import Platform
from deadpeer.policy import Keepalive

__all__ = ["Launch", "launch"]

PR_SET_NAME = 15  # linux/prctl.h; at most 15 bytes
HELPER_NAME = b"deadpeer-helper"

# Never this one, where that may be said. proc_pid_oom_score_adj(5).
NEVER_KILL = "-1000"

READY = b"ready"
WRONG = b"!"
LONGEST = 4096  # bytes of a message


def _silent(_: Happening) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """
    What is to be started, and how.

    Args:
        command: The program and its arguments.
        settings: What its sockets get.
        pin: The program's own keepalive settings are left out.
        tell: Is told, in the helpers, what happens; it must not fail or block.
        kept: Descriptors that *tell* needs.
    """

    command: Sequence[str]
    settings: Keepalive
    pin: bool = False
    tell: Tell = _silent
    kept: tuple[int, ...] = field(default=())


def launch(order: Launch) -> NoReturn:
    """
    Become the program, with helpers beside it that protect its connections.

    Only a process with a single thread can do that without harm.

    Args:
        order: What is to be started.

    Raises:
        ConfigError: No command is given, or a setting is out of range.
        UnsupportedError: This kernel cannot do it.
        AccessDenied: A sandbox forbids it.
        KernelRefused: The kernel refused; the program was not started. If it is the
            program itself that cannot be run, the operation is ``EXECUTE``.
    """
    if not order.command or not order.command[0]:
        raise ConfigError(
            "no command is given", hint="name the program to start", field="command"
        )
    machine = this_machine()
    platform = this_platform()
    require_settable(order.settings, platform)
    try:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError as error:
        require_descriptors(error)
        raise
    with ours:
        with theirs:
            _make_helper(
                _Job(
                    order=order,
                    machine=machine,
                    platform=platform,
                    launcher=os.getpid(),
                    lent=ours.fileno(),
                    channel=theirs,
                )
            )
        way = _agreed(ours)
        pinned = _options(platform) if order.pin else ()
        listener = install(machine, call_filter(machine, way, pinned=pinned))
        try:
            socket.send_fds(ours, [READY], [listener.fileno()])
        except OSError as error:
            raise _helper_gone() from error
        listener.close()
        _heard(ours)
    _protect_inherited(order, platform)
    become(order.command)


def _protect_inherited(order: Launch, platform: Platform) -> None:
    """
    Protect the sockets that the program is started with, and did not make itself.

    That is its standard input under inetd, and what systemd listens on for it.

    Source:
        sd_listen_fds(3).
    """
    handed = [0]
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        count = os.environ.get("LISTEN_FDS", "")
        handed += range(3, 3 + int(count)) if count.isdecimal() else []
    for descriptor in handed:
        try:
            apply(descriptor, order.settings, platform=platform)
            event, why = "protected", ""
        except NotTcp:
            continue
        except DeadPeerError as error:
            event, why = "unprotected", str(error)
        order.tell(Happening(event, os.getpid(), "inherited", descriptor, why=why))


def _options(platform: Platform) -> list[tuple[int, int]]:
    rows = (platform.switch, *platform.options.values())
    return [(row.level, row.number) for row in rows]


def _agreed(channel: socket.socket) -> Way:
    return Way(_heard(channel).decode())


def _heard(channel: socket.socket) -> bytes:
    """Return what the helper says; raise what is wrong."""
    try:
        said = channel.recv(LONGEST)
    except OSError:
        said = b""
    if not said:
        raise _helper_gone()
    if said.startswith(WRONG):
        raise KernelRefused(said[1:].decode(), operation="supervise")
    return said


def _helper_gone() -> KernelRefused:
    return KernelRefused(
        "the helper ended before the program could be started",
        hint="is there enough memory, and room for two more processes?",
        operation="fork",
    )


# -- the helper's side ----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """What the helper takes along."""

    order: Launch
    machine: Machine
    platform: Platform
    launcher: int
    lent: int
    channel: socket.socket


def _make_helper(job: _Job) -> None:
    """Fork twice, so that the helper is no child of what will be the program."""
    sys.stdout.flush()
    sys.stderr.flush()
    gc.collect()
    gc.freeze()  # what is shared by the copies is not written to by their collectors
    try:
        between = os.fork()
    except OSError as error:
        raise KernelRefused(
            f"no helper can be made: {error.strerror}",
            hint="raise the limit of processes (ulimit -u)",
            operation="fork",
            errno=error.errno,
        ) from error
    if between == 0:
        try:
            if os.fork() == 0:
                _help(job)
        finally:
            # Nothing of what the copy inherited is to be flushed or cleaned up.
            os._exit(0)
    with suppress(ChildProcessError):  # where SIGCHLD is ignored
        os.waitpid(between, 0)


def _help(job: _Job) -> None:
    channel, tell = job.channel, job.order.tell
    try:
        _settle((channel.fileno(), *job.order.kept))
        way = _way(job.launcher, job.lent)
        protector = Protector(job.machine, way, job.order.settings, job.platform)
        channel.send(way.value.encode())
        _, descriptors, _, _ = socket.recv_fds(channel, LONGEST, 1)
        if not descriptors:
            return  # the launcher gave up
        listener = Listener(descriptors[0])
        listener.hurry()
        desk = Desk()
    except (DeadPeerError, OSError) as error:
        with suppress(OSError):
            channel.send(WRONG + _in_words(error).encode()[: LONGEST - 1])
        return
    tell(Happening("started", job.launcher, way))
    tell(Happening("helper", os.getpid()))
    with suppress(OSError):
        channel.send(READY)
    channel.close()
    supervise(listener, desk, protector.answer, tell)
    tell(Happening("ended", job.launcher))


def _in_words(error: DeadPeerError | OSError) -> str:
    number = error.errno if isinstance(error, OSError) else None
    return str(no_descriptor_left(number) if number in NONE_LEFT else error)


def _way(launcher: int, lent: int) -> Way:
    """
    Return the way in which this process can protect the launcher's descendants.

    Borrowing takes the right to look into processes that are no descendants of
    this one. Containers and Yama (``kernel.yama.ptrace_scope``) often deny it.
    """
    try:
        with Lender(launcher) as lender, lender.borrowed(lent):
            return Way.BORROW
    except (AccessDenied, UnsupportedError):
        return Way.HAND_OUT


def _settle(kept: tuple[int, ...]) -> None:
    """Leave everything behind that is the program's: signals, terminal, files."""
    block_signals()
    os.setsid()
    os.chdir("/")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    # A pipe or lock that the helper held would look as if the program held it.
    below = 3
    for number in sorted(kept):
        os.closerange(below, number)
        below = number + 1
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    os.closerange(below, highest + 1)
    ctypes.CDLL(None).prctl(PR_SET_NAME, HELPER_NAME, 0, 0, 0)
    with suppress(OSError):  # for CAP_SYS_RESOURCE only
        Path("/proc/self/oom_score_adj").write_text(NEVER_KILL, "ascii")
