"""A snapshot of one connection, as plain values."""

from dataclasses import dataclass

from deadpeer.core.rtt import Rtt
from deadpeer.core.states import State

__all__ = ["Stats"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """
    What is known of a connection, and what waits in it.

    Args:
        peer: The other end's address, as text; empty for a Unix socket.
        state: What is known of the peer.
        connected_for: Seconds since the peer agreed; 0 before.
        silence: Seconds since the last byte was heard.
        rtt: Round trips, or None without an answered ping.
        unread_messages: Messages that ``recv`` has not returned yet.
        unsent_messages: Messages that wait for room.
        unsent_bytes: Bytes in the transport's own buffer.
        reading_paused: Whether this end stopped reading, since too much is unread.
    """

    peer: str
    state: State
    connected_for: float
    silence: float
    rtt: Rtt | None
    unread_messages: int
    unsent_messages: int
    unsent_bytes: int
    reading_paused: bool
