"""
How long a peer's death would go unnoticed on a connection: pure.

It follows from what the socket has set, from the settings of its network namespace
where it sets nothing, and from the round trip. Thousands of connections share a few
such combinations, so each combination is judged once; what only one connection has
(unanswered probes, a timer that was armed under older settings) comes on top.

A peer is suspect on the kernel's evidence only: two or more retransmissions or probes
in a row that nobody answered. Backoff and silence alone accuse nobody, for a live peer
whose window is closed causes both.

Source: Linux net/ipv4/tcp_timer.c; net/ipv4/inet_diag.c, inet_diag_msg_sock_fill() and
inet_sk_diag_fill() on which timer is told.
"""

import math
import struct
from dataclasses import dataclass, replace

from deadpeer.host.verdicts import WITHIN, Verdict
from deadpeer.kernel.diag_rows import TCP, DiagRow
from deadpeer.kernel.tcp_info import CONNECTED, SUSPICIOUS, TcpState
from deadpeer.kernel.tcp_table import Timer
from deadpeer.platforms import Defaults
from deadpeer.policy.keepalive import Keepalive
from deadpeer.policy.predict import State, predict

__all__ = ["WITHIN", "Judge", "Judgement", "Settings", "Verdict", "keepalive_of"]

# How much later than its settings allow a timer may show before it counts as armed
# under other ones: rounding to whole ticks, and the time between the two looks.
TOLERANCE = 1.0

# Where in struct tcp_info that is which counts here; see kernel/tcp_info.py.
RETRANSMITS_AT, PROBES_AT, RTT_AT = 2, 3, 68
ROUND_TRIP = struct.Struct("=II")  # rtt and its mean deviation, in microseconds
INFO_BYTES = RTT_AT + ROUND_TRIP.size

# What the variance part of a retransmission timeout is at least, in microseconds.
# Source: Linux include/net/tcp.h, TCP_RTO_MIN.
RTO_MIN_US = 200_000
# Round trips are judged as the next power of two, or each would be judged alone.
SHORTEST_BITS = 10  # of microseconds: about one millisecond
SHORT_US = 1 << SHORTEST_BITS
LONGEST_BITS = 25  # half a minute

Settings = tuple[bool, int | None, int | None, int | None, int | None]
"""What a socket has set: ``deadpeer.kernel.settings_of.SocketSettings``."""

# In these states the one slow timer of a socket is that of keepalive, armed for as
# long as SO_KEEPALIVE is on. Source: Linux net/ipv4/tcp_timer.c, tcp_keepalive_timer().
ALIVE = frozenset({TcpState.ESTABLISHED, TcpState.CLOSE_WAIT})
NO_PEER = frozenset(
    {
        TcpState.TIME_WAIT,
        TcpState.CLOSE,
        TcpState.SYN_RECV,
        TcpState.NEW_SYN_RECV,
        TcpState.BOUND_INACTIVE,
    }
)


KEEPALIVE = int(Timer.KEEPALIVE)  # comparing an enum's member takes longer


@dataclass(frozen=True, slots=True)
class Judgement:
    """
    What was found.

    Args:
        verdict: In one word.
        idle: Seconds for which a death goes unnoticed at the most while the
            connection is idle; ``math.inf`` is for ever, None is not known.
        busy: The same while data is in flight.
        reason: Why, in a few words; empty where all is well.
        protected: Whether a death is noticed in time, suspect or not; None if that
            is not known, or nobody would have to notice.
    """

    verdict: Verdict
    idle: float | None
    busy: float | None
    reason: str = ""
    protected: bool | None = None

    @property
    def unnoticed(self) -> float | None:
        """The longer of both, in seconds; None if neither is known."""
        known = [span for span in (self.idle, self.busy) if span is not None]
        return max(known, default=None)


NOBODY = Judgement(Verdict.NONE, None, None, "there is no peer")
CLOSED = Judgement(Verdict.NONE, None, None, "its program has closed it")
NOT_ACCEPTED = Judgement(
    Verdict.UNKNOWN, None, None, "its program has not accepted it yet"
)
NEVER_ON = "keepalive is off"


