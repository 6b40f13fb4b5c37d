"""Who is online, for threads."""

from collections.abc import Iterator

from deadpeer.aio.registry import Registry as AioRegistry
from deadpeer.aio.stats import Stats
from deadpeer.sync.background import Background
from deadpeer.sync.connection import Connection, facing

__all__ = ["Registry"]


class Registry:
    """
    The peers of a server that have agreed on a heartbeat and are not over yet.

    Args:
        background: Where the peers live.
        inner: The registry there.
    """

    __slots__ = ("_background", "_inner")

    def __init__(self, background: Background, inner: AioRegistry) -> None:
        self._background = background
        self._inner = inner

    def __len__(self) -> int:
        return len(self._inner)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._background.ask(self._peers))

    def _peers(self) -> tuple[Connection, ...]:
        return tuple(facing(self._background, inner) for inner in self._inner)

    def __contains__(self, peer: object) -> bool:
        return any(peer is one for one in self)

    def snapshot(self) -> tuple[Stats, ...]:
        """Return what is known of each peer, in the order of their coming."""
        return self._background.ask(self._inner.snapshot)
