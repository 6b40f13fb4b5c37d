"""
The pair of helpers beside a launched program: one answers, the other stands by.

If nobody held the filter's listener, the program could neither connect nor listen
any more. So there are always two processes that do. When the one that answers ends,
for whatever reason, the other takes its place and makes a new one to stand by; when
the one that stands by ends, it is replaced too. What was being answered at that
moment is in shared memory and is answered again, which does no harm.

Both end when the last process ends that the filter is on.
"""

import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from deadpeer.errors import DeadPeerError
from deadpeer.host.trapped import Happening
from deadpeer.kernel.seccomp import Desk, Listener, Notification

__all__ = ["Answer", "Tell", "supervise"]

Answer = Callable[[Listener, Notification], Happening | None]
Tell = Callable[[Happening], None]

# One that dies at once, for want of memory, say, is not made anew at once: so many
# seconds have to lie between.
PAUSE = 1.0


def supervise(listener: Listener, desk: Desk, answer: Answer, tell: Tell) -> None:
    """
    Answer until nobody asks any more, in this process and in its successors.

    It returns in whichever process answers last; that process is to end then.

    Args:
        listener: Where the calls come from.
        desk: Memory that is shared with the successors.
        answer: What to do about a call.
        tell: Is told what happens.
    """
    while True:
        pair = _Pair(listener, desk, answer, tell)
        if pair.serve():
            return
        # This is the new one now, which stands by until it has to serve.
        tell(Happening("helper", os.getpid()))
        if not _stand_by(listener, pair.parent):
            os._exit(0)


class _Pair:
    """The one that answers, with the one that stands by as its child."""

    def __init__(
        self, listener: Listener, desk: Desk, answer: Answer, tell: Tell
    ) -> None:
        self._listener, self._desk = listener, desk
        self._answer, self._tell = answer, tell
        self._poll = select.poll()
        self._poll.register(listener, select.POLLIN)
        self._child, self._pidfd, self._due_at = 0, -1, 0.0
        self.parent = os.getpid()

    def serve(self) -> bool:
        """Answer; return True at the end, and False in a child that was made."""
        left = self._desk.notification()
        if self._listener.is_waiting(left):
            self._deal(left)
        asked = self._listener.fileno()
        while True:
            # Not only when nobody asks: a busy program asks without a pause.
            if self._child == 0 and not self._fork():
                return False
            ready = self._poll.poll(None if self._child else PAUSE * 1000)
            for fd, seen in ready:
                if fd != asked:
                    self._bury()
                elif seen & select.POLLIN:
                    self._receive()
                else:
                    return True

    def _receive(self) -> None:
        try:
            call = self._listener.receive(self._desk)
        except DeadPeerError:
            return
        if call is not None:
            self._deal(call)

    def _deal(self, call: Notification) -> None:
        told = self._answer(self._listener, call)
        if told is not None:
            self._tell(told)

    def _fork(self) -> bool:
        """Make one to stand by; return False in it."""
        now = time.monotonic()
        if now < self._due_at:
            return True
        self._due_at = now + PAUSE
        with suppress(OSError):  # no more processes: again later
            child = os.fork()
            if child == 0:
                return False
            self._child = child
            self._pidfd = os.pidfd_open(child)
            self._poll.register(self._pidfd, select.POLLIN)
        return True

    def _bury(self) -> None:
        self._poll.unregister(self._pidfd)
        os.close(self._pidfd)
        with suppress(ChildProcessError):
            os.waitpid(self._child, 0)
        self._child, self._pidfd = 0, -1


def _stand_by(listener: Listener, parent: int) -> bool:
    """Wait; return True if the parent ends, False if the program does."""
    try:
        pidfd = os.pidfd_open(parent)
    except OSError:
        return True  # it has ended already
    poll = select.poll()
    poll.register(listener, 0)  # its end is always told
    poll.register(pidfd, select.POLLIN)
    try:
        if os.getppid() != parent:
            return True  # that number is somebody else's by now
        return listener.fileno() not in dict(poll.poll())
    finally:
        os.close(pidfd)


def block_signals() -> None:
    """
    Have no signal end or stop this process, but those that nobody can block.

    Ctrl-C is for the program; and when a service is stopped, what it does at its
    end needs its connections still.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
