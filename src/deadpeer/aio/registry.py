"""Who is online: since when, at which distance, last heard when."""

from collections.abc import Iterator

from deadpeer.aio.connection import Connection
from deadpeer.aio.stats import Stats

__all__ = ["Registry"]


class Registry:
    """
    The peers of a server that have agreed on a heartbeat and are not over yet.

    It remembers nothing itself: each peer knows its own numbers.
    """

    __slots__ = ("_peers",)

    def __init__(self) -> None:
        self._peers: dict[Connection, None] = {}  # in the order of their coming

    def __len__(self) -> int:
        return len(self._peers)

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._peers))

    def __contains__(self, peer: object) -> bool:
        return peer in self._peers

    def add(self, peer: Connection) -> None:
        """
        Note that a peer is online.

        Args:
            peer: Who.
        """
        self._peers[peer] = None

    def remove(self, peer: Connection) -> None:
        """
        Note that a peer is gone.

        Args:
            peer: Who; one that was never online is no error.
        """
        self._peers.pop(peer, None)

    def snapshot(self) -> tuple[Stats, ...]:
        """Return what is known of each peer, in the order of their coming."""
        return tuple(peer.stats() for peer in self)
