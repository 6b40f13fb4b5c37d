"""What is said of a connection in one word, and how soon is soon enough. Pure."""

from enum import StrEnum

__all__ = ["WITHIN", "Verdict"]

WITHIN = 60.0
"""How soon a death should be noticed where nobody says otherwise, in seconds."""


class Verdict(StrEnum):
    """What is to be said of a connection; the worst comes first."""

    SUSPECT = "suspect"
    """The kernel waits for answers that a live peer would have given."""
    UNPROTECTED = "unprotected"
    """A death would go unnoticed for longer than is asked for."""
    UNKNOWN = "unknown"
    """Its settings may not be seen."""
    PROTECTED = "protected"
    """A death would be noticed in time, whether it is idle or busy."""
    NONE = "none"
    """Nobody would have to notice: there is no peer, or no program any more."""
