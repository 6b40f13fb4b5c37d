"""What came of one socket that a verb was to change: one word, and why."""

from enum import StrEnum

from deadpeer.errors import AccessDenied, DeadPeerError, UnsupportedError

__all__ = ["Outcome", "outcome_of", "worst_exit"]


class Outcome(StrEnum):
    """What came of one socket, in one word."""

    PLANNED = "planned"
    """It would be done; nothing has been."""
    DONE = "done"
    """It was done, and verified."""
    ALREADY = "already"
    """There was nothing to do."""
    GONE = "gone"
    """The socket is closed; nothing was done."""
    SPARED = "spared"
    """It was meant because it seemed dead, and has shown that it is not."""
    REFUSED = "refused"
    """It was not done, and the reason is told."""
    UNSUPPORTED = "unsupported"
    """It cannot be done to this kind of socket, or by this kernel."""


def outcome_of(error: DeadPeerError) -> Outcome:
    """
    Return what an error means for the socket that it was about.

    Args:
        error: What was raised.
    """
    unsupported = isinstance(error, UnsupportedError)
    return Outcome.UNSUPPORTED if unsupported else Outcome.REFUSED


def worst_exit(errors: list[DeadPeerError]) -> int:
    """
    Return the exit code of a verb of which some sockets were refused.

    Args:
        errors: Why, each; a missing privilege goes before everything else.
    """
    for error in errors:
        if isinstance(error, AccessDenied):
            return error.exit_code
    return max((error.exit_code for error in errors), default=0)
