"""
Every exception of the package: one tree, each with a remedy and an exit code.

::

    DeadPeerError                                  exit 1
    ├── ConfigError         (ValueError)           exit 2   your values cannot work
    │   └── NotTcp                                          that is no usable TCP socket
    ├── UnsupportedError    (NotImplementedError)  exit 3   this platform or kernel cannot
    │   └── MissingExtra                                    an optional dependency is not there
    ├── AccessDenied        (PermissionError)      exit 4   a privilege is missing
    ├── KernelRefused       (OSError)              exit 5   the kernel said no, nothing changed
    ├── LabError                                   exit 6   the lab could not be built
    ├── SimulationStuck     (RuntimeError)         exit 7   virtual time: nothing is left to happen
    ├── ConnectionDestroyed (ConnectionAbortedError) exit 11  ended by this host's administrator
    ├── LocalProtocolError  (RuntimeError)         exit 12  this end broke the protocol
    ├── RemoteProtocolError (ConnectionError)      exit 13  the peer broke the protocol
    ├── PeerClosed          (ConnectionError)      exit 14  the peer said goodbye; nothing is wrong
    └── PeerDead            (ConnectionError)      exit 10  the verdict, with its evidence
        ├── PeerTimedOut    (TimeoutError)                  ETIMEDOUT
        ├── PeerReset       (ConnectionResetError)          ECONNRESET: it lost its state
        ├── PeerUnreachable                                 EHOSTUNREACH, ENETUNREACH, …
        └── PeerSilent                                      no heartbeat was answered

The second, builtin base is there so that code which already catches
``ConnectionError``, ``TimeoutError`` or ``ValueError`` goes on working.
"""

from collections.abc import Callable
from typing import Any, ClassVar

__all__ = [
    "AccessDenied",
    "ConfigError",
    "ConnectionDestroyed",
    "DeadPeerError",
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
    "RemoteProtocolError",
    "SimulationStuck",
    "UnsupportedError",
]


