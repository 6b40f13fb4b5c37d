"""
Python's search for garbage, put off while much is gathered.

There is none among rows that all live until the end, and to look again and again
takes a quarter of the time.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["without_collecting"]


@contextmanager
def without_collecting() -> Iterator[None]:
    """Keep Python from looking for garbage; afterwards it does as before."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
