"""Closing a peer's window: it does not read, and is sent more than it has room for."""

import socket

from deadpeer.kernel.evidence import read_tcp_info

__all__ = ["FILLER", "LOOK", "has_closed_window"]

FILLER = b"." * (1 << 16)

# How often a window that fills is looked at, in seconds.
LOOK = 0.005


def has_closed_window(sock: socket.socket) -> bool:
    """
    Return whether everything sent was acknowledged, and no more may be sent.

    Args:
        sock: A connection.
    """
    info = read_tcp_info(sock)
    return (
        info is not None
        and not info.unacked
        and bool(info.notsent_bytes)
        and not info.snd_wnd_bytes
    )
