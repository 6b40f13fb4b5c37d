"""
The watched end of one cell: a socket that is led into its situation and waits.

It reports once: the kernel hands a connection's error to the application once,
by whichever call comes first, and every call here looks for it.
"""

import errno
import select
import socket
import time
from collections.abc import Callable

from deadpeer.kernel.evidence import read_tcp_info
from deadpeer.kernel.options import apply
from deadpeer.kernel.tcp_info import TcpState
from deadpeer.lab.closing import Closing
from deadpeer.lab.forecast import Facts, with_forecast
from deadpeer.lab.loop import READ, WRITE, Loop
from deadpeer.lab.namespaces import Namespace
from deadpeer.lab.peer import PORT, QUESTION
from deadpeer.lab.scenario import Cell, Measurement
from deadpeer.lab.terms import Outcome, Situation
from deadpeer.lab.topology import AF, SERVER
from deadpeer.lab.trial import UNPREPARED, Trial
from deadpeer.lab.window import FILLER, LOOK, has_closed_window
from deadpeer.policy.predict import Span, State

__all__ = ["Connection"]

# Questions and answers before anything else, so that the kernel knows the round
# trip. The estimate of a fresh connection is generous.
WARM_UP = 3

# The kernel counts in ticks of up to 10 ms (CONFIG_HZ=100), and some time passes
# between the last look and the fault.
COARSE: Span = (0.012, 0.025)

# How long the answer of a live peer may take at the end, besides round trips.
PATIENCE = 2.0


