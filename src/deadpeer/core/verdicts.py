"""A death as the exception that a program catches."""

from deadpeer.core.events import Died, Reason
from deadpeer.errors import (
    PeerDead,
    PeerReset,
    PeerSilent,
    PeerTimedOut,
    PeerUnreachable,
)

__all__ = ["error_of", "reason_of"]

KINDS: dict[Reason, type[PeerDead]] = {
    Reason.SILENT: PeerSilent,
    Reason.BACKPRESSURED: PeerSilent,
    Reason.SUSPENDED: PeerSilent,
    Reason.RESET: PeerReset,
    Reason.TIMED_OUT: PeerTimedOut,
    Reason.UNREACHABLE: PeerUnreachable,
    Reason.PROTOCOL_VIOLATED: PeerDead,
}

WORDS: dict[Reason, str] = {
    Reason.SILENT: "does not answer",
    Reason.BACKPRESSURED: "reads nothing any more",
    Reason.SUSPENDED: "did not wait while this machine slept",
    Reason.RESET: "answered that it knows no such connection",
    Reason.TIMED_OUT: "did not acknowledge for as long as the kernel waits",
    Reason.UNREACHABLE: "cannot be reached any more",
    Reason.PROTOCOL_VIOLATED: "broke the protocol",
}


def error_of(died: Died, *, peer: str = "") -> PeerDead:
    """
    Return the exception for a verdict, with its evidence.

    Args:
        died: The verdict.
        peer: The other end's address, as text.
    """
    evidence = died.evidence
    return KINDS[died.reason](
        f"{peer or 'the peer'} {WORDS[died.reason]} ({evidence})",
        peer=peer,
        silence=evidence.silence,
        evidence=evidence,
    )


def reason_of(kind: type[BaseException] | None) -> Reason | None:
    """
    Return what the kernel's verdict means here, or None if it is no death.

    Args:
        kind: What ``deadpeer.kernel.verdicts.verdict_on`` found.
    """
    for reason in (Reason.RESET, Reason.TIMED_OUT, Reason.UNREACHABLE):
        if kind is KINDS[reason]:
            return reason
    return None
