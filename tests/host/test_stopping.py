"""Ctrl-C in the middle of work on many sockets: it ends between two, and is told."""

import signal
import threading

import pytest
from tests.host import test_stopping as here
from tests.host.interrupting import interrupted_after_one

from deadpeer.errors import AccessDenied
from deadpeer.host.stopping import Interrupted, stoppable


def change(number: int) -> str:
    return f"{number} changed"


def work(stopped: threading.Event) -> tuple[str, ...]:
    return tuple(
        f"{number} left" if stopped.is_set() else here.change(number)
        for number in range(3)
    )


def test_what_is_not_stopped_is_done_and_what_it_raises_is_raised():
    def refused(_: threading.Event) -> tuple[str, ...]:
        raise AccessDenied("no")

    assert stoppable(work) == ("0 changed", "1 changed", "2 changed")
    with pytest.raises(AccessDenied, match="no"):
        stoppable(refused)


def test_what_is_stopped_tells_what_was_done_and_leaves_the_rest():
    with interrupted_after_one(here, "change"), pytest.raises(Interrupted) as caught:
        stoppable(work)

    assert caught.value.came == ("0 changed", "1 left", "2 left")
    assert signal.getsignal(signal.SIGINT) is not None


def test_an_error_goes_before_the_interruption():
    def refused(stopped: threading.Event) -> tuple[str, ...]:
        work(stopped)
        assert stopped.is_set()
        raise AccessDenied("no")

    with interrupted_after_one(here, "change"), pytest.raises(AccessDenied):
        stoppable(refused)
