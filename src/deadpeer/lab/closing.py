"""What has to be closed, and is closed at the end of a ``with`` statement."""

from types import TracebackType
from typing import Self

__all__ = ["Closing"]


class Closing:
    """Something with a *close*, to be used as a context manager."""

    def close(self) -> None:
        """Take it down."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
