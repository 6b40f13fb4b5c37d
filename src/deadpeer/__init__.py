"""
Know in seconds, not hours, that the other end of a TCP connection is gone.

::

    import deadpeer

    sock = deadpeer.create_connection(("db.example", 5432), within=10)
    with deadpeer.map_errors(sock):
        sock.recv(1)            # PeerDead within 10 s of the peer's death

Heartbeats are in ``deadpeer.aio`` and, under the same names, in ``deadpeer.sync``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from deadpeer.errors import (
    AccessDenied,
    ConfigError,
    ConnectionDestroyed,
    DeadPeerError,
    KernelRefused,
    LabError,
    LocalProtocolError,
    MissingExtra,
    NotTcp,
    PeerClosed,
    PeerDead,
    PeerReset,
    PeerSilent,
    PeerTimedOut,
    PeerUnreachable,
    RemoteProtocolError,
    SimulationStuck,
    UnsupportedError,
)

if TYPE_CHECKING:
    from deadpeer import aio, sync
    from deadpeer.kernel.connecting import create_connection
    from deadpeer.kernel.inspection import Inspection, inspect
    from deadpeer.kernel.protection import Protection, protect
    from deadpeer.kernel.verdicts import map_errors
    from deadpeer.policy import (
        Assessment,
        Heartbeat,
        Keepalive,
        Plan,
        State,
        assess,
        plan,
    )

__all__ = [
    "AccessDenied",
    "Assessment",
    "ConfigError",
    "ConnectionDestroyed",
    "DeadPeerError",
    "Heartbeat",
    "Inspection",
    "Keepalive",
    "KernelRefused",
    "LabError",
    "LocalProtocolError",
    "MissingExtra",
    "NotTcp",
    "PeerClosed",
    "PeerDead",
    "PeerReset",
    "PeerSilent",
    "PeerTimedOut",
    "PeerUnreachable",
    "Plan",
    "Protection",
    "RemoteProtocolError",
    "SimulationStuck",
    "State",
    "UnsupportedError",
    "__version__",
    "aio",
    "assess",
    "create_connection",
    "inspect",
    "map_errors",
    "plan",
    "protect",
    "sync",
]

__version__ = "0.1.0"

# Where the rest lives. It is imported when it is first used, so that a program
# which only catches PeerDead does not pay for the conversation with the kernel.
HOMES = {
    "Assessment": "deadpeer.policy",
    "Heartbeat": "deadpeer.policy",
    "Inspection": "deadpeer.kernel.inspection",
    "Keepalive": "deadpeer.policy",
    "Plan": "deadpeer.policy",
    "Protection": "deadpeer.kernel.protection",
    "State": "deadpeer.policy",
    "assess": "deadpeer.policy",
    "create_connection": "deadpeer.kernel.connecting",
    "inspect": "deadpeer.kernel.inspection",
    "map_errors": "deadpeer.kernel.verdicts",
    "plan": "deadpeer.policy",
    "protect": "deadpeer.kernel.protection",
}


PACKAGES = ("aio", "sync")


def __getattr__(name: str) -> Any:
    if name in PACKAGES:
        return import_module(f"deadpeer.{name}")
    home = HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(HOMES) | set(PACKAGES))
