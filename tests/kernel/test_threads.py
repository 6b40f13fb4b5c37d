"""Where the system starts no more threads, that is told, and nothing is done."""

import errno
import os
import resource
import threading
from collections.abc import Callable

import pytest
from tests.neighbours import NOBODY

from deadpeer.errors import KernelRefused
from deadpeer.host.stopping import stoppable
from deadpeer.kernel.namespaces import Namespace, in_namespace
from deadpeer.kernel.threads import start

DONE: list[str] = []


def work(*_: threading.Event) -> tuple[str, ...]:
    DONE.append("work")
    return ("done",)


def is_told(action: Callable[[], object]) -> bool:
    try:
        action()
    except KernelRefused as error:
        named = "ulimit -u" in error.hint and "pids.max" in error.hint
        return error.errno == errno.EAGAIN and named and not DONE
    return False


@pytest.mark.parametrize(
    "action",
    [
        lambda: start(threading.Thread(target=work)),
        lambda: stoppable(work),
        lambda: in_namespace(Namespace(inode=1, path="/proc/self/ns/net"), work),
    ],
    ids=["start", "stoppable", "in_namespace"],
)
def test_no_thread_is_an_error_that_names_the_limits(action):
    child = os.fork()
    if not child:
        told = False
        try:
            # Root may have as many as it likes.
            if os.geteuid() == 0:
                os.setresuid(NOBODY, NOBODY, NOBODY)
            resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
            told = is_told(action)
        finally:
            os._exit(0 if told else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_can_be_started_is():
    ended = threading.Event()
    start(threading.Thread(target=ended.set))

    assert ended.wait(10)
