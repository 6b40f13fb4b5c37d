"""
What a user hands in, turned into a TCP socket that options can be set on.

A duplicate of the descriptor is worked on and closed again, so that a
descriptor of the user's is never closed, and a socket that is closed meanwhile
is never confused with the next one of the same number. What the duplicate
shares with the original, such as ``O_NONBLOCK``, is left as it is.
"""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from deadpeer.errors import DeadPeerError, NotTcp, UnsupportedError
from deadpeer.kernel.descriptors import require_descriptors

__all__ = ["borrowed", "identity", "last_peer", "peer_name", "text_of"]

# Linux include/uapi/linux/in.h. Python has the name since 3.10, on some systems.
IPPROTO_MPTCP = 262
# Linux include/uapi/asm-generic/socket.h: a number that no two sockets share
# between two boots.
SO_COOKIE = 57
COOKIE_BYTES = 8
# The same: getpeername, but for dead connections too. It wants to know the size
# of sockaddr_in or sockaddr_in6 exactly; and where the host stands in them.
SO_PEERNAME = 28
SOCKADDRS = {
    socket.AF_INET: (16, slice(4, 8)),
    socket.AF_INET6: (28, slice(8, 24)),
}

FAMILIES = {socket.AF_INET, socket.AF_INET6}

# What things that are no open socket answer with: a class in place of its
# instance a TypeError, what wraps a socket that is gone an AttributeError.
ODD = (ValueError, TypeError, AttributeError, RuntimeError)

HINT = "hand in a TCP socket, its descriptor, a transport or a StreamWriter"


@contextmanager
def borrowed(thing: object) -> Iterator[socket.socket]:
    """
    Yield a duplicate of the TCP socket behind *thing*, and close the duplicate.

    Args:
        thing: A socket (plain or SSL), a file descriptor, anything with
            ``fileno()``, an asyncio transport or ``StreamWriter``.

    Raises:
        NotTcp: It is closed, or no TCP socket.
        UnsupportedError: It is a Multipath TCP socket.
        KernelRefused: No descriptor is left for the duplicate.
    """
    fd = descriptor_of(thing)
    duplicate = _wrapped(_duplicate(fd, thing), thing)
    with duplicate:
        _require_tcp(duplicate, thing)
        yield duplicate


def descriptor_of(thing: object) -> int:
    """
    Return the file descriptor behind *thing*.

    Args:
        thing: As for ``borrowed``.

    Raises:
        NotTcp: It has none, or none any more.
    """
    if isinstance(thing, bool) or thing is None:
        raise _not_tcp(thing, f"{thing!r} is no socket")
    if isinstance(thing, int):
        number: Any = thing
    else:
        number = _fileno(_socket_in(thing))
    if not isinstance(number, int) or isinstance(number, bool):
        raise _not_tcp(thing, f"{_shown(thing)} is no socket")
    if number < 0:
        gone = "is no descriptor" if isinstance(thing, int) else "is closed"
        raise _not_tcp(thing, f"{_shown(thing)} {gone}")
    return number


def identity(sock: socket.socket) -> bytes:
    """
    Return what tells this socket from every other, as far as the system can.

    Args:
        sock: A borrowed socket.

    Returns:
        Linux' socket cookie; elsewhere the local address, which is better
        than nothing.
    """
    try:
        return sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, COOKIE_BYTES)
    except OSError:
        pass
    try:
        return repr(sock.getsockname()).encode()
    except OSError:
        return b""


def peer_name(thing: object) -> str:
    """
    Return the other end's address as text, empty if there is none.

    Cheap where *thing* itself can tell, since it is asked before each call
    that ``map_errors`` surrounds: a dead socket cannot tell any more.

    Args:
        thing: As for ``borrowed``.
    """
    try:
        if hasattr(thing, "get_extra_info"):
            return text_of(thing.get_extra_info("peername"))
        if hasattr(thing, "getpeername"):
            return text_of(thing.getpeername())
        with borrowed(thing) as sock:
            return text_of(sock.getpeername())
    except (OSError, DeadPeerError, *ODD):
        return ""


def last_peer(sock: socket.socket) -> str:
    """
    Return the other end's address of a socket that may be dead already.

    Args:
        sock: A borrowed socket.

    Source:
        Linux net/core/sock.c, SO_PEERNAME; net/ipv4/af_inet.c, inet_getname().
    """
    size, host = SOCKADDRS[sock.family]
    try:
        data = sock.getsockopt(socket.SOL_SOCKET, SO_PEERNAME, size)
    except OSError:
        return ""
    port = int.from_bytes(data[2:4], "big")
    return text_of((socket.inet_ntop(sock.family, data[host]), port)) if port else ""


