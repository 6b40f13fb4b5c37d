"""
The far end of a script on a real socket, in a thread of its own.

It also measures how late this machine was: what a driver may be forgiven.
"""

import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from deadpeer.core.events import Change
from deadpeer.errors import ConfigError, LocalProtocolError
from deadpeer.testing.drivers import Playback
from deadpeer.testing.far_end import FarEnd, Speech
from deadpeer.testing.scripts import Act, Script, Step

__all__ = ["ScriptedPeer", "SocketDriver", "Watch"]

# Linger for 0 seconds: closing sends a reset (RFC 9293, section 3.9.1, ABORT).
ABORT = struct.pack("ii", 1, 0)

AT_ONCE = 1 << 16

# How often the machine's lateness is looked at, in seconds.
PULSE = 0.02

Watch = Callable[[socket.socket, Script, Callable[[], None]], Iterable[Change]]
"""
What watches a real socket: it is given the socket, the script, and what to call when
the peer is online. It performs ``script.of_watcher`` itself, and returns the changes
when ``script.until`` has come.
"""


class ScriptedPeer:
    """
    Play the far end of a script; a context manager.

    Args:
        sock: A connected stream socket; it is the peer's from now on.
        script: What the peer does.
        speech: What it speaks; lines by default.

    Attributes:
        lateness: Seconds by which this thread was woken late, at worst.

    Raises:
        ConfigError: The script needs a link that is made of numbers.
    """

    def __init__(
        self, sock: socket.socket, script: Script, *, speech: Speech | None = None
    ) -> None:
        if script.is_virtual:
            raise ConfigError(
                f"the script {script.name!r} needs virtual time, and a link of numbers",
                hint="play it over a LinkModel or a FakeLink, or choose scripts "
                "with is_virtual == False",
                field="script",
                value=script,
            )
        self.lateness = 0.0
        self._sock = sock
        self._far = FarEnd(script, speech=speech)
        self._far.awake_at = time.monotonic()
        self._ours, self._theirs = socket.socketpair()
        self._began_at: float | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"peer: {script.name}", daemon=True
        )

    def begin(self) -> None:
        """
        Begin the script: the watcher says that the peer is online.

        Raises:
            LocalProtocolError: It has begun before.
        """
        if self._began_at is not None:
            raise LocalProtocolError(
                "the script has begun before", hint="each play takes a peer of its own"
            )
        self._began_at = time.monotonic()
        self._theirs.send(b"b")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._theirs.close()  # the thread reads the end, and ends
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        finally:
            self._sock.close()
            self._ours.close()

    def _turn(self) -> bool:
        sock, far = self._sock, self._far
        now = time.monotonic()
        planned_at = min(max(far.next_at, now), now + PULSE)
        reads = far.reads and sock.fileno() >= 0
        readable, _, _ = select.select(
            [self._ours, sock] if reads else [self._ours], [], [], planned_at - now
        )
        now = time.monotonic()
        self.lateness = max(self.lateness, now - planned_at)
        if self._ours in readable:
            if not self._ours.recv(1):
                return False
            far.begin(now=self._began_at or now)
        if sock in readable:
            self._read(now)
        for deed in far.act(now=now):
            if isinstance(deed, Step):
                self._end(deed.act)
            elif sock.fileno() >= 0:
                self._send(deed)
        return True

    def _read(self, now: float) -> None:
        try:
            data = self._sock.recv(AT_ONCE)
        except OSError:
            data = b""
        if data:
            self._far.take(data, now=now)
        else:
            self._sock.close()  # the watcher has given up

    def _send(self, word: bytes) -> None:
        try:
            self._sock.sendall(word)
        except OSError:
            self._sock.close()

    def _end(self, act: Act) -> None:
        if act is Act.RESET and self._sock.fileno() >= 0:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        self._sock.close()


class SocketDriver:
    """
    A driver over a real TCP connection on the loopback interface.

    Args:
        watch: What watches the near end of it.
        speech: Makes what the peer speaks; lines by default.
    """

    def __init__(
        self, watch: Watch, *, speech: Callable[[], Speech] | None = None
    ) -> None:
        self._watch = watch
        self._speech = speech

    def play(self, script: Script) -> Playback:
        """
        Play a script in real time.

        Args:
            script: What happens.

        Raises:
            ConfigError: The script needs a link that is made of numbers.
        """
        speech = None if self._speech is None else self._speech()
        near, far = _connected()
        with near, far, ScriptedPeer(far, script, speech=speech) as peer:
            changes = tuple(self._watch(near, script, peer.begin))
        return Playback(changes=changes, lateness=peer.lateness)


def _connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    for sock in (near, far):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return near, far
