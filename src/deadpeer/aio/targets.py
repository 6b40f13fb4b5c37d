"""
Where to connect or to listen, and how: looked at before anything is done.

asyncio finds a wrong name or value out late, in an error of its own, or takes one
of two places and says nothing of the other.
"""

import asyncio
import difflib
import inspect
import os
import socket
import ssl as tls
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from deadpeer.aio.arguments import require_port
from deadpeer.errors import ConfigError, DeadPeerError, UnsupportedError
from deadpeer.kernel.connecting import require_address, unencodable

__all__ = [
    "encryption",
    "place_to_connect",
    "place_to_serve",
    "refusals",
    "require_context",
    "require_taken",
]

# What has an argument of its own, or would leave half of what was asked for undone.
OURS = {
    *("self", "protocol_factory", "host", "port", "path", "ssl", "server_hostname"),
    *("ssl_handshake_timeout", "start_serving"),
}

# What connect_peer and serve_peers take themselves, for whoever misspells it.
OWN_NAMES = (
    *("host", "port", "path", "heartbeat", "within", "limits", "ssl"),
    *("server_hostname", "on_message", "on_change", "detector", "safety_net"),
    *("backoff", "on_retry", "handler"),
)

CONNECT: Mapping[str, Callable[..., Any]] = {
    "host": asyncio.AbstractEventLoop.create_connection,
    "path": asyncio.AbstractEventLoop.create_unix_connection,
}
"""asyncio's ways to connect, by the kind of place."""

SERVE: Mapping[str, Callable[..., Any]] = {
    "host": asyncio.AbstractEventLoop.create_server,
    "path": asyncio.AbstractEventLoop.create_unix_server,
}
"""asyncio's ways to serve, by the kind of place."""


def place_to_connect(
    host: Any, port: Any, path: Any, more: Mapping[str, Any]
) -> dict[str, Any]:
    """
    Return the one place to connect to, as keywords for the loop.

    Args:
        host: A name or address, or None.
        port: A port, or None.
        path: A Unix socket, or None.
        more: Keywords for the loop; a socket among them, perhaps.

    Raises:
        ConfigError: There is none, or more than one, or it cannot work; or the loop
            takes no keyword of such a name.
    """
    place = _place_without_address(CONNECT, host, port, path, more)
    if "sock" in place and not _is_connected(place["sock"]):
        raise _wrong_socket(place["sock"], "is not connected")
    if place:
        return place
    if host is None or port is None:
        raise ConfigError(
            "neither host and port nor a path was given",
            hint='connect_peer("game.example", 7000), or connect_peer(path=…)',
            field="host",
            value=host,
        )
    require_port(port, lowest=1)
    require_address("address", (host, port), lengths=(2,))
    return {"host": host, "port": port}


def place_to_serve(
    host: Any, port: Any, path: Any, more: Mapping[str, Any]
) -> dict[str, Any]:
    """
    Return the one place to listen at, as keywords for the loop.

    Args:
        host: A name or address, a list of several, or None for everywhere.
        port: A port, 0 for a free one, or None.
        path: A Unix socket, or None.
        more: Keywords for the loop; a socket among them, perhaps.

    Raises:
        ConfigError: There is none, or more than one, or it cannot work; or the loop
            takes no keyword of such a name.
    """
    place = _place_without_address(SERVE, host, port, path, more)
    if place:
        return place
    if port is None:
        raise ConfigError(
            "neither a port nor a path was given",
            hint="serve_peers(handler, port=7000), or serve_peers(handler, path=…)",
            field="port",
            value=port,
        )
    require_port(port, lowest=0)
    for one in host if isinstance(host, list | tuple) else [host]:
        require_address("address", (one, port), lengths=(2,))
    return {"host": host, "port": port}


