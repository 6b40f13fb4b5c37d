"""
Work on many sockets that Ctrl-C ends between two of them, and tells how far it came.

Python raises ``KeyboardInterrupt`` in the main thread, and anywhere in it: also after
a socket was changed and before that was noted. So another thread does the work, is
asked to stop, and is waited for.

Source: Python, module signal, "Signals and threads".
"""

import threading
from collections.abc import Callable
from threading import Event
from typing import Any, TypeVar

from deadpeer.kernel.threads import start

__all__ = ["Interrupted", "stoppable"]

T = TypeVar("T")


class Interrupted(KeyboardInterrupt):
    """
    Ctrl-C came in the middle; a part was done.

    Args:
        came: What the work had to tell, of that part and of the rest.
    """

    def __init__(self, came: tuple[Any, ...]) -> None:
        super().__init__()
        self.came = came


def stoppable(work: Callable[[Event], tuple[T, ...]]) -> tuple[T, ...]:
    """
    Return what came of some work, which Ctrl-C asks to stop.

    A second Ctrl-C waits no longer, and learns nothing of what came. The socket that
    is being changed at that moment is finished all the same, before the process ends.

    Args:
        work: It looks at the event that it is given before each socket, and leaves
            the rest as it is once that is set.

    Raises:
        Interrupted: Ctrl-C came; has what the work returned all the same.
        KernelRefused: The system starts no more threads; nothing was done.
    """
    stopped, ended = Event(), Event()
    came: list[tuple[T, ...]] = []
    failure: list[BaseException] = []

    def go() -> None:
        try:
            came.append(work(stopped))
        except BaseException as error:  # noqa: BLE001 - raised by the caller
            failure.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=go, name="changes sockets")
    interrupted = False
    try:
        start(thread)
        # Not join(): what is raised in that makes Python 3.11 take it for ended.
        ended.wait()
    except KeyboardInterrupt:
        stopped.set()
        if thread.ident is None:
            raise  # it has not begun, and will find that it is to stop
        interrupted = True
        ended.wait()
    if failure:
        raise failure[0]
    if interrupted:
        raise Interrupted(came[0])
    return came[0]
