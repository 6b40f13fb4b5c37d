"""What came of one socket that a verb was to change: one word, and why."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from deadpeer.errors import AccessDenied, DeadPeerError, UnsupportedError

__all__ = ["Outcome", "Result", "missing_privilege", "outcome_of", "worst_exit"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """
    What comes, or came, of one socket; each verb has more to say about it.

    Args:
        outcome: In one word.
        why: The reason, where it was not simply done.
        error: The same as an error, if it was one.
    """

    outcome: Outcome
    why: str = ""
    error: DeadPeerError | None = None

    def ended(
        self, outcome: Outcome, why: str = "", *, error: DeadPeerError | None = None
    ) -> Self:
        """
        Return what came of it, with nothing changed.

        Args:
            outcome: In one word.
            why: The reason.
            error: The reason as an error.
        """
        return replace(self, outcome=outcome, why=why, error=error)

    def failed(self, error: DeadPeerError) -> Self:
        """
        Return what came of it, with nothing changed because of an error.

        Args:
            error: What was raised.
        """
        return self.ended(outcome_of(error), error.message, error=error)


def outcome_of(error: DeadPeerError) -> Outcome:
    """
    Return what an error means for the socket that it was about.

    Args:
        error: What was raised.
    """
    unsupported = isinstance(error, UnsupportedError)
    return Outcome.UNSUPPORTED if unsupported else Outcome.REFUSED


def missing_privilege(errors: Iterable[DeadPeerError | None]) -> AccessDenied | None:
    """
    Return the first privilege that is missing, if one is.

    Args:
        errors: Why sockets were refused; None for those that were not.
    """
    return next((error for error in errors if isinstance(error, AccessDenied)), None)


def worst_exit(errors: list[DeadPeerError]) -> int:
    """
    Return the exit code of a verb of which some sockets were refused.

    Args:
        errors: Why, each; a missing privilege goes before everything else.
    """
    if denied := missing_privilege(errors):
        return denied.exit_code
    return max((error.exit_code for error in errors), default=0)