def _place_without_address(
    ways: Mapping[str, Callable[..., Any]],
    host: Any,
    port: Any,
    path: Any,
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the path or the socket that was given; nothing if an address is needed."""
    _require_known(ways["host" if path is None else "path"], more)
    address = None if host is None and port is None else (host, port)
    places = {"address": address, "path": path, "sock": more.get("sock")}
    given = {name: value for name, value in places.items() if value is not None}
    if len(given) > 1:
        shown = ", ".join(f"{name}={value!r}" for name, value in given.items())
        raise ConfigError(
            f"more than one place was given: {shown}",
            hint="give an address, a path or a socket, and leave out the others",
            field=list(given)[-1],
            value=list(given.values())[-1],
        )
    if path is not None:
        return {"path": _usable_path(path)}
    if "sock" in given:
        return {"sock": _usable_socket(given["sock"])}
    return {}


def _require_known(method: Callable[..., Any], more: Mapping[str, Any]) -> None:
    """Refuse keywords that the loop's method does not take, misspelt ones above all."""
    takes = [name for name in inspect.signature(method).parameters if name not in OURS]
    for name, value in more.items():
        if name in takes:
            continue
        near = difflib.get_close_matches(name, [*OWN_NAMES, *takes], n=1)
        raise ConfigError(
            f"there is no argument {name}",
            hint=f"did you mean {near[0]}?"
            if near
            else f"the event loop's own are {', '.join(takes)}",
            field=name,
            value=value,
        )


def _usable_socket(sock: Any) -> socket.socket:
    if not isinstance(sock, socket.socket) or sock.type != socket.SOCK_STREAM:
        raise _wrong_socket(sock, "is no stream socket")
    if sock.fileno() < 0:
        raise _wrong_socket(sock, "is closed")
    return sock


def _wrong_socket(sock: Any, wrong: str) -> ConfigError:
    return ConfigError(
        f"sock={sock!r} {wrong}",
        hint="give one that is connected, or for a server, bound to its address",
        field="sock",
        value=sock,
    )


def _is_connected(own: socket.socket) -> bool:
    try:
        own.getpeername()
    except OSError:
        return False
    return True


def _usable_path(path: Any) -> str | bytes:
    if isinstance(path, str | bytes | os.PathLike):
        return os.fspath(path)
    raise ConfigError(
        f"path={path!r} is no path",
        hint="give the name of a Unix socket, such as '/run/game.sock'",
        field="path",
        value=path,
    )


def require_context(ssl: Any) -> None:
    """
    Refuse what a server cannot speak TLS with.

    Args:
        ssl: What was given; None is none.

    Raises:
        ConfigError: It is no context.
    """
    if ssl is None or isinstance(ssl, tls.SSLContext):
        return
    raise ConfigError(
        f"ssl={ssl!r} is no SSL context",
        hint="give one with a certificate: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)",
        field="ssl",
        value=ssl,
    )


def encryption(
    ssl: Any, name: Any, *, handshake: float | None, shutdown: float | None = None
) -> dict[str, Any]:
    """
    Return what the loop is to be told about TLS; nothing if there is none.

    Args:
        ssl: A context, True for the usual one, or None.
        name: What to check the certificate for.
        handshake: Seconds for TLS's handshake; None is asyncio's own limit.
        shutdown: Seconds for its end, the same.

    Raises:
        ConfigError: It is no context, or there is no name to check.
    """
    if ssl is None or ssl is False:
        return {}
    if not isinstance(ssl, tls.SSLContext | bool):
        raise ConfigError(
            f"ssl={ssl!r} is no SSL context",
            hint="give ssl.create_default_context(), or True for just that",
            field="ssl",
            value=ssl,
        )
    if not isinstance(name, str | bytes):
        raise ConfigError(
            f"TLS needs a name to check the certificate for, not {name!r}",
            hint="give a host, or server_hostname=; '' checks no name",
            field="server_hostname",
            value=name,
        )
    told: dict[str, Any] = {"ssl": ssl, "server_hostname": name}
    if handshake is not None:
        told["ssl_handshake_timeout"] = handshake
    if shutdown is not None:
        told["ssl_shutdown_timeout"] = shutdown
    return told


def require_taken(method: Callable[..., Any], target: Iterable[str]) -> None:
    """
    Refuse a keyword that asyncio has, and this kind of loop does not.

    Args:
        method: The running loop's own.
        target: The names of what it is to be called with.

    Raises:
        UnsupportedError: It takes no such keyword.
    """
    takes = inspect.signature(method).parameters.values()
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in takes):
        return
    names = {one.name for one in takes}
    for name in target:
        if name not in names:
            raise UnsupportedError(
                f"this event loop takes no {name}",
                hint=f"leave {name} out, or run asyncio's own loop",
                option=name,
            )


@contextmanager
def refusals(target: Mapping[str, Any]) -> Iterator[None]:
    """
    Turn what the loop says of an argument that it cannot use into our error.

    Args:
        target: What it is called with.

    Raises:
        ConfigError: It could not use one of them.
    """
    try:
        yield
    except (DeadPeerError, OSError):
        raise  # a certificate that does not hold is a ValueError, too
    except UnicodeError as error:
        raise unencodable("host", target.get("host"), error) from error
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"the event loop takes no such argument: {error}",
            hint="look at what was given beside the address",
            value=dict(target),
        ) from error
