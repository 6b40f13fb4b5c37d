"""deadpeer's server: with callbacks, and with ``async for``."""

from pace import Pace
from subjects import BACKLOG, Audience

from deadpeer.aio import Connection, serve_peers
from deadpeer.core.events import Change, Closed, Died, Online
from deadpeer.core.limits import Limits
from deadpeer.errors import DeadPeerError
from deadpeer.policy.heartbeat import Heartbeat

# As much as for the others: no limit that a measurement meets.
LIMITS = Limits(largest_message=2**30, handshake_timeout=60.0)


class WithCallbacks:
    """``serve_peers`` with callbacks: no task for a connection."""

    dialect = "deadpeer"

    def promise(self, pace: Pace) -> float:
        return pace.interval + pace.timeout

    async def serve(self, pace: Pace, audience: Audience) -> int:
        def changed(peer: Connection, change: Change) -> None:
            if isinstance(change, Online):
                audience.online(port_of(peer), peer.send)
            elif isinstance(change, Died | Closed):
                audience.gone(port_of(peer), str(change.reason))

        def ignore(_peer: Connection, _message: bytes) -> None: ...

        self.server = await serve_peers(
            host="127.0.0.1",
            port=0,
            heartbeat=heartbeat(pace),
            limits=LIMITS,
            on_message=ignore,
            on_change=changed,
            backlog=BACKLOG,
        )
        return self.server.port


class WithAsyncFor:
    """``serve_peers`` with a task for each connection, in an ``async for``."""

    dialect = "deadpeer"

    def promise(self, pace: Pace) -> float:
        return pace.interval + pace.timeout

    async def serve(self, pace: Pace, audience: Audience) -> int:
        async def handle(peer: Connection) -> None:
            port = port_of(peer)
            audience.online(port, peer.send)
            why = "closed"
            try:
                async for _ in peer:
                    pass
            except DeadPeerError as error:
                why = str(error)
                raise
            finally:
                audience.gone(port, why)

        self.server = await serve_peers(
            handle,
            host="127.0.0.1",
            port=0,
            heartbeat=heartbeat(pace),
            limits=LIMITS,
            backlog=BACKLOG,
        )
        return self.server.port


def heartbeat(pace: Pace) -> Heartbeat:
    return Heartbeat(interval=pace.interval, timeout=pace.timeout)


def port_of(peer: Connection) -> int:
    return int(peer.peer.rpartition(":")[2])
