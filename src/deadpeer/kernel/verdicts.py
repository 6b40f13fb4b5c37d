"""
What the kernel's error numbers say about the peer.

On an established connection every one of these means the same, that the peer
is dead: the number is only the last thing that the kernel had heard when its
patience ended. The error is delivered once; a second call sees an end of file
or a broken pipe.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from deadpeer.errors import (
    ConnectionDestroyed,
    DeadPeerError,
    PeerDead,
    PeerReset,
    PeerTimedOut,
    PeerUnreachable,
)
from deadpeer.kernel.evidence import read_tcp_info
from deadpeer.kernel.sockets import borrowed, last_peer, peer_name
from deadpeer.kernel.tcp_info import TcpInfo, TcpState

__all__ = ["map_errors", "verdict_on"]

Verdict = type[PeerDead] | type[ConnectionDestroyed]


def _numbers(*names: str) -> tuple[int, ...]:
    """Not every system has every name."""
    return tuple(getattr(errno, name) for name in names if hasattr(errno, name))


# Winsock's numbers start at 10000 and collide with no other system's, so they
# are here as numbers, and tested everywhere. winsock2.h; learn.microsoft.com,
# Windows Sockets error codes. 10052 is how Windows reports a failed keepalive,
# 10053 how it reports data that went unacknowledged for too long.
WINSOCK: dict[int, Verdict] = {
    10050: PeerUnreachable,  # WSAENETDOWN
    10051: PeerUnreachable,  # WSAENETUNREACH
    10052: PeerTimedOut,  # WSAENETRESET
    10053: PeerTimedOut,  # WSAECONNABORTED
    10054: PeerReset,  # WSAECONNRESET
    10060: PeerTimedOut,  # WSAETIMEDOUT
    10064: PeerUnreachable,  # WSAEHOSTDOWN
    10065: PeerUnreachable,  # WSAEHOSTUNREACH
}

# Always a verdict.
VERDICTS: dict[int, Verdict] = {
    **dict.fromkeys(
        _numbers("ENETDOWN", "ENETUNREACH", "EHOSTDOWN", "EHOSTUNREACH", "ENONET"),
        PeerUnreachable,
    ),
    **dict.fromkeys(_numbers("ETIMEDOUT"), PeerTimedOut),
    **dict.fromkeys(_numbers("ECONNRESET"), PeerReset),
    **dict.fromkeys(_numbers("ECONNABORTED"), ConnectionDestroyed),
    **WINSOCK,
}

# A verdict on an established connection only: what the last ICMP message about
# it was turned into (Linux net/ipv4/icmp.c, icmp_err_convert; net/ipv6/icmp.c,
# tab_unreach). While connecting they are answers of their own.
SOFT = frozenset(
    {*_numbers("ECONNREFUSED", "EACCES", "EPROTO", "ENOPROTOOPT", "EOPNOTSUPP"), 10061}
)

WHY: dict[Verdict, str] = {
    PeerTimedOut: "did not answer for as long as was allowed",
    PeerReset: "answered that it knows no such connection",
    PeerUnreachable: "cannot be reached any more",
    ConnectionDestroyed: "was cut off by this host's administrator",
}


def verdict_on(error: OSError, *, established: bool = True) -> Verdict | None:
    """
    Return what an error says about the peer, or None if it says nothing.

    Args:
        error: What a call on a socket raised. A timeout that the program set
            itself (``settimeout``) has no number and is no verdict.
        established: Whether the connection stood before the call.

    >>> verdict_on(ConnectionResetError(errno.ECONNRESET, "reset")).__name__
    'PeerReset'
    >>> verdict_on(TimeoutError("timed out")) is None
    True
    """
    if isinstance(error, DeadPeerError):
        return None
    if established and error.errno in SOFT:
        return PeerUnreachable
    return VERDICTS.get(error.errno or 0)


@contextmanager
def map_errors(sock: object = None) -> Iterator[None]:
    """
    Turn the kernel's errors into verdicts, around any ``recv`` or ``send``.

    Works in threads and around an ``await`` alike. What is no verdict passes
    through untouched: a timeout that the program set itself, a refused
    connect, an end of file.

    Args:
        sock: The connection, in any form that ``protect`` takes; it gives the
            error its evidence. None maps the numbers alone, and then leaves
            those that mean something else while connecting.

    Raises:
        PeerTimedOut: Probes or data went unanswered (ETIMEDOUT).
        PeerReset: The peer lost its state (ECONNRESET), or the connection is
            gone since an earlier error (EPIPE); a write after both sides have
            said goodbye looks the same.
        PeerUnreachable: The way to the peer is gone (EHOSTUNREACH, …).
        ConnectionDestroyed: This host's administrator ended it (ECONNABORTED).

    >>> with map_errors():
    ...     raise ConnectionResetError(errno.ECONNRESET, "reset by peer")
    Traceback (most recent call last):
    deadpeer.errors.PeerReset: the peer answered that it knows no such connection (ECONNRESET)
    """
    # Asked before: a closed socket does not know any more who was there.
    peer = peer_name(sock) if sock is not None else ""
    try:
        yield
    except DeadPeerError:
        raise  # judged already
    except OSError as error:
        info, last = _evidence(sock)
        peer = peer or last
        # A connection that has measured a round trip has stood.
        stood = bool(peer) if info is None else bool(info.rtt_us)
        kind = verdict_on(error, established=stood)
        if kind is None and error.errno == errno.EPIPE and _is_gone(info):
            kind = PeerReset
        if kind is None:
            raise
        raise _explained(kind, error, peer, info) from error


def _explained(
    kind: Verdict, error: OSError, peer: str, info: TcpInfo | None
) -> PeerDead | ConnectionDestroyed:
    number = error.errno
    name = errno.errorcode.get(number or 0, str(number))
    silence = info.silence if info else None
    heard = "" if silence is None else f"; it was last heard {silence:.1f} s ago"
    return kind(
        f"{peer or 'the peer'} {WHY[kind]} ({name}){heard}",
        peer=peer,
        silence=silence,
        errno=number,
    )


def _evidence(sock: object) -> tuple[TcpInfo | None, str]:
    if sock is None:
        return None, ""
    try:
        with borrowed(sock) as open_still:
            return read_tcp_info(open_still), last_peer(open_still)
    except (DeadPeerError, OSError):
        return None, ""  # closed by now, as asyncio does before anybody can look


def _is_gone(info: TcpInfo | None) -> bool:
    # A broken pipe is also what a program gets that has shut down its own
    # sending side; then the connection still stands.
    return info is not None and info.state == TcpState.CLOSE
