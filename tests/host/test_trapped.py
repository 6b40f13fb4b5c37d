"""What a socket gets that takes no user timeout, and settings that no kernel takes."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from deadpeer.errors import ConfigError
from deadpeer.host.trapped import Protector, require_settable, while_idle
from deadpeer.kernel.call_filter import MACHINES, Way
from deadpeer.kernel.current_platform import this_platform
from deadpeer.kernel.seccomp import Listener, Notification
from deadpeer.policy import Keepalive, plan


@given(st.floats(6, 3600))
def test_without_a_user_timeout_an_idle_death_is_known_as_soon(within):
    try:
        planned = plan(within=within).keepalive
    except ConfigError:
        reject()  # the kernel's whole seconds leave gaps between the short promises
    assert planned.idle
    assert planned.interval
    assert planned.user_timeout

    alone = while_idle(planned)

    assert alone.on is True
    assert alone.user_timeout is None
    assert alone.rto_max is None
    assert alone.probes
    death = planned.idle + planned.interval * alone.probes
    assert planned.user_timeout <= death < within
    # The tick before would have been too early with the user timeout, too.
    assert alone.probes == 1 or death - planned.interval < planned.user_timeout


def test_own_probes_are_kept_where_there_is_no_user_timeout():
    own = Keepalive(idle=5, interval=1, probes=3)

    assert while_idle(own) == Keepalive(idle=5, interval=1, probes=3, on=True)


def test_what_this_kernel_takes_is_accepted():
    row = this_platform()

    require_settable(plan(within=10, platform=row).keepalive, row)


def test_what_no_kernel_takes_is_refused_before_the_program_starts():
    with pytest.raises(ConfigError, match="TCP_KEEPIDLE"):
        require_settable(Keepalive(idle=99_999, interval=1, probes=3), this_platform())


I386, SOCKETCALL, CONNECT = 0x40000003, 102, 3
LOW_PAGE = 0x2000_0000  # where nothing else is mapped
PAGE = 4096
READ_WRITE, PRIVATE_ANONYMOUS_THERE = 3, 0x100022  # linux/mman.h


@pytest.fixture
def low_page() -> Iterator[int]:
    """A page of memory that 32 bits reach, with nothing behind it."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *(ctypes.c_int,) * 4)
    place = libc.mmap(LOW_PAGE, PAGE, READ_WRITE, PRIVATE_ANONYMOUS_THERE, -1, 0)
    if place != LOW_PAGE:
        pytest.skip("something is mapped there")
    yield place
    libc.munmap(ctypes.c_void_p(place), ctypes.c_size_t(PAGE))


@pytest.mark.parametrize(
    ("number", "at"),
    [
        (CONNECT, PAGE - 2),  # half of the descriptor is not there
        (CONNECT | 1 << 40, 0),
        (CONNECT, 1 << 63),
    ],
)
def test_an_odd_call_of_the_old_kind_ends_no_helper(low_page, number, at):
    row = this_platform()
    settings = plan(within=10, platform=row).keepalive
    protector = Protector(MACHINES["x86_64"], Way.BORROW, settings, row)
    arguments = (number, low_page + at, 0, 0, 0, 0)
    call = Notification(7, os.getpid(), SOCKETCALL, I386, arguments)
    listener = Listener(os.open(os.devnull, os.O_RDONLY))  # nobody waits there

    told = protector.answer(listener, call)

    assert told is None or told.event == "unprotected"
    listener.close()


# A process of its own, as a helper is: what it holds, it holds to its end.
BEFORE_LINUX_6_9 = """
import errno, os, socket, sys, threading
from deadpeer.host.trapped import Protector
from deadpeer.kernel.call_filter import MACHINES, Way
from deadpeer.kernel.current_platform import this_platform
from deadpeer.kernel.seccomp import Listener, Notification
from deadpeer.policy import plan
class Waiting(Listener):
    def is_waiting(self, _):
        return True  # no program is needed
opened, real = [], os.pidfd_open
def old(pid, flags=0):
    if flags:
        raise OSError(errno.EINVAL, "Invalid argument")
    opened.append(pid)
    return real(pid)
os.pidfd_open = old
row = this_platform()
machine = MACHINES["x86_64"]
protector = Protector(machine, Way.BORROW, plan(within=10, platform=row).keepalive, row)
listener = Waiting(os.open(os.devnull, os.O_RDONLY))
sock = socket.socket()
def work():
    for task in (threading.get_native_id(), os.getpid()):
        call = Notification(7, task, 42, 0xC000003E, (sock.fileno(), 0, 0, 0, 0, 0))
        for _ in range(2):
            print(protector.answer(listener, call).event)
before = len(os.listdir("/proc/self/fd"))
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(opened == [os.getpid()] * int(sys.argv[1]))
print(len(os.listdir("/proc/self/fd")) - before)
sys.stdout.flush()
os._exit(0)
"""


def test_before_linux_6_9_no_thread_is_held_by_its_process():
    # The thread's process twice, and the first thread once: that one stays held.
    said = subprocess.check_output(
        [sys.executable, "-c", BEFORE_LINUX_6_9, "3"],
        text=True,
        timeout=30,
        cwd=Path(__file__).parents[2],
    )

    assert said.split() == [*["protected"] * 4, "True", "1"]
