"""What is closed at the end of a ``with`` block, and how a block begins."""

from types import TracebackType
from typing import Self

from deadpeer.sync.background import Background

__all__ = ["ClosedAtTheEnd"]


class ClosedAtTheEnd:
    """
    Something on the loop that a block closes when it ends.

    Args:
        background: Where it lives.
    """

    def __init__(self, background: Background) -> None:
        self._background = background

    def close(self) -> None:
        """Close it, and wait for that."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._background.require_may_wait()  # as its end will have to
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._background.is_lost:  # otherwise it is the parent's to close
            self.close()
