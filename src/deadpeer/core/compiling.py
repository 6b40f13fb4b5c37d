"""What the compiler of the hot paths has to know; nothing for the interpreter."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["mypyc_attr"]

Class = TypeVar("Class", bound=type)

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:  # the library itself requires nothing

    def mypyc_attr(**_told: Any) -> Callable[[Class], Class]:
        """Return the class as it is."""
        return lambda made: made
