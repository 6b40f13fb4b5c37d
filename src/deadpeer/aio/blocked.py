"""
What an event loop is blocked by: the line that it is on, seen from outside.

Of a stack that is many frames deep, a reader wants one line: the innermost that
is their own. Libraries are recognised by where they are installed.
"""

import sysconfig
from dataclasses import dataclass
from pathlib import PurePath
from types import FrameType
from typing import NamedTuple

__all__ = ["Blocked", "Place", "blamed", "depth_of", "stack_of"]

LIBRARY_FOLDERS = frozenset({"site-packages", "dist-packages"})
STANDARD_LIBRARY = tuple(
    PurePath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")
)


class Place(NamedTuple):
    """
    A line of code that is being run.

    Attributes:
        file: The full name of its file.
        line: The number of the line, from 1 on.
        function: The function that it is in.
    """

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """
    An event loop that ran nothing else for too long.

    Args:
        stack: What the loop was running, from the outermost call to the innermost,
            when it was looked at. Empty if nothing could look: then the whole
            process stood still. It was stopped, it got no processor, or code in
            C held the interpreter's lock.
        since_at: When it was first known to be blocked, on the clock of
            ``time.monotonic``.
        lasted: Seconds that this had lasted when it was told.
        over: Whether the loop runs again.
    """

    stack: tuple[Place, ...]
    since_at: float
    lasted: float
    over: bool

    @property
    def place(self) -> Place | None:
        """The innermost line that is in no library; the innermost if all are."""
        return blamed(self.stack)

    @property
    def file(self) -> str:
        """The file of *place*; empty if nothing could look."""
        return self.place.file if self.place else ""

    @property
    def line(self) -> int:
        """The number of the line of *place*; 0 if nothing could look."""
        return self.place.line if self.place else 0

    @property
    def function(self) -> str:
        """The function of *place*; empty if nothing could look."""
        return self.place.function if self.place else ""

    @property
    def innermost(self) -> Place | None:
        """The line that was being run, in a library or not."""
        return self.stack[-1] if self.stack else None

    def __str__(self) -> str:
        verb = "was" if self.over else "has been"
        if self.place is None:
            return (
                f"the whole process stood still for {self.lasted:.3g} s: stopped, without"
                " a processor, or in C code that holds the interpreter's lock"
            )
        text = f"the event loop {verb} blocked for {self.lasted:.3g} s at {self.place}"
        return text if self.innermost == self.place else f"{text} ({self.innermost})"


def blamed(stack: tuple[Place, ...]) -> Place | None:
    """
    Return the innermost place that is in no library; the innermost if all are.

    Args:
        stack: From the outermost call to the innermost.
    """
    for place in reversed(stack):
        if not _is_library(place.file):
            return place
    return stack[-1] if stack else None


def stack_of(frame: FrameType, *, beyond: int) -> tuple[Place, ...]:
    """
    Return what a thread runs, from the outermost call to the innermost.

    Args:
        frame: The innermost frame of the thread.
        beyond: How many of the outermost frames to leave out: those that run the
            loop. If that leaves nothing, the loop itself is told.
    """
    places = []
    at: FrameType | None = frame
    while at is not None:
        # A frame that is just being entered or left has no line.
        places.append(
            Place(at.f_code.co_filename, at.f_lineno or 0, at.f_code.co_qualname)
        )
        at = at.f_back
    places.reverse()
    return tuple(places[beyond:] or places[-1:])


def depth_of(frame: FrameType | None) -> int:
    """
    Return the number of frames from here to the outermost.

    Args:
        frame: The innermost frame; None counts as none.
    """
    depth = 0
    while frame is not None:
        depth += 1
        frame = frame.f_back
    return depth


def _is_library(file: str) -> bool:
    if file.startswith("<"):  # frozen, or made by exec
        return True
    path = PurePath(file)
    return not LIBRARY_FOLDERS.isdisjoint(path.parts) or any(
        path.is_relative_to(folder) for folder in STANDARD_LIBRARY
    )
