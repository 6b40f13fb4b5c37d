"""What all connections of one server, or one client, have in common."""

import contextlib
import functools
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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
from deadpeer.policy.safety_net import safety_net

if TYPE_CHECKING:
    from deadpeer.aio.connection import Connection

__all__ = ["NO_DELAY_BYTES", "Settings"]

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
        safety_net: Whether the kernel's keepalive is set underneath.
        on_message: Called with each message, in place of ``recv``.
        on_change: Called with each change of state.
        on_made: Called when there is a transport, for whoever keeps count.
        on_open: Called when a peer has agreed, the same.
        on_gone: Called when a connection is over, the same.
        detector: A prototype of the detector for suspicion, or None.
        high: Bytes of unread messages at which reading pauses.

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
    hello: Hello = field(init=False)

    def __post_init__(self) -> None:
        require_heartbeat(self.heartbeat)
        require_limits(self.limits)
        require_detector(self.detector)
        require_plain("on_message", self.on_message, "peer", "message")
        require_plain("on_change", self.on_change, "peer", "change")
        object.__setattr__(self, "hello", announce(self.heartbeat, self.limits))

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
        self.put_net(sock, self.heartbeat)

    def put_net(self, sock: Any, heartbeat: Heartbeat) -> None:
        """
        Put the safety net beneath a heartbeat on a socket, if it takes one.

        Args:
            sock: A transport's socket, or None.
            heartbeat: What is in force: what was agreed with the peer may be wider.
        """
        if not self.safety_net or not is_tcp(sock):
            return
        try:
            platform = this_platform()
            apply(sock, beneath(heartbeat, platform), platform=platform)
        except (DeadPeerError, OSError):
            return  # a socket that takes none is left as it is


# A server puts the same one on each connection.
beneath = functools.lru_cache(maxsize=64)(safety_net)


def is_tcp(sock: Any) -> bool:
    """
    Tell whether a transport's socket is one of TCP.

    Args:
        sock: The socket, or None.
    """
    return sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6)
