"""What the loop says when a connection is lost, as the error that a program catches."""

import errno
import ssl

from deadpeer.core.events import Reason
from deadpeer.core.verdicts import reason_of
from deadpeer.errors import (
    ConnectionDestroyed,
    DeadPeerError,
    PeerClosed,
    PeerDead,
    PeerReset,
    RemoteProtocolError,
)
from deadpeer.kernel.verdicts import verdict_on

__all__ = ["ending_of"]


def ending_of(
    error: BaseException | None, peer: str
) -> tuple[DeadPeerError, Reason | None]:
    """
    Return the error for a program, and the reason if that is a death.

    Args:
        error: What ``connection_lost`` was told; None after an end of file.
        peer: The other end's address, as text.
    """
    name = peer or "the peer"
    if error is None:
        message = f"{name} closed the connection without a goodbye"
        return PeerClosed(message, reason="no-goodbye", peer=peer), None
    if isinstance(error, ssl.SSLError):
        message = f"{name} broke TLS: {error}"
        return RemoteProtocolError(message, breach="tls", peer=peer), (
            Reason.PROTOCOL_VIOLATED
        )
    kind = verdict_on(error) if isinstance(error, OSError) else None
    number = error.errno if isinstance(error, OSError) else None
    if kind is None and number == errno.EPIPE:
        kind = PeerReset
    if kind is ConnectionDestroyed:
        message = f"{name} was cut off by this host's administrator"
        return ConnectionDestroyed(message, peer=peer, errno=number), None
    found = PeerDead if kind is None else kind
    message = f"the connection to {name} broke: {error}"
    return found(message, peer=peer, errno=number), reason_of(kind) or Reason.RESET