def text_of(address: object) -> str:
    """
    Return a socket address as people write it.

    >>> text_of(("::1", 80, 0, 0)), text_of(("192.0.2.1", 80)), text_of(None)
    ('[::1]:80', '192.0.2.1:80', '')
    """
    if not isinstance(address, tuple) or len(address) < 2:  # noqa: PLR2004 - host, port
        return ""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def _socket_in(thing: object) -> object:
    """A transport or a StreamWriter keeps its socket under a name."""
    ask = getattr(thing, "get_extra_info", None)
    if not callable(ask):
        return thing
    try:
        inside = ask("socket")
    except (OSError, *ODD) as error:
        raise _not_tcp(thing, f"{_shown(thing)} does not show its socket") from error
    if inside is None:
        raise _not_tcp(thing, f"{_shown(thing)} has no socket: a pipe, or closed")
    return inside


def _fileno(thing: object) -> object:
    ask = getattr(thing, "fileno", None)
    if not callable(ask):
        return None
    try:
        return ask()
    except (OSError, *ODD) as error:
        # A closed file raises ValueError, an in-memory one UnsupportedOperation.
        raise _not_tcp(thing, f"{_shown(thing)} has no descriptor") from error


def _duplicate(fd: int, thing: object) -> int:
    try:
        return socket.dup(fd)
    except OverflowError as error:
        raise _not_tcp(thing, f"{fd} is no descriptor") from error
    except OSError as error:
        require_descriptors(error)
        what = "is not open" if error.errno == errno.EBADF else "is no socket"
        raise _not_tcp(thing, f"{_shown(thing)} {what}") from error


def _wrapped(fd: int, thing: object) -> socket.socket:
    """
    Return a socket object around our own duplicate.

    Python puts a socket object that it makes into non-blocking mode where
    ``socket.setdefaulttimeout`` was used, and the original with it. A type that
    says it is non-blocking already prevents that.
    """
    try:
        return _relabelled(fd) if hasattr(socket, "SOCK_NONBLOCK") else _found_out(fd)
    except OSError as error:
        socket.close(fd)
        raise _not_tcp(thing, f"{_shown(thing)} is no socket") from error


def _relabelled(fd: int) -> socket.socket:
    quiet = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
    made = socket.socket(socket.AF_INET, quiet, 0, fileno=fd)
    if _asked(made, "SO_DOMAIN") == socket.AF_INET6:
        # Python reads addresses by the family that the object was given.
        made = socket.socket(socket.AF_INET6, quiet, 0, fileno=made.detach())
    return made


def _found_out(fd: int) -> socket.socket:
    """macOS, Windows: Python finds the family, and the mode is put back."""
    before = _blocking(fd)
    made = socket.socket(fileno=fd)
    if before is not None and _blocking(fd) != before:
        os.set_blocking(fd, before)
    return made


def _blocking(fd: int) -> bool | None:
    try:
        return os.get_blocking(fd)
    except OSError:
        return None  # Windows: the number is a handle


def _require_tcp(sock: socket.socket, thing: object) -> None:
    kind = sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
    if kind != socket.SOCK_STREAM:
        name = socket.SocketKind(kind).name if kind in _kinds() else f"type {kind}"
        raise _not_tcp(thing, f"{_shown(thing)} is a socket of {name}, not TCP")
    family = _asked(sock, "SO_DOMAIN")
    if family is not None and family not in FAMILIES:
        raise _not_tcp(
            thing, f"{_shown(thing)} is a {_family_name(family)} socket, not TCP"
        )
    protocol = _asked(sock, "SO_PROTOCOL")
    if protocol == IPPROTO_MPTCP:
        raise UnsupportedError(
            f"{_shown(thing)} is a Multipath TCP socket, which takes no user timeout",
            hint="use a plain TCP socket, or heartbeats",
            option="TCP_USER_TIMEOUT",
            platform="mptcp",
        )
    if protocol not in (None, socket.IPPROTO_TCP) or not _speaks_tcp(sock):
        raise _not_tcp(thing, f"{_shown(thing)} is a stream socket, but not TCP")


def _asked(sock: socket.socket, name: str) -> int | None:
    """Ask for an option that not every system has."""
    number = getattr(socket, name, None)
    if number is None:
        return None
    try:
        return sock.getsockopt(socket.SOL_SOCKET, number)
    except OSError:
        return None


def _speaks_tcp(sock: socket.socket) -> bool:
    try:
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    except OSError as error:
        # macOS answers EINVAL for a TCP socket whose connection has ended.
        return error.errno == errno.EINVAL
    return True


def _kinds() -> set[int]:
    return {int(kind) for kind in socket.SocketKind}


def _family_name(number: int) -> str:
    try:
        return socket.AddressFamily(number).name
    except ValueError:
        return f"family {number}"


def _shown(thing: object) -> str:
    if isinstance(thing, int):
        return f"descriptor {thing}"
    # Not repr(): that of a socket asks the kernel, that of others may be long.
    return f"this {type(thing).__name__}"


def _not_tcp(thing: object, message: str) -> NotTcp:
    # The error travels between processes; what it speaks of may not.
    value = thing if isinstance(thing, int | str | None) else type(thing).__name__
    return NotTcp(message, hint=HINT, field="sock", value=value)