class DeadPeerError(Exception):
    """
    The root of all errors that this package raises on purpose.

    Args:
        message: What was wrong, with which value.
        hint: What to do about it, in one line; may be empty.

    Attributes:
        exit_code: What the command line exits with.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        # An exception with keyword-only arguments is lost in a process pool
        # unless it says how it is rebuilt.
        facts = dict(self.__dict__)
        if isinstance(self, OSError):
            facts["errno"] = self.errno  # lives in a slot, not in __dict__
        return _rebuild, (type(self), self.args, facts)


def _rebuild(
    kind: type[DeadPeerError], args: tuple[Any, ...], facts: dict[str, Any]
) -> DeadPeerError:
    error = kind.__new__(kind, *args)
    error.args = args
    for name, value in facts.items():
        setattr(error, name, value)
    return error


class ConfigError(DeadPeerError, ValueError):
    """
    A value cannot work; nothing was changed.

    Attributes:
        field: The name of the argument that is wrong.
        value: The value that was given.
    """

    exit_code: ClassVar[int] = 2

    def __init__(
        self, message: str = "", *, hint: str = "", field: str = "", value: Any = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.field = field
        self.value = value


class NotTcp(ConfigError):
    """The thing handed in is not a TCP socket that can be configured."""


class UnsupportedError(DeadPeerError, NotImplementedError):
    """
    This platform, kernel or kind of socket cannot do it; nothing was changed.

    Attributes:
        option: The name of what is missing, as its system spells it.
        platform: Where it is missing.
    """

    exit_code: ClassVar[int] = 3

    def __init__(
        self, message: str = "", *, hint: str = "", option: str = "", platform: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.option = option
        self.platform = platform


class MissingExtra(UnsupportedError, ImportError):
    """
    An optional dependency is not installed.

    Attributes:
        extra: The extra that brings it, as in ``deadpeer[extra]``.
    """

    def __init__(self, message: str = "", *, hint: str = "", extra: str = "") -> None:
        super().__init__(message, hint=hint)
        self.extra = extra


class AccessDenied(DeadPeerError, PermissionError):
    """
    A privilege is missing; nothing was changed.

    Attributes:
        capability: The capability that would be enough, such as ``CAP_NET_ADMIN``.
        pid: The process that was asked about, if there was one.
    """

    exit_code: ClassVar[int] = 4

    def __init__(
        self,
        message: str = "",
        *,
        hint: str = "",
        capability: str = "",
        pid: int | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.capability = capability
        self.pid = pid


class KernelRefused(DeadPeerError, OSError):
    """
    The kernel refused an operation; what had been changed was put back.

    Attributes:
        operation: What was asked, such as ``setsockopt(TCP_KEEPIDLE, 10)``.
        errno: The kernel's answer, a number of the ``errno`` module.
    """

    exit_code: ClassVar[int] = 5

    def __init__(
        self,
        message: str = "",
        *,
        hint: str = "",
        operation: str = "",
        errno: int | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.operation = operation
        self.errno = errno


class LabError(DeadPeerError):
    """The lab could not be built on this machine."""

    exit_code: ClassVar[int] = 6


class SimulationStuck(DeadPeerError, RuntimeError):
    """
    A program in virtual time waits for what cannot happen, or never ends.

    Attributes:
        waiting: The tasks that wait, each with the line on which it does.
    """

    exit_code: ClassVar[int] = 7

    def __init__(
        self, message: str = "", *, hint: str = "", waiting: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, hint=hint)
        self.waiting = waiting


class LocalProtocolError(DeadPeerError, RuntimeError):
    """
    This end did what the protocol or the call does not allow; nothing was sent.

    Attributes:
        breach: Which rule: one word, of the table of the wire format if it is one
            of the protocol.
    """

    exit_code: ClassVar[int] = 12

    def __init__(self, message: str = "", *, hint: str = "", breach: str = "") -> None:
        super().__init__(message, hint=hint)
        self.breach = breach


class _Ended(DeadPeerError, ConnectionError):
    """
    A connection that is over, and with whom; no system call need have failed.

    Args:
        message: The sentence.
        hint: What to do about it, if anything.
        peer: The other end's address, as text.
    """

    def __init__(self, message: str = "", *, hint: str = "", peer: str = "") -> None:
        super().__init__(message, hint=hint)
        self.peer = peer


class RemoteProtocolError(_Ended):
    """
    The peer did what the protocol does not allow; the connection was ended.

    Attributes:
        breach: Which rule, as one word of the table of the wire format.
        peer: The other end's address, as text; empty if unknown.
    """

    exit_code: ClassVar[int] = 13

    def __init__(
        self, message: str = "", *, hint: str = "", breach: str = "", peer: str = ""
    ) -> None:
        super().__init__(message, hint=hint, peer=peer)
        self.breach = breach


class PeerClosed(_Ended):
    """
    The connection was closed in good order; nothing more will come.

    Attributes:
        reason: What the one who closed said, one word of the wire format.
        peer: The other end's address, as text; empty if unknown.
    """

    exit_code: ClassVar[int] = 14

    def __init__(
        self, message: str = "", *, hint: str = "", reason: str = "", peer: str = ""
    ) -> None:
        super().__init__(message, hint=hint, peer=peer)
        self.reason = reason


class _Verdict(_Ended):
    """
    An ended connection, with the evidence.

    Args:
        message: The sentence; made from *errno* by ``map_errors``.
        hint: What to do about it, if anything.
        peer: The other end's address, as text.
        silence: Seconds since the peer was last heard, if known.
        errno: The kernel's error number, if the kernel decided.
    """

    def __init__(
        self,
        message: str = "",
        *,
        hint: str = "",
        peer: str = "",
        silence: float | None = None,
        errno: int | None = None,
    ) -> None:
        super().__init__(message, hint=hint, peer=peer)
        self.silence = silence
        self.errno = errno


class ConnectionDestroyed(_Verdict, ConnectionAbortedError):
    """This host's own administrator ended the connection (ECONNABORTED)."""

    exit_code: ClassVar[int] = 11


class PeerDead(_Verdict):
    """
    The other end is gone.

    Args:
        message: The sentence.
        hint: What to do about it, if anything.
        peer: The other end's address, as text.
        silence: Seconds since the peer was last heard, if known.
        errno: The kernel's error number, if the kernel decided.
        evidence: What a heartbeat's verdict rests on.

    Attributes:
        peer: The other end's address, as text; empty if unknown.
        silence: Seconds since it was last heard, or None.
        errno: The kernel's error number, or None if a heartbeat decided.
        evidence: A ``deadpeer.core.events.Evidence``, or None if the kernel decided.
    """

    exit_code: ClassVar[int] = 10

    def __init__(
        self,
        message: str = "",
        *,
        hint: str = "",
        peer: str = "",
        silence: float | None = None,
        errno: int | None = None,
        evidence: Any = None,
    ) -> None:
        super().__init__(message, hint=hint, peer=peer, silence=silence, errno=errno)
        self.evidence = evidence


class PeerTimedOut(PeerDead, TimeoutError):
    """Probes or data went unanswered for as long as was allowed (ETIMEDOUT)."""


class PeerReset(PeerDead, ConnectionResetError):
    """The peer answered that it knows no such connection (ECONNRESET)."""


class PeerUnreachable(PeerDead):
    """The network says that the way to the peer is gone (EHOSTUNREACH, …)."""


class PeerSilent(PeerDead):
    """The peer's heartbeats stopped."""
