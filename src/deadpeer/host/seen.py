"""One socket of the host, as it was seen: what is known of it, and what is not."""

from typing import NamedTuple

from deadpeer.host.judgement import ALIVE, Judgement
from deadpeer.host.verdicts import Verdict
from deadpeer.kernel.diag_rows import MPTCP, DiagRow
from deadpeer.kernel.owners import Holder
from deadpeer.kernel.processes import Process
from deadpeer.kernel.settings_of import SocketSettings
from deadpeer.kernel.tcp_info import TcpState
from deadpeer.kernel.tcp_table import Endpoint, Timer

__all__ = ["Seen"]

TIMERS = frozenset(Timer)


class Seen(NamedTuple):
    """
    One socket of the host, as it was seen.

    Durations are seconds. What could not be seen is None, and ``unseen`` says why.

    Attributes:
        netns: The number (inode) of its network namespace.
        row: What the kernel tells of it.
        holders: The descriptors that hold it: process and number.
        process: What its first holder is; None without one.
        settings: What it has set, in the kernel's units.
        unseen: Why *settings* is None; else empty.
        judgement: How long a death would go unnoticed, and the verdict.
    """

    netns: int
    row: DiagRow
    holders: tuple[Holder, ...]
    process: Process | None
    settings: SocketSettings | None
    unseen: str
    judgement: Judgement

    @property
    def identity(self) -> tuple[int, int, int]:
        """Which socket it is: namespace, inode and cookie."""
        return self.netns, self.row.inode, self.row.cookie

    @property
    def inode(self) -> int:
        """The number by which descriptors refer to it; 0 without one."""
        return self.row.inode

    @property
    def cookie(self) -> int:
        """The number that no other socket has until the next boot."""
        return self.row.cookie

    @property
    def state(self) -> TcpState:
        """The state of the connection."""
        return TcpState(self.row.state)

    @property
    def protocol(self) -> str:
        """``tcp``, ``mptcp``, or ``subflow`` for a path of a Multipath connection."""
        if self.row.protocol == MPTCP:
            return "mptcp"
        return "subflow" if self.row.is_mptcp else "tcp"

    @property
    def local(self) -> Endpoint:
        """This end's address and port."""
        ends = self.row.ends
        return Endpoint(host=ends.local_host, port=ends.local_port)

    @property
    def peer(self) -> Endpoint:
        """The other end's address and port."""
        ends = self.row.ends
        return Endpoint(host=ends.remote_host, port=ends.remote_port)

    @property
    def pid(self) -> int | None:
        """The process of its first holder."""
        return self.holders[0].pid if self.holders else None

    @property
    def fd(self) -> int | None:
        """The descriptor by which that process holds it."""
        return self.holders[0].fd if self.holders else None

    @property
    def process_name(self) -> str:
        """The short name of that process; empty without one."""
        return self.process.name if self.process else ""

    @property
    def user(self) -> str:
        """The user whose rights that process has; empty without one."""
        return self.process.user if self.process else ""

    @property
    def container(self) -> str:
        """The container that process runs in; empty if in none."""
        return self.process.container if self.process else ""

    @property
    def keepalive(self) -> bool | None:
        """Whether SO_KEEPALIVE is on."""
        if self.settings is not None:
            return self.settings.keepalive
        if self.row.timer == Timer.KEEPALIVE and self.row.state in ALIVE:
            return True
        return False if self.judgement.idle else None

    @property
    def idle(self) -> float | None:
        """Seconds of silence before the first probe."""
        return self.settings and self.settings.idle_s

    @property
    def interval(self) -> float | None:
        """Seconds between probes."""
        return self.settings and self.settings.interval_s

    @property
    def probes(self) -> int | None:
        """Unanswered probes that end it."""
        return self.settings and self.settings.probes

    @property
    def user_timeout(self) -> float | None:
        """Seconds that sent data may stay unacknowledged; 0 is without limit."""
        if self.settings is None or self.settings.user_timeout_ms is None:
            return None
        return self.settings.user_timeout_ms / 1000

    @property
    def timer(self) -> Timer:
        """Which timer is armed; one that later kernels may have counts as none."""
        return Timer(self.row.timer) if self.row.timer in TIMERS else Timer.NONE

    @property
    def fires_in(self) -> float | None:
        """Seconds until that timer fires; None if none is armed."""
        return self.row.expires_ms / 1000 if self.row.timer else None

    @property
    def unacknowledged(self) -> int:
        """Bytes that the peer has not acknowledged."""
        # Of a listening socket the kernel tells its backlog there.
        return 0 if self.row.state == TcpState.LISTEN else self.row.unacknowledged

    @property
    def verdict(self) -> Verdict:
        """What is to be said of it, in one word."""
        return self.judgement.verdict
