"""What a transport and its kernel know about one peer, as the judge wants it."""

import asyncio
from collections.abc import Callable
from typing import Any

from deadpeer.core.judge import UNKNOWN, Facts
from deadpeer.kernel.traffic import Traffic, read_traffic

__all__ = ["gather", "is_reading", "traffic_of"]

NOTHING_KNOWN = Traffic()


def gather(transport: Any, *, now: float) -> tuple[Facts, int]:
    """
    Return the facts, and how many bytes wait to be read.

    A transport that is closing reads nothing more, ever: no answer waits in its
    buffer, and what it still has to send must not wait for a dead peer.

    Args:
        transport: An asyncio transport.
        now: The present, in seconds on the clock of the loop.
    """
    traffic = traffic_of(transport, now=now)
    outstanding = traffic.outstanding
    if outstanding is not None:
        outstanding += transport.get_write_buffer_size()
    closing = transport.is_closing()
    facts = Facts(
        paused=not closing and not is_reading(transport),
        arrived_at=traffic.arrived_at,
        acked=traffic.acked if outstanding is not None else None,
        acked_at=traffic.acked_at,
        delivered=UNKNOWN if traffic.delivered is None else traffic.delivered,
        outstanding=outstanding,
        unanswered=traffic.unanswered,
    )
    return facts, 0 if closing else traffic.unread or 0


def traffic_of(transport: asyncio.BaseTransport, *, now: float) -> Traffic:
    """
    Return what the kernel knows; nothing if there is no kernel's socket.

    Args:
        transport: An asyncio transport; one that simulates has a function of
            its own as extra information ``"traffic"``.
        now: The present, in seconds on the clock of the loop.
    """
    simulated: Callable[[], Traffic] | None = transport.get_extra_info("traffic")
    if simulated is not None:
        return simulated()
    sock = transport.get_extra_info("socket")
    return NOTHING_KNOWN if sock is None else read_traffic(sock, now=now)


def is_reading(transport: Any) -> bool:
    """
    Tell whether what arrives is read.

    Args:
        transport: An asyncio transport.
    """
    ask = getattr(transport, "is_reading", None)
    return True if ask is None else bool(ask())
