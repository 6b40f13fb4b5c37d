"""What is in force on a socket, and what the kernel knows about its peer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from deadpeer.errors import DeadPeerError
from deadpeer.kernel.current_platform import this_platform
from deadpeer.kernel.descriptors import require_descriptors
from deadpeer.kernel.evidence import Queue, read_queue, read_tcp_info
from deadpeer.kernel.options import is_listening
from deadpeer.kernel.registers import Reading, read
from deadpeer.kernel.sockets import borrowed, text_of
from deadpeer.kernel.tcp_info import TcpInfo
from deadpeer.platforms import Defaults, Name, Platform
from deadpeer.policy import Keepalive

__all__ = ["Inspection", "describe", "inspect", "system_defaults"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """
    One socket, as the kernel sees it.

    Args:
        keepalive: The settings in force, ``on`` included.
        units: The same as the kernel holds them, in the platform's own units.
        own: Settings that differ from the system's, so that this socket must
            have set them. Of the others nobody can say: a kernel does not tell
            a value that was set from one that is the system's.
        unread: Settings that the system has and does not let anybody read.
        platform: The row of the system that the socket is on.
        listening: Whether it waits for connections.
        inherited: On a listening socket, the settings that an accepted one
            takes over on this platform.
        evidence: What the kernel knows of the connection; None where it tells
            nothing that we can read.
        queue: What waits to be sent, or for its acknowledgement.
        local: This end's address, as text.
        peer: The other end's, empty if there is none.
    """

    keepalive: Keepalive
    units: Mapping[Name, int]
    own: tuple[Name, ...]
    unread: tuple[Name, ...]
    platform: Platform
    listening: bool
    inherited: frozenset[str]
    evidence: TcpInfo | None
    queue: Queue | None
    local: str = ""
    peer: str = ""
    defaults: Defaults = field(default_factory=Defaults, repr=False)

    @property
    def state(self) -> str:
        """What TCP is doing, such as ``ESTABLISHED``; empty if unknown."""
        return self.evidence.state_name if self.evidence else ""

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        ends = " → ".join(end for end in (self.local, self.peer) if end)
        yield " ".join(part for part in (self.state, ends) if part) or "a TCP socket"
        yield f"  in force: {describe(self.keepalive)}"
        if self.own:
            yield f"  set on this socket: {', '.join(self.own)}"
        unset = [n for n in self.units if self._follows(n) and n not in self.own]
        if unset:
            yield f"  as the system has it, set here or not: {', '.join(unset)}"
        if self.unread:
            yield f"  not readable on {self.platform.title}: {', '.join(self.unread)}"
        if self.listening:
            told = ", ".join(sorted(self.inherited)) or "nothing that is known"
            yield f"  an accepted socket takes over: {told}"
        if self.evidence and self.evidence.is_connected:
            yield f"  evidence: {_told(self.evidence, self.queue)}"

    def _follows(self, name: Name) -> bool:
        return self.platform.options[name].pins


def inspect(sock: object) -> Inspection:
    """
    Return what is in force on a socket, and the kernel's evidence.

    Changes nothing.

    Args:
        sock: A socket (plain or SSL), a descriptor, anything with ``fileno()``,
            an asyncio transport or ``StreamWriter``.

    Raises:
        NotTcp: That is no open TCP socket.
        UnsupportedError: It is a Multipath TCP socket, or the system is one
            that the platform table does not have.
        KernelRefused: The kernel does not let the options be read.
    """
    row = this_platform()
    with borrowed(sock) as open_sock:
        reading = read(open_sock, row)
        listening = is_listening(open_sock)
        evidence = read_tcp_info(open_sock)
        queue = None if listening else read_queue(open_sock)
        local, peer = _name(open_sock.getsockname), _name(open_sock.getpeername)
    defaults = system_defaults(row)
    return Inspection(
        keepalive=reading.keepalive(row),
        units=reading.units,
        own=_own(reading, row, defaults),
        unread=reading.unread,
        platform=row,
        listening=listening,
        inherited=row.inherited if listening else frozenset(),
        evidence=evidence,
        queue=queue,
        local=local,
        peer=peer,
        defaults=defaults,
    )


def system_defaults(platform: Platform) -> Defaults:
    """
    Return what a socket has here that sets nothing.

    Args:
        platform: The running system's row.

    Returns:
        On Linux the running values of this process's network namespace, or the
        kernel's own where they may not be read; elsewhere the row's.

    Raises:
        KernelRefused: No descriptor is left to read them with.
    """
    if platform.name != "linux":
        return platform.defaults
    # Reads files and knows all about them: not needed to import this package.
    from deadpeer.kernel.sysctl.values import effective_defaults

    try:
        return effective_defaults()
    except DeadPeerError as error:
        if isinstance(error, OSError):
            require_descriptors(error)
        return platform.defaults


def describe(keepalive: Keepalive) -> str:
    """
    Return settings in words.

    Args:
        keepalive: The settings.

    >>> describe(Keepalive(idle=5, interval=1, user_timeout=3.5, on=True))
    'keepalive on, idle 5 s, interval 1 s, user timeout 3.5 s'
    """
    said = [f"keepalive {'on' if keepalive.on else 'off'}"]
    for label, seconds in (("idle", keepalive.idle), ("interval", keepalive.interval)):
        if seconds is not None:
            said.append(f"{label} {seconds:g} s")
    if keepalive.probes is not None:
        said.append(f"{keepalive.probes} probes")
    if keepalive.user_timeout is not None:
        timeout = keepalive.user_timeout
        said.append(f"user timeout {timeout:g} s" if timeout else "no user timeout")
    if keepalive.rto_max is not None:
        said.append(f"rto max {keepalive.rto_max:g} s")
    return ", ".join(said)


def _own(reading: Reading, platform: Platform, defaults: Defaults) -> tuple[Name, ...]:
    if platform.name != "linux":
        return ()  # what the system has is not read there
    system: dict[Name, float] = {
        "idle": defaults.idle,
        "interval": defaults.interval,
        "probes": defaults.probes,
    }
    units = reading.units
    return tuple(
        name
        for name, value in system.items()
        if units.get(name, 0) > 0 and units[name] != value
    )


def _told(info: TcpInfo, queue: Queue | None) -> str:
    said = []
    if info.rtt_us:
        said.append(f"round trip {info.rtt_us / 1000:.3g} ms")
    if info.silence is not None:
        said.append(f"last heard {info.silence:.1f} s ago")
    if queue and queue.unacknowledged:
        said.append(f"{queue.unacknowledged} bytes unacknowledged")
    for count, what in (
        (info.retransmits, "retransmissions"),
        (info.probes, "probes"),
    ):
        if count:
            said.append(f"{count} {what} unanswered")
    if info.is_suspect:
        said.append("SUSPECT")
    return ", ".join(said) or "none yet"


def _name(ask: object) -> str:
    try:
        return text_of(ask())  # type: ignore[operator]
    except OSError:
        return ""
