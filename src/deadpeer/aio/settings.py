"""What all connections of one server, or one client, have in common."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from deadpeer.aio.arguments import (
    require_detector,
    require_heartbeat,
    require_limits,
    require_plain,
)
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
        on_made: Called when there is a transport, for whoever keeps count.
        on_open: Called when a peer has agreed, the same.
        on_gone: Called when a connection is over, the same.
        detector: A prototype of the detector for suspicion, or None.
        high: Bytes of unread messages at which reading pauses.
        net: The plan of the safety net, once it is made.

    Raises:
        ConfigError: A callback cannot be called or is a coroutine function, or
            a value is of another type.
    """

    heartbeat: Heartbeat
    limits: Limits
    safety_net: bool = True
    on_message: "Callable[[Connection, bytes], object] | None" = None
    on_change: "Callable[[Connection, Change], object] | None" = None
    on_made: "Callable[[Connection], object] | None" = None
    on_open: "Callable[[Connection], object] | None" = None
    on_gone: "Callable[[Connection], object] | None" = None
    detector: Detector | None = None
    high: int = 64 * 1024
    net: Keepalive | None = None
    hello: Hello = field(init=False)

    def __post_init__(self) -> None:
        require_heartbeat(self.heartbeat)
        require_limits(self.limits)
        require_detector(self.detector)
        require_plain("on_message", self.on_message, "peer", "message")
        require_plain("on_change", self.on_change, "peer", "change")
        object.__setattr__(self, "hello", announce(self.heartbeat, self.limits))

    async def ready(self) -> Self:
        """Return these with the safety net, planned beside the loop: it takes long."""
        if not self.safety_net:
            return self
        detection = self.heartbeat.detection
        if detection not in NETS:
            net = await asyncio.to_thread(safety_net, detection)
            if len(NETS) >= MOST_NETS:
                NETS.clear()
            NETS[detection] = net
        return replace(self, net=NETS[detection])

    def prepare(self, sock: Any) -> None:
        """
        Set what is set on a socket: a short send queue, and the safety net.

        Neither is needed for the heartbeat's promise, so a socket that takes
        neither is left as it is.

        Args:
            sock: A transport's socket, or None.
        """
        if not is_tcp(sock):
            return
        option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
        if option is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, option, NO_DELAY_BYTES)
        if self.net is not None:
            put_on(sock, self.net)

    def widen(self, sock: Any, agreed: Heartbeat) -> None:
        """
        Take the safety net away from a peer that was granted more than it allows.

        Args:
            sock: A transport's socket, or None.
            agreed: What was agreed with the peer.
        """
        is_wide = agreed.detection <= widest(self.heartbeat.detection)
        if is_wide or not self.safety_net or not is_tcp(sock):
            return
        put_on(sock, NO_NET)


# The nets by the promise above them, each made once. Few programs have two.
NETS: dict[float, Keepalive | None] = {}
MOST_NETS = 64
NO_NET = Keepalive(on=False, user_timeout=0)


def widest(detection: float) -> float:
    """
    Return for how many seconds the safety net waits.

    Args:
        detection: The heartbeat's promise in seconds.
    """
    return max(NARROWEST, SLACK * detection)


def safety_net(detection: float) -> Keepalive | None:
    """
    Return the kernel's settings beneath a heartbeat, or None if there are none.

    Args:
        detection: The heartbeat's promise in seconds.
    """
    try:
        return plan(within=widest(detection), platform=this_platform()).keepalive
    except DeadPeerError:
        return None


def put_on(sock: Any, net: Keepalive) -> None:
    """
    Put a safety net on a socket, or leave it as it is if it takes none.

    Args:
        sock: A transport's socket.
        net: What is put on it.
    """
    try:
        apply(sock, net)
    except (DeadPeerError, OSError):
        return


def is_tcp(sock: Any) -> bool:
    """
    Tell whether a transport's socket is one of TCP.

    Args:
        sock: The socket, or None.
    """
    return sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6)
