"""A connection that is protected before its first packet leaves."""

import socket
import time
from collections.abc import Iterator, Sequence
from typing import Any

from deadpeer.errors import ConfigError, PeerTimedOut
from deadpeer.kernel.evidence import read_tcp_info
from deadpeer.kernel.options import apply
from deadpeer.kernel.planning import plan_here
from deadpeer.kernel.protection import outgrows, protect
from deadpeer.kernel.sockets import text_of
from deadpeer.kernel.verdicts import verdict_on
from deadpeer.policy import Plan
from deadpeer.policy.keepalive import require_seconds

__all__ = [
    "create_connection",
    "longer_path",
    "require_address",
    "require_timeout",
    "shares",
    "unencodable",
]

# poll(2) counts milliseconds in a C int; Python does not look.
LONGEST_TIMEOUT = (2**31 - 1) / 1000

HIGHEST_PORT = 65_535


def create_connection(
    address: tuple[str | None, int | str],
    *,
    within: float,
    timeout: float | None = None,
    source_address: tuple[str, int] | None = None,
    all_errors: bool = False,
    rtt: float | None = None,
    allow_stalled_reader: bool = False,
) -> socket.socket:
    """
    Connect like ``socket.create_connection``, protected from the first packet.

    One deadline holds for all addresses of the name together, IPv6 and IPv4;
    each gets an even share of what is left, so that one that never answers
    does not use up the time of the others. Looking up the name is outside of
    it: the system's resolver takes as long as it takes.

    Args:
        address: Host and port.
        within: Seconds from the peer's death to the error, from the connect on.
        timeout: Seconds for connecting, and the returned socket's own timeout,
            as with ``socket.create_connection``. None connects within *within*
            and leaves the socket blocking.
        source_address: Where to connect from, host and port.
        all_errors: Raise an ``ExceptionGroup`` of every address's error, not
            the last one alone.
        rtt: The longest round trip of the path, in seconds. None takes a usual
            one; if the connection turns out longer, it is planned for that.
        allow_stalled_reader: As for ``protect``.

    Returns:
        The connected socket. ``deadpeer.inspect`` says what is in force.

    Raises:
        ConfigError: An argument cannot work, or the promise cannot be kept, in
            general or at the round trip that was measured; the connection is
            closed then.
        UnsupportedError: This system cannot give a promise.
        AccessDenied: A sandbox forbids to set options.
        KernelRefused: The kernel does not take the settings.
        PeerTimedOut: Nothing answered before the deadline.
        PeerUnreachable: There is no way to the address.
        ConnectionRefusedError: The peer lives and does not listen.
        OSError: The name was not found, or the source address is not here.
    """
    require_address("address", address, lengths=(2,))
    if source_address is not None:
        # IPv6 adds flow and scope.
        require_address("source_address", source_address, lengths=(2, 4))
    if timeout is not None:
        require_timeout(timeout)
    settings = plan_here(
        within=within, rtt=rtt, allow_stalled_reader=allow_stalled_reader
    )
    host, port = address
    found = _looked_up(host, port)
    errors: list[OSError] = []
    parts = shares(found, within if timeout is None else timeout)
    for (family, kind, protocol, _, target), share in zip(found, parts, strict=False):
        try:
            sock = _connected(
                socket.socket(family, kind, protocol),
                target,
                settings,
                share,
                source_address,
            )
        except OSError as error:
            errors.append(error)
            continue
        return _finished(
            sock,
            settings,
            timeout,
            rtt=rtt,
            allow_stalled_reader=allow_stalled_reader,
        )
    try:
        if all_errors:
            raise ExceptionGroup(f"no address of {host!r} could be connected", errors)
        raise errors[-1]
    finally:
        errors.clear()  # an error that holds its own traceback holds its frames


def require_address(name: str, address: Any, *, lengths: tuple[int, ...]) -> None:
    """
    Refuse what is no address of a host.

    Args:
        name: What the caller's argument is called, for the error.
        address: The address.
        lengths: How many parts it may have.

    Raises:
        ConfigError: It is no tuple of a host, a port and so on.
    """
    shaped = isinstance(address, tuple) and len(address) in lengths
    if not (shaped and _is_host(address[0]) and _is_port(address[1])):
        raise ConfigError(
            f"{name}={address!r} is no host and port",
            hint=f"such as ('db.example', 5432), the port from 0 to {HIGHEST_PORT}",
            field=name,
            value=address,
        )


