"""
The far end of a script: a peer that answers, stops, closes, as it is told.

``FarEnd`` is the program alone: bytes in, deeds out, ``now`` as an argument. On a
``LinkModel`` it runs in the model's time, so it goes on while the watcher's event
loop is blocked; a ``ScriptedPeer`` runs it on a real socket.
"""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Iterator
from typing import Protocol

from deadpeer.testing.link_model import LinkModel, Shape, Side
from deadpeer.testing.scripts import Act, Script, Step

__all__ = ["FarEnd", "FarOnLink", "Lines", "Speech"]

NEVER = math.inf
AT_ONCE = 1 << 20


class Speech(Protocol):
    """The protocol that a far end speaks; it may remember half of a question."""

    def greeting(self) -> bytes:
        """Return what is said first; nothing in most protocols."""

    def questions(self, data: bytes, *, now: float) -> list[int]:
        """
        Return the numbers of the questions in what was read.

        Args:
            data: The bytes.
            now: When they were read, in seconds.
        """

    def answer(self, number: int) -> bytes:
        """
        Return the answer to a question.

        Args:
            number: The question's.
        """

    def word(self) -> bytes:
        """Return something that answers no question."""


class Lines:
    r"""
    Lines of text: ``ping 7``, ``pong 7``, and ``word`` for anything else.

    >>> Lines().questions(b"ping 7\nwor", now=0.0)
    [7]
    """

    def __init__(self) -> None:
        self._rest = b""

    def greeting(self) -> bytes:
        """Return nothing: a line needs no greeting."""
        return b""

    def questions(self, data: bytes, *, now: float) -> list[int]:  # noqa: ARG002
        """
        Return the numbers behind ``ping``.

        Args:
            data: The bytes.
            now: When they were read, in seconds.
        """
        return self._numbers(b"ping ", data)

    def answers(self, data: bytes) -> list[int]:
        """
        Return the numbers behind ``pong``: what a watcher wants to know.

        Args:
            data: The bytes.
        """
        return self._numbers(b"pong ", data)

    def _numbers(self, head: bytes, data: bytes) -> list[int]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [int(line[len(head) :]) for line in lines if line.startswith(head)]

    def question(self, number: int) -> bytes:
        """
        Return a question.

        Args:
            number: Its number.
        """
        return b"ping %d\n" % number

    def answer(self, number: int) -> bytes:
        """
        Return the answer to a question.

        Args:
            number: The question's.
        """
        return b"pong %d\n" % number

    def word(self) -> bytes:
        """Return a line that answers nothing."""
        return b"word\n"

    def filling(self, size: int) -> bytes:
        """
        Return a long line that asks nothing.

        Args:
            size: Its length in bytes, the end included.
        """
        return b"." * (size - 1) + b"\n"


class FarEnd:
    """
    The peer's program.

    Args:
        script: What it does.
        speech: What it speaks; lines by default.

    Attributes:
        reads: Whether it reads what arrives.
        awake_at: Since when it has been running, in seconds.
    """

    def __init__(self, script: Script, *, speech: Speech | None = None) -> None:
        self.speech: Speech = speech or Lines()
        self.reads = True
        self.awake_at = -NEVER
        self._script = script
        self._steps: deque[Step] = deque()
        self._after = 0.0
        self._words: list[tuple[float, int, bytes]] = []
        self._count = itertools.count()
        self._say(self.speech.greeting(), at=-NEVER)

    def begin(self, *, now: float) -> None:
        """
        Begin the script.

        Args:
            now: Its second 0.
        """
        self._steps.extend(
            step._replace(at=now + step.at) for step in self._script.of_others
        )

    @property
    def next_at(self) -> float:
        """When it will do something by itself, in seconds; infinite for never."""
        instant = self._steps[0].at if self._steps else NEVER
        if self._words and self.reads:
            instant = min(instant, max(self._words[0][0], self.awake_at))
        return instant

    def take(self, data: bytes, *, now: float) -> None:
        """
        Take what was read.

        Args:
            data: The bytes.
            now: When, in seconds.
        """
        for number in self.speech.questions(data, now=now):
            self._say(self.speech.answer(number), at=now + self._after)

    def act(self, *, now: float) -> Iterator[bytes | Step]:
        """
        Yield what is due: bytes to send, and what has to happen to the connection.

        Args:
            now: The present, in seconds.
        """
        while self.next_at <= now:
            word_at = self._words[0][0] if self._words and self.reads else NEVER
            if not self._steps or max(word_at, self.awake_at) < self._steps[0].at:
                yield heapq.heappop(self._words)[2]
            else:
                step = self._steps.popleft()
                if not self._is_own(step):
                    yield step

    def _is_own(self, step: Step) -> bool:
        """Do what concerns the program alone; say whether that was all."""
        match step.act:
            case Act.ANSWER:
                self._after = step.amount
            case Act.SAY:
                self._say(self.speech.word(), at=step.at)
            case Act.FREEZE:
                self.reads = False
            case Act.THAW:
                self.reads, self.awake_at = True, step.at
            case Act.CLOSE | Act.RESET:
                self.reads = False
                self._steps.clear()
                return False
            case _:
                return False
        return True

    def _say(self, word: bytes, *, at: float) -> None:
        if word:
            heapq.heappush(self._words, (at, next(self._count), word))


class FarOnLink:
    """
    Run a far end at the right end of a link, in the link's own time.

    Args:
        far: The program.
        link: The link; nobody else reads at its right end.
        now: The present, in seconds.
    """

    def __init__(self, far: FarEnd, link: LinkModel, *, now: float) -> None:
        self.far = far
        self._link = link
        self._kernel = link.kernels[Side.RIGHT]
        far.awake_at = now
        link.attach(self)

    @property
    def timer_at(self) -> float:
        """When it will do something, in seconds."""
        far, kernel = self.far, self._kernel
        if kernel.unread and far.reads:
            return min(far.next_at, max(kernel.arrived_at, far.awake_at))
        return far.next_at

    def fire(self, *, now: float) -> None:
        """
        Read what has arrived, and do what is due.

        Args:
            now: The present, in seconds.

        Raises:
            ConfigError: The line that the script asks for cannot be.
        """
        if self._kernel.unread and self.far.reads:
            self.far.take(self._kernel.read(AT_ONCE, now=now), now=now)
        for deed in self.far.act(now=now):
            if isinstance(deed, bytes):
                self._kernel.write(deed, now=now)
            else:
                self._happen(deed, now)

    def _happen(self, step: Step, now: float) -> None:
        link = self._link
        match step.act:
            case Act.CLOSE:
                self._kernel.close(now=now)
            case Act.RESET:
                link.reset(towards=Side.LEFT)
            case Act.CUT:
                link.cut()
            case Act.CUT_TO_PEER:
                link.cut(towards=Side.RIGHT)
            case Act.CUT_TO_WATCHER:
                link.cut(towards=Side.LEFT)
            case Act.MEND:
                link.mend()
            case Act.SLOW:
                delay = link.wires[Side.RIGHT].shape.delay
                link.reshape(Shape(delay=delay, bandwidth=step.amount))