class Judge:
    """
    A judge of the connections of one network namespace.

    Args:
        defaults: The settings of that namespace.
        within: How soon a death should be noticed, in seconds.
    """

    def __init__(self, defaults: Defaults, *, within: float = WITHIN) -> None:
        self.defaults = defaults
        self.within = within
        self._known: dict[tuple[Settings, int], Judgement] = {}

    def judge(self, row: DiagRow, settings: Settings | None) -> Judgement:
        """
        Judge one connection; of a listening socket, those that it will accept.

        Args:
            row: What the kernel tells of it.
            settings: What it has set; None if that could not be seen.
        """
        state = row.state
        if state in NO_PEER:
            return NOBODY
        # Multipath TCP tells of itself in another structure.
        info = row.info if row.protocol == TCP else b""
        if settings is None:
            found = _unseen(row)
        else:
            bits = SHORTEST_BITS
            if len(info) >= INFO_BYTES:
                rtt_us, rttvar_us = ROUND_TRIP.unpack_from(info, RTT_AT)
                if rtt_us >= SHORT_US or rttvar_us >= SHORT_US:
                    bits = _bits(rtt_us, rttvar_us)
            found = self._known.get((settings, bits)) or self._settled(settings, bits)
            if row.timer == KEEPALIVE and settings[0]:
                found = self._delayed(row, settings, found)
        if row.retransmits < SUSPICIOUS and (
            not info
            or (info[RETRANSMITS_AT] < SUSPICIOUS and info[PROBES_AT] < SUSPICIOUS)
        ):
            return found
        return _suspected(row, found) if state in CONNECTED else found

    def _settled(self, settings: Settings, bits: int) -> Judgement:
        """Judge a combination of settings and round trip that is new."""
        keepalive = keepalive_of(settings)
        rtt = (1 << bits) / 1e6
        idle, busy = (
            predict(keepalive, state, rtt=rtt, defaults=self.defaults).latest
            for state in (State.IDLE, State.UNACKNOWLEDGED)
        )
        found = self._judged(idle, busy, keepalive)
        self._known[settings, bits] = found
        return found

    def _judged(self, idle: float, busy: float, keepalive: Keepalive) -> Judgement:
        within = self.within
        if max(idle, busy) <= within:
            return Judgement(Verdict.PROTECTED, idle, busy, protected=True)
        reasons = []
        if not keepalive.on:
            reasons.append(NEVER_ON)
        elif idle > within:
            reasons.append("keepalive is slow")
        if busy > within:
            long = "a long" if keepalive.user_timeout else "no"
            reasons.append(f"{long} user timeout")
        return _unprotected(idle, busy, ", ".join(reasons))

    def _delayed(self, row: DiagRow, settings: Settings, found: Judgement) -> Judgement:
        """Add what a timer that was armed under older settings takes longer."""
        _, idle_s, interval_s, _, _ = settings
        expires = row.expires_ms / 1000 - TOLERANCE
        if expires <= (idle_s or self.defaults.idle) or expires <= (interval_s or 0):
            return found
        if row.state not in ALIVE or found.idle is None:
            return found
        late = expires + TOLERANCE - max(idle_s or self.defaults.idle, interval_s or 0)
        idle = found.idle + late
        reason = "its keepalive timer was armed under older settings"
        if idle <= self.within:
            return replace(found, idle=idle, reason=reason)
        return _unprotected(idle, found.busy, reason)


def _unprotected(idle: float, busy: float | None, reason: str) -> Judgement:
    return Judgement(Verdict.UNPROTECTED, idle, busy, reason, protected=False)


def keepalive_of(settings: Settings) -> Keepalive:
    """
    Return what a socket has set as a value of the policy.

    What no setting can say is left to the system: None, or the -1 that a socket
    shows under ``tcp_keepalive_time=-1``.

    Args:
        settings: In the kernel's units.

    Raises:
        ConfigError: The user timeout is none that a socket can have.
    """
    on, idle_s, interval_s, probes, user_timeout_ms = settings
    return Keepalive(
        idle=idle_s if idle_s and idle_s > 0 else None,
        interval=interval_s if interval_s and interval_s > 0 else None,
        probes=probes if probes and probes > 0 else None,
        user_timeout=(user_timeout_ms or 0) / 1000,
        on=on,
    )


def _bits(rtt_us: int, rttvar_us: int) -> int:
    """Return the power of two, in microseconds, that the round trip stays below."""
    spread_us = 4 * rttvar_us
    if spread_us > RTO_MIN_US:  # see TcpInfo.round_trip
        rtt_us += max(0, spread_us - max(RTO_MIN_US, 2 * rtt_us))
    return min(max(rtt_us.bit_length(), SHORTEST_BITS), LONGEST_BITS)


def _unseen(row: DiagRow) -> Judgement:
    """Judge by the armed timer alone, which everybody may see."""
    if not row.inode:
        # Of what its program has closed, neither state can be.
        return NOT_ACCEPTED if row.state in ALIVE else CLOSED
    if row.state not in ALIVE or row.protocol != TCP:
        return Judgement(Verdict.UNKNOWN, None, None, "its settings were not seen")
    if row.timer == Timer.NONE:
        # Or else its timer would be armed: no other one hides it.
        return _unprotected(math.inf, None, NEVER_ON)
    if row.timer == Timer.KEEPALIVE:
        return Judgement(
            Verdict.UNKNOWN, None, None, "keepalive is on, its values were not seen"
        )
    return Judgement(Verdict.UNKNOWN, None, None, "its settings were not seen")


def _suspected(row: DiagRow, found: Judgement) -> Judgement:
    retransmits = probes = 0
    if row.info and row.protocol == TCP:
        retransmits, probes = row.info[RETRANSMITS_AT], row.info[PROBES_AT]
    if row.timer == Timer.RETRANSMIT:
        retransmits = max(retransmits, row.retransmits)
    else:
        probes = max(probes, row.retransmits)
    said = []
    if retransmits >= SUSPICIOUS:
        said.append(f"{retransmits} retransmissions")
    if probes >= SUSPICIOUS:
        said.append(f"{probes} probes")
    return replace(
        found,
        verdict=Verdict.SUSPECT,
        reason=f"{' and '.join(said)} in a row are unanswered",
    )
