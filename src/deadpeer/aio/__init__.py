"""
The front end for asyncio: connections of our own, and a guard for anybody's.

::

    from deadpeer import Heartbeat
    from deadpeer.aio import connect_peer

    async with connect_peer("game.example", 7000, heartbeat=Heartbeat()) as peer:
        await peer.send(b"move 3 4")
        async for message in peer:      # PeerDead carries the evidence
            ...
"""

from deadpeer.aio.blocked import Blocked
from deadpeer.aio.connecting import open_connection
from deadpeer.aio.connection import Connection
from deadpeer.aio.guarding import Guard, guard
from deadpeer.aio.opening import Connecting, connect_peer
from deadpeer.aio.reconnecting import Reconnecting, reconnecting
from deadpeer.aio.registry import Registry
from deadpeer.aio.serving import Server, serve_peers
from deadpeer.aio.stats import Stats
from deadpeer.aio.watchdog import Watchdog
from deadpeer.aio.watching import Watch, watch
from deadpeer.core.limits import Limits
from deadpeer.policy.backoff import Backoff

__all__ = [
    "Backoff",
    "Blocked",
    "Connecting",
    "Connection",
    "Guard",
    "Limits",
    "Reconnecting",
    "Registry",
    "Server",
    "Stats",
    "Watch",
    "Watchdog",
    "connect_peer",
    "guard",
    "open_connection",
    "reconnecting",
    "serve_peers",
    "watch",
]
