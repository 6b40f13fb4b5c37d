"""Settings put on a socket, read back, and taken off again."""

import socket
from dataclasses import dataclass, field

from deadpeer.errors import NotTcp, UnsupportedError
from deadpeer.kernel.current_platform import this_platform
from deadpeer.kernel.registers import (
    Reading,
    Step,
    change,
    put_back,
    read,
    steps_for,
)
from deadpeer.kernel.sockets import borrowed, identity
from deadpeer.platforms import Platform
from deadpeer.policy import Keepalive

__all__ = ["Applied", "Undone", "apply", "is_listening"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """
    What a socket holds after an undo.

    Args:
        keepalive: The settings in force.
        pinned: Settings that have their old value again and no longer follow
            the system's: the kernel knows no way to unset them.
        lost: Settings whose old value the kernel does not take, or was never
            known; they have the nearest value it takes, or keep the new one.
    """

    keepalive: Keepalive
    pinned: tuple[str, ...]
    lost: tuple[str, ...] = ()

    def __str__(self) -> str:
        said = [f"in force again: {self.keepalive}"]
        if self.pinned:
            said.append(
                f"now this socket's own, whatever the system's become:"
                f" {', '.join(self.pinned)}"
            )
        if self.lost:
            said.append(f"not put back: {', '.join(self.lost)}")
        return "; ".join(said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """
    Settings that were put on a socket and read back.

    Args:
        keepalive: What is in force now, also what was not asked for.
        before: What was in force before.
        platform: The row of the system that the socket is on.
    """

    keepalive: Keepalive
    before: Keepalive
    platform: Platform
    thing: object = field(repr=False, compare=False)
    reading: Reading = field(repr=False)
    steps: tuple[Step, ...] = field(repr=False)
    who: bytes = field(repr=False)

    def undo(self) -> Undone:
        """
        Restore the values that were there, and say which are now pinned.

        Of several changes to one socket, the last has to be undone first.

        Returns:
            What is in force after it.

        Raises:
            NotTcp: The socket was closed, or its descriptor is another
                socket's now; nothing was changed.
            UnsupportedError: The descriptor is a Multipath TCP socket now.
            KernelRefused: No descriptor is left to work with.
        """
        with borrowed(self.thing) as sock:
            if identity(sock) != self.who:
                raise NotTcp(
                    f"descriptor {sock.fileno()} belongs to another socket now",
                    hint="the one that was protected is closed",
                    field="sock",
                )
            lost = put_back(sock, self.steps, self.platform, before=self.reading)
            now = read(sock, self.platform).keepalive(self.platform)
        changed = {key for step in self.steps for key in step.keys}
        pinned = tuple(
            str(name)
            for name, option in self.platform.options.items()
            if name in changed and option.pins and name not in lost
        )
        return Undone(keepalive=now, pinned=pinned, lost=tuple(map(str, lost)))


def apply(
    sock: object, keepalive: Keepalive, *, platform: Platform | None = None
) -> Applied:
    """
    Put settings on a socket, read them back, or change nothing.

    Args:
        sock: A socket (plain or SSL), a descriptor, anything with ``fileno()``,
            an asyncio transport or ``StreamWriter``.
        keepalive: The settings; None in a field leaves it alone.
        platform: The row of the system that the socket is on; the running one
            if None.

    Returns:
        What is in force, with ``undo()``.

    Raises:
        ConfigError: A value is out of range.
        NotTcp: That is no open TCP socket.
        UnsupportedError: The platform, the kernel or this kind of socket
            cannot do it.
        AccessDenied: A privilege is missing.
        KernelRefused: The kernel refused; what had been changed was put back.
    """
    row = this_platform() if platform is None else platform
    steps = steps_for(keepalive, row)
    with borrowed(sock) as open_sock:
        _require_harmless(open_sock, row)
        before = read(open_sock, row)
        change(open_sock, steps, row, before=before)
        now = read(open_sock, row)
        who = identity(open_sock)
    return Applied(
        keepalive=now.keepalive(row),
        before=before.keepalive(row),
        platform=row,
        thing=sock,
        reading=before,
        steps=steps,
        who=who,
    )


def is_listening(sock: socket.socket) -> bool:
    """
    Tell whether a socket waits for connections.

    Args:
        sock: An open TCP socket.
    """
    try:
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except (OSError, AttributeError):
        return False


def _require_harmless(sock: socket.socket, platform: Platform) -> None:
    if platform.harms_listener and is_listening(sock):
        raise UnsupportedError(
            f"keepalive on a listening socket ends the listener on {platform.title}",
            hint="set it on each accepted socket",
            option=platform.switch.name,
            platform=platform.name,
        )
