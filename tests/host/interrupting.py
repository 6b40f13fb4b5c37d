"""Ctrl-C at a moment that a test chooses: right after the first socket was changed."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from deadpeer.host import stopping

__all__ = ["interrupted_after_one"]

PATIENCE = 15


@contextlib.contextmanager
def interrupted_after_one(module: ModuleType, name: str) -> Iterator[None]:
    """
    Have Ctrl-C come when the function that changes one socket has done it once.

    ``name`` is that function's, in ``module``.
    """
    made: list[threading.Event] = []
    change, was = getattr(module, name), signal.getsignal(signal.SIGINT)
    first = iter((True,))

    def event() -> threading.Event:
        made.append(threading.Event())
        return made[-1]

    def changed(*values: Any, **more: Any) -> Any:
        came = change(*values, **more)
        if next(first, False):
            main = threading.main_thread().ident
            assert main
            signal.pthread_kill(main, signal.SIGINT)
            assert made[0].wait(PATIENCE)
        return came

    # Whoever runs the tests in the background may have it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stopping, "Event", event)
            patch.setattr(module, name, changed)
            yield
    finally:
        signal.signal(signal.SIGINT, was)
