"""
The terms of a run: what is done, to whom, what should come of it, what came.

Names and no numbers; what they mean in words for readers is the rendering's.
"""

from enum import StrEnum

from deadpeer.policy.predict import State

__all__ = ["HARDSHIPS", "Expectation", "Fault", "Outcome", "Situation"]


class Fault(StrEnum):
    """What is done to the network or to the peer."""

    CABLE = "cable"
    """The peer's link goes down, on the far side of the router."""
    SILENT_DROP = "silent drop"
    """The router forgets both of them and drops everything without a word."""
    LOSS_TO_PEER = "loss to peer"
    """Nothing arrives at the peer; what it sends still arrives."""
    LOSS_FROM_PEER = "loss from peer"
    """The peer hears everything; nothing of it arrives."""
    REBOOT = "reboot"
    """The peer loses its link and comes back soon, knowing no connection."""
    OWN_NIC_DOWN = "own nic down"
    """Our own network interface is switched off."""
    PROCESS_KILLED = "process killed"
    """The peer's process is killed; its kernel says goodbye for it."""
    NORMAL_CLOSE = "normal close"
    """The peer closes its sockets."""
    OUTAGE = "outage"
    """A silent drop that heals after an eighth of the promise: nobody died."""
    NONE = "none"
    """Nothing happens: nobody died."""
    PROCESS_STOPPED = "process stopped"
    """The peer's process stands still; its kernel goes on acknowledging for it."""
    FORGOTTEN = "forgotten"
    """A box on the way forgets the connection, and drops it without a word."""
    FORGOTTEN_WITH_RESETS = "forgotten with resets"
    """The same, and the box answers each packet with a reset."""
    SLOW_LINK = "1 Mbit/s"
    """The link is narrow, and a message fills it for a long time."""
    LOSS_OF_5 = "5 % loss"
    """One packet in twenty is lost, each way, at a round trip of 100 ms."""
    LOSS_OF_30 = "30 % loss"
    """Three packets in ten are."""
    WATCHER_STOPPED = "watcher stopped"
    """It is the watching process that stands still, and goes on later."""
    LOOP_BLOCKED = "loop blocked 1.5 s"
    """Something keeps the watcher's event loop from running."""
    LOOP_BLOCKED_LONGER = "loop blocked 3 s"
    """The same, for longer."""
    CLOCK_STEPPED = "clock stepped"
    """The watcher's wall clock is set forward and back."""

    @property
    def peer_lives(self) -> bool:
        """Whether the connection must survive it."""
        return self in HARMLESS or self in HARDSHIPS

    @property
    def says_goodbye(self) -> bool:
        """Whether the peer's kernel tells us at once."""
        return self in (Fault.PROCESS_KILLED, Fault.NORMAL_CLOSE)


HARMLESS = frozenset((Fault.OUTAGE, Fault.NONE))

# What is hard on the watcher or its link and kills nobody. Peers that die
# meanwhile are in `Situation.CUT_OFF`.
HARDSHIPS = (
    Fault.SLOW_LINK,
    Fault.LOSS_OF_5,
    Fault.LOSS_OF_30,
    Fault.WATCHER_STOPPED,
    Fault.LOOP_BLOCKED,
    Fault.LOOP_BLOCKED_LONGER,
    Fault.CLOCK_STEPPED,
)


class Situation(StrEnum):
    """What the connection is doing when it happens."""

    CONNECTING = "connecting"
    """We connect right after the fault."""
    IDLE = "idle"
    """Nothing to send, nothing in flight."""
    UNACKNOWLEDGED = "unacknowledged"
    """Data is in flight at the fault, and is never acknowledged."""
    IDLE_THEN_WRITE = "idle then a write"
    """Idle at the fault, and one write at ``Cell.write_at``."""
    WE_SHUT_DOWN = "half closed by us"
    """We have shut down our direction; the peer has not."""
    PEER_SHUT_DOWN = "half closed by the peer"
    """The peer has shut down its direction; we have not."""
    ZERO_WINDOW = "zero window"
    """The peer does not read, its window is closed, and we have more to send."""
    READER_PAUSES = "reader pauses"
    """A live peer stops reading for ``Cell.pause`` seconds, then reads on."""
    SENDING = "sending"
    """A large message is on its way to the peer."""
    RECEIVING = "receiving"
    """A large message is on its way from the peer."""
    CUT_OFF = "cut off meanwhile"
    """Idle, and its peer is silently cut off at the same instant."""
    BYSTANDER = "bystander"
    """Idle, with a peer on another host, to which nothing is done."""

    @property
    def state(self) -> State:
        """What the policy layer calls it."""
        return STATES[self]


STATES = {
    Situation.CONNECTING: State.CONNECTING,
    Situation.IDLE: State.IDLE,
    Situation.UNACKNOWLEDGED: State.UNACKNOWLEDGED,
    Situation.IDLE_THEN_WRITE: State.IDLE_THEN_WRITE,
    Situation.WE_SHUT_DOWN: State.HALF_CLOSED,
    Situation.PEER_SHUT_DOWN: State.HALF_CLOSED,
    Situation.ZERO_WINDOW: State.ZERO_WINDOW,
    Situation.READER_PAUSES: State.ZERO_WINDOW,
    Situation.SENDING: State.UNACKNOWLEDGED,
    Situation.RECEIVING: State.IDLE,
    Situation.CUT_OFF: State.IDLE,
    Situation.BYSTANDER: State.IDLE,
}


class Expectation(StrEnum):
    """What should come of a cell."""

    DEAD = "dead"
    """An error is reported, within the prediction."""
    UNNOTICED = "unnoticed"
    """The peer is dead, and this setting does not find it out in time."""
    ALIVE = "alive"
    """The peer lives: nothing is reported, and data flows again at the end."""
    CLOSED = "closed"
    """The peer's kernel says at once that the connection is over."""


class Outcome(StrEnum):
    """What came of a cell."""

    DEAD = "dead"
    """The kernel reported an error."""
    CLOSED = "closed"
    """The end of the stream, or a reset by a peer that closed."""
    REFUSED = "refused"
    """A connect was answered with a reset."""
    ALIVE = "alive"
    """Nothing was reported up to the end of the observation."""
