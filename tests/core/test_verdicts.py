"""A verdict becomes the exception that existing code catches, and back."""

import pytest

from deadpeer.core.events import Died, Evidence, Reason
from deadpeer.core.verdicts import error_of, reason_of
from deadpeer.errors import (
    ConnectionDestroyed,
    PeerDead,
    PeerReset,
    PeerSilent,
    PeerTimedOut,
    PeerUnreachable,
)

EVIDENCE = Evidence(
    heard_at=5.0, silence=30.0, asked_at=25.0, waited=10.0, timeout=10.0
)
CAUGHT_AS = {
    Reason.SILENT: PeerSilent,
    Reason.BACKPRESSURED: PeerSilent,
    Reason.SUSPENDED: PeerSilent,
    Reason.RESET: PeerReset,
    Reason.TIMED_OUT: PeerTimedOut,
    Reason.UNREACHABLE: PeerUnreachable,
    Reason.PROTOCOL_VIOLATED: PeerDead,
}


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_has_its_error_with_the_evidence(reason):
    error = error_of(Died(35.0, reason, EVIDENCE), peer="10.0.0.7:7000")

    assert type(error) is CAUGHT_AS[reason]
    assert error.evidence is EVIDENCE
    assert (error.peer, error.silence, error.errno) == ("10.0.0.7:7000", 30.0, None)
    assert str(error).startswith("10.0.0.7:7000 ")
    assert str(EVIDENCE) in str(error)


def test_no_two_reasons_read_alike():
    said = {str(error_of(Died(35.0, reason, EVIDENCE))) for reason in Reason}

    assert len(said) == len(Reason)
    assert all(sentence.startswith("the peer ") for sentence in said)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (PeerReset, Reason.RESET),
        (PeerTimedOut, Reason.TIMED_OUT),
        (PeerUnreachable, Reason.UNREACHABLE),
        (ConnectionDestroyed, None),  # by an administrator; the peer may live
        (PeerSilent, None),  # the kernel never says so
        (OSError, None),
        (None, None),
    ],
)
def test_what_the_kernel_found_is_a_death_or_is_not(kind, reason):
    assert reason_of(kind) is reason
