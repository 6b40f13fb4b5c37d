"""What a transport and its kernel know about one peer, as the judge wants it."""

import asyncio
import select
from collections.abc import Callable
from typing import Any

from deadpeer.core.facts import Facts
from deadpeer.kernel.traffic import Traffic, read_traffic

__all__ = ["gather", "is_reading", "traffic_of", "waiting_in"]

NOTHING_KNOWN = Traffic()

# What may wait beneath TLS in bytes, if fragments are written: a transport's usual
# limit (CPython Lib/asyncio/transports.py, _set_write_buffer_limits), and a fragment
# above it in two records.
BENEATH_TLS = 64 * 1024 + 2 * 16 * 1024


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
        outstanding += waiting_in(transport)
    closing = transport.is_closing()
    facts = Facts(
        paused=not closing and not is_reading(transport),
        arrived_at=traffic.arrived_at,
        acked=traffic.acked if outstanding is not None else None,
        acked_at=traffic.acked_at,
        delivered=traffic.delivered,
        repair=traffic.repair,
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


def waiting_in(transport: Any) -> int:
    """
    Return how many bytes a transport keeps that the kernel had no room for.

    With TLS there are two transports, and the one above tells of its own alone:
    a question would seem delivered when what is before it still waits beneath.

    Args:
        transport: An asyncio transport.
    """
    waiting: int = transport.get_write_buffer_size()
    if transport.get_extra_info("ssl_object") is None:
        return waiting
    beneath = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
    if beneath is not None:
        return waiting + int(beneath.get_write_buffer_size())
    # uvloop shows it to nobody. If the kernel has room, nothing waits there.
    sock = transport.get_extra_info("socket")
    return waiting if sock is None or _has_room(sock) else waiting + BENEATH_TLS


def _has_room(sock: Any) -> bool:
    if sock.fileno() < 0 or not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLOUT)
    return bool(poll.poll(0))


def is_reading(transport: Any) -> bool:
    """
    Tell whether what arrives is read.

    Args:
        transport: An asyncio transport.
    """
    ask = getattr(transport, "is_reading", None)
    return True if ask is None else bool(ask())
