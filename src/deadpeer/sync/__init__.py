"""
The front end for threads: the names of ``deadpeer.aio``, without ``await``.

A call here does what ``await`` of it does there. All of them share one event
loop in a thread of its own, which starts when it is first needed.

::

    from deadpeer import Heartbeat
    from deadpeer.sync import connect_peer

    with connect_peer("game.example", 7000, heartbeat=Heartbeat()) as peer:
        peer.send(b"move 3 4")
        for message in peer:            # PeerDead carries the evidence
            ...
"""

from deadpeer.aio.stats import Stats
from deadpeer.core.limits import Limits
from deadpeer.policy.backoff import Backoff
from deadpeer.sync.connection import Connection
from deadpeer.sync.guarding import Guard, guard
from deadpeer.sync.opening import connect_peer
from deadpeer.sync.reconnecting import Reconnecting, reconnecting
from deadpeer.sync.registry import Registry
from deadpeer.sync.serving import Server, serve_peers
from deadpeer.sync.watching import Watch, watch

__all__ = [
    "Backoff",
    "Connection",
    "Guard",
    "Limits",
    "Reconnecting",
    "Registry",
    "Server",
    "Stats",
    "Watch",
    "connect_peer",
    "guard",
    "reconnecting",
    "serve_peers",
    "watch",
]