class Connection(Trial, Closing):
    """
    One connection of a run.

    Args:
        cell: What it is for.
        loop: What calls it.
        host: Where its socket is made.
        done: Called with its measurement, once.

    Attributes:
        closed_at: Between which instants its peer's window closed, if it did.
    """

    def __init__(
        self,
        cell: Cell,
        loop: Loop,
        host: Namespace,
        done: Callable[[Measurement], None],
    ) -> None:
        super().__init__(cell, done)
        self.loop = loop
        with host.entered():
            self.sock = socket.socket(AF[cell.family], socket.SOCK_STREAM)
        self.sock.setblocking(False)  # noqa: FBT003
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        apply(self.sock, cell.setting.keepalive)
        self.to_warm_up = WARM_UP
        self.closed_at: Span | None = None
        self.wrote_at: float | None = None
        self.open_questions = 0
        self.has_seen_end = False
        self.was_settled = False
        self.is_connected = False
        self.is_filling = False
        self.is_asking = False

    # -- into the situation -------------------------------------------------

    def connect(self) -> None:
        """Begin to connect."""
        self.loop.watch(self.sock.fileno(), READ | WRITE, self.on_ready)
        address = SERVER[self.cell.family], PORT
        number = self.sock.connect_ex(address)
        if number != errno.EINPROGRESS:
            self.loop.woke_at = time.monotonic()
            self.report(number)

    def ask(self) -> None:
        """Have the peer answer, so that it is heard now."""
        self.open_questions += 1
        self.write(QUESTION)

    def write(self, data: bytes = b".") -> None:
        """Send something, if there is still somebody to send it to."""
        if self.is_over:
            return
        self.wrote_at = time.monotonic()
        try:
            self.sock.send(data)
        except BlockingIOError:
            pass
        except OSError as error:
            self.report(error.errno or errno.EIO)

    def shut_down(self) -> None:
        """End our direction."""
        if not self.is_over:
            self.sock.shutdown(socket.SHUT_WR)

    def fill(self) -> None:
        """Send until the peer's window is closed and more is waiting."""
        self.is_filling = True
        self.keep_filling(time.monotonic())

    def keep_filling(self, looked_at: float) -> None:
        """Send what fits, and look if the window is closed by now."""
        if self.is_over or not self.is_filling:
            return
        self.write(FILLER)
        now = time.monotonic()
        if has_closed_window(self.sock):
            self.is_filling = False
            self.closed_at = looked_at, now
        else:
            self.loop.at(now + LOOK, lambda: self.keep_filling(now))

    def is_settled(self) -> bool:
        """Whether it is in the situation that it is for (or past saving)."""
        if self.is_over:
            return True
        match self.cell.situation:
            case Situation.CONNECTING:
                return True
            case Situation.ZERO_WINDOW:
                return self.closed_at is not None
            case Situation.PEER_SHUT_DOWN:
                return self.has_seen_end
            case Situation.WE_SHUT_DOWN:
                info = read_tcp_info(self.sock)
                return info is not None and info.state == TcpState.FIN_WAIT2
            case _:
                return not self.to_warm_up and not self.open_questions

    def has_data_in_flight(self) -> bool:
        """Whether something that was sent is not acknowledged yet."""
        info = read_tcp_info(self.sock)
        return bool(info and info.unacked)

    # -- the fault ----------------------------------------------------------

    def predict(self, *, fault_at: float, rtt: float) -> None:
        """
        Write down what it should see.

        Args:
            fault_at: When the fault happens: now, or very soon.
            rtt: The round trip of the path, where the kernel knows no better.
        """
        self.was_settled = self.is_settled()
        info = read_tcp_info(self.sock)
        measured = info.rtt_us / 1e6 if info and info.rtt_us else rtt
        self.cell = with_forecast(
            self.cell,
            Facts(
                silence=_around((info.silence if info else None) or 0.0),
                written_at=self.written(fault_at),
                closed=self.closed_for(fault_at),
                rtt=measured,
                rto=info.rto_us / 1e6 if info and info.rto_us else None,
            ),
        )

    def written(self, now: float) -> Span | None:
        """When it writes, if it does: as it was, or as it is planned."""
        at = self.cell.write_at
        if at is None:
            return None
        if at < 0 and self.wrote_at is not None:
            at = self.wrote_at - now
        return at - COARSE[0], at + COARSE[0]

    def closed_for(self, now: float) -> Span | None:
        """For how long the window has been closed, if it has."""
        if self.cell.state is not State.ZERO_WINDOW or self.closed_at is None:
            return None
        shortest, longest = now - self.closed_at[1], now - self.closed_at[0]
        return shortest - COARSE[0], longest + COARSE[1]

    # -- the report ---------------------------------------------------------

    def on_ready(self, events: int) -> None:
        """Take what the kernel has to say."""
        if self.is_over:
            return
        # Asked for without an error, SO_ERROR would return the last soft one, of
        # which the connection has not died: net/core/sock.c, sk_getsockopt().
        if events & select.EPOLLERR:
            self.report(self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        elif not self.is_connected:
            self.greet()
        elif events & (READ | select.EPOLLHUP):
            self.read()
        elif events & WRITE and self.is_asking:
            self.ask_at_last()

    def greet(self) -> None:
        """Introduce ourselves: the connection stands."""
        self.is_connected = True
        self.loop.watch(self.sock.fileno(), READ, self.on_ready)
        self.write(self.name.encode() + b"\n")
        self.ask()

    @property
    def name(self) -> str:
        """What the peer calls it."""
        return str(self.sock.fileno())

    def read(self) -> None:
        """Read answers, or the end."""
        try:
            data = self.sock.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError as error:
            self.report(error.errno or errno.EIO)
            return
        if not data:
            self.at_end_of_stream()
        elif self.is_asking:
            self.finish(Outcome.ALIVE)
        else:
            self.open_questions -= len(data)
            self.to_warm_up = max(0, self.to_warm_up - 1)
            if self.to_warm_up:
                self.ask()

    def at_end_of_stream(self) -> None:
        """The peer has shut down its direction, as it should, or closed."""
        expected = self.cell.situation is Situation.PEER_SHUT_DOWN
        if expected and not self.has_seen_end:
            self.has_seen_end = True
            self.loop.watch(self.sock.fileno(), 0, self.on_ready)
        else:
            self.finish(Outcome.CLOSED, error="EOF")

    def report(self, number: int) -> None:
        """Take the kernel's error as the end."""
        outcome = Outcome.DEAD
        if self.cell.fault.says_goodbye:
            outcome = Outcome.CLOSED
        elif number == errno.ECONNREFUSED and not self.is_connected:
            outcome = Outcome.REFUSED
        self.finish(outcome, error=errno.errorcode.get(number, str(number)))

    # -- the end ------------------------------------------------------------

    def conclude(self) -> None:
        """End the observation; a live peer has to show that it lives."""
        if self.is_over:
            return
        if not self.cell.peer_lives:
            self.finish(Outcome.ALIVE)
            return
        if self.cell.state is State.ZERO_WINDOW and self.closed_at is None:
            self.finish(Outcome.ALIVE, note="its window did not close")
            return
        self.is_asking = True
        self.is_filling = False
        self.loop.watch(self.sock.fileno(), READ | WRITE, self.on_ready)
        self.loop.at(time.monotonic() + PATIENCE, self.despair)

    def require_settled(self) -> None:
        """Give up if the fault came before it was in its situation."""
        if not self.was_settled:
            self.finish(Outcome.ALIVE, note=UNPREPARED)

    def ask_at_last(self) -> None:
        """Put the last question, now that there is room for it."""
        self.loop.watch(self.sock.fileno(), READ, self.on_ready)
        self.ask()

    def despair(self) -> None:
        """Give up waiting for the last answer."""
        self.finish(Outcome.ALIVE, note="nothing reported, but no answer at the end")

    def finish(self, outcome: Outcome, *, error: str = "", note: str = "") -> None:
        """Record what came of it, once."""
        if self.is_over:
            return
        self.loop.forget(self.sock.fileno())
        info = read_tcp_info(self.sock)
        self.record(
            outcome,
            reported_at=None if outcome is Outcome.ALIVE else self.loop.woke_at,
            error=error,
            probes=info.probes if info else 0,
            retransmits=info.retransmits if info else 0,
            note=note,
        )

    def close(self) -> None:
        """Close the socket."""
        self.loop.forget(self.sock.fileno())
        self.sock.close()


def _around(silence: float) -> Span:
    return silence - COARSE[0], silence + COARSE[1]
