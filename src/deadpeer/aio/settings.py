"""What all connections of one server, or one client, have in common."""

import functools
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deadpeer.core.agreement import announce
from deadpeer.core.detectors.base import Detector
from deadpeer.core.events import Change
from deadpeer.core.hello import Hello
from deadpeer.core.limits import Limits
from deadpeer.errors import DeadPeerError
from deadpeer.kernel.current_platform import this_platform
from deadpeer.kernel.options import apply
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.policy.keepalive import Keepalive
from deadpeer.policy.planner import plan

if TYPE_CHECKING:
    from deadpeer.aio.connection import Connection

__all__ = ["NO_DELAY_BYTES", "Settings"]

# The safety net is wider than the heartbeat, so that it never decides first: it
# is for the day on which this program is stopped and judges nobody.
SLACK = 2
NARROWEST = 30.0

# Unsent bytes that the kernel takes, so that a heartbeat does not wait behind
# megabytes. Two fragments keep a fast line busy.
NO_DELAY_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    What many connections share.

    Args:
        heartbeat: My wish; what is in force is agreed with each peer.
        limits: What a peer may ask for.
        safety_net: Whether TCP keepalive and the user timeout are set underneath.
        on_message: Called with each message, in place of ``recv``.
        on_change: Called with each change of state.
        on_open: Called when a peer has agreed, by the server.
        on_gone: Called when a connection is over, by the server.
        detector: A prototype of the detector for suspicion, or None.
        high: Bytes of unread messages at which reading pauses.
    """

    heartbeat: Heartbeat
    limits: Limits
    safety_net: bool = True
    on_message: "Callable[[Connection, bytes], object] | None" = None
    on_change: "Callable[[Connection, Change], object] | None" = None
    on_open: "Callable[[Connection], object] | None" = None
    on_gone: "Callable[[Connection], object] | None" = None
    detector: Detector | None = None
    high: int = 64 * 1024
    hello: Hello = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hello", announce(self.heartbeat, self.limits))

    def prepare(self, sock: Any) -> None:
        """
        Set what is set on a socket: a short send queue, and the safety net.

        Neither is needed for the heartbeat's promise, so a socket that takes
        neither is left as it is.

        Args:
            sock: A transport's socket, or None.
        """
        if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
            return
        option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, NO_DELAY_BYTES)
        if not self.safety_net:
            return
        net = safety_net(self.heartbeat.detection)
        if net is None:
            return
        try:
            apply(sock, net)
        except DeadPeerError:
            return


@functools.lru_cache(maxsize=64)
def safety_net(detection: float) -> Keepalive | None:
    """
    Return the kernel's settings beneath a heartbeat, or None if there are none.

    Args:
        detection: The heartbeat's promise in seconds.
    """
    within = max(NARROWEST, SLACK * detection)
    try:
        return plan(within=within, platform=this_platform()).keepalive
    except DeadPeerError:
        return None