def _is_host(host: object) -> bool:
    return host is None or isinstance(host, str | bytes)


def _is_port(port: object) -> bool:
    if isinstance(port, str):
        # A resolver may take a larger number modulo 65536, and connect there.
        return not port.isdecimal() or int(port) <= HIGHEST_PORT
    if isinstance(port, int) and not isinstance(port, bool):
        return 0 <= port <= HIGHEST_PORT
    return False


def require_timeout(timeout: float) -> None:
    """
    Refuse what no socket can wait for.

    Args:
        timeout: The time in seconds.

    Raises:
        ConfigError: It is no duration, or longer than 24 days.
    """
    require_seconds("timeout", timeout)
    if timeout > LONGEST_TIMEOUT:
        raise ConfigError(
            f"timeout={timeout!r} is longer than a socket can wait",
            hint=f"the longest is {LONGEST_TIMEOUT:.0f} s; None leaves it blocking",
            field="timeout",
            value=timeout,
        )


def _looked_up(host: str | None, port: int | str) -> Sequence[Any]:
    try:
        return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    except UnicodeError as error:
        raise unencodable("address", host, error) from error


def unencodable(name: str, host: object, error: UnicodeError) -> ConfigError:
    """
    Return the error for a host whose name no resolver can take.

    Args:
        name: What the caller's argument is called.
        host: The name.
        error: What the resolver says about it.
    """
    return ConfigError(
        f"{host!r} cannot be the name of a host: {error}",
        hint="its parts have 1 to 63 characters each",
        field=name,
        value=host,
    )


def shares(addresses: Sequence[object], seconds: float) -> Iterator[float]:
    """
    Yield for each address the seconds that it may take, while there are any.

    Args:
        addresses: The addresses, of which each is tried before the next is asked for.
        seconds: The time for all of them together, from now on.
    """
    deadline = time.monotonic() + seconds
    for number in range(len(addresses)):
        left = deadline - time.monotonic()
        if left <= 0 and number:
            return
        yield max(left, 0.001) / (len(addresses) - number)


def _connected(
    sock: socket.socket,
    target: object,
    settings: Plan,
    seconds: float,
    source_address: tuple[str, int] | None,
) -> socket.socket:
    try:
        apply(sock, settings.keepalive)
        if source_address:
            sock.bind(source_address)
        sock.settimeout(seconds)
        _connect(sock, target, seconds)
    except BaseException:
        sock.close()
        raise
    return sock


def _connect(sock: socket.socket, target: object, seconds: float) -> None:
    peer = text_of(target)
    try:
        sock.connect(target)  # type: ignore[arg-type]
    except OSError as error:
        kind = verdict_on(error, established=False)
        if kind is not None:
            raise kind(
                f"{peer} could not be connected: {error.strerror}",
                peer=peer,
                errno=error.errno,
            ) from error
        if isinstance(error, TimeoutError):
            raise PeerTimedOut(
                f"{peer} did not answer in {seconds:.3g} s", peer=peer
            ) from error
        raise


def _finished(
    sock: socket.socket,
    settings: Plan,
    timeout: float | None,
    *,
    rtt: float | None,
    allow_stalled_reader: bool,
) -> socket.socket:
    try:
        measured = longer_path(sock, settings) if rtt is None else None
        if measured is not None:
            protect(
                sock,
                within=settings.within,
                rtt=measured,
                allow_stalled_reader=allow_stalled_reader,
            )
        sock.settimeout(socket.getdefaulttimeout() if timeout is None else timeout)
    except BaseException:
        sock.close()
        raise
    return sock


def longer_path(sock: socket.socket, settings: Plan) -> float | None:
    """
    Return the round trip of a fresh connection, in seconds, if it outgrows the plan.

    Args:
        sock: The connection.
        settings: The plan that it was made with.
    """
    info = read_tcp_info(sock)
    measured = info.round_trip if info else None
    if measured is not None and outgrows(measured, settings):
        return measured
    return None
