"""``deadpeer listen``: one end of a real cable."""

import asyncio

import click

from deadpeer.aio.serving import serve_peers
from deadpeer.cli.beat_options import Asked, at_address, heartbeat_options, on_a_loop
from deadpeer.cli.beat_screen import Screen
from deadpeer.cli.target import Address, parse_listening
from deadpeer.errors import AccessDenied

__all__ = ["command", "refused"]


@click.command()
@click.argument("address", metavar="[ADDRESS]:PORT")
@heartbeat_options
def command(*, address: str, asked: Asked) -> None:
    """
    Wait for peers and judge each of them, until somebody pulls the plug.

    The other machine runs "deadpeer dial". What happens is told as it happens:
    who came, whose answer is late, who is dead and on which evidence.

    \b
    deadpeer listen :7000
    deadpeer listen :7000 --within 5 --json

    Ends with Ctrl-C.
    """  # noqa: D301 - click wants the character itself
    on_a_loop(serve(parse_listening(address), asked))


async def serve(address: Address, asked: Asked) -> None:
    """
    Serve until cancelled.

    Args:
        address: Where to listen; an empty host is everywhere.
        asked: How peers are judged, and how it is told.

    Raises:
        AccessDenied: This user may not listen there.
        OSError: Nobody can listen there; with the address as its file name.
    """
    screen = Screen("listen", asked)
    server = serve_peers(
        host=address.host or None,
        port=address.port,
        heartbeat=asked.heartbeat,
        on_message=lambda _peer, _message: None,
        on_change=screen.tell_change,
    )
    try:
        await server
    except OSError as error:
        raise refused(error, address) from error
    async with server:
        for sock in server.sockets:
            host, port = sock.getsockname()[:2]
            where = str(Address(host=host, port=port))
            screen.tell({"event": "listening", "address": where})
        with screen.showing(lambda: server.registry):
            await asyncio.get_running_loop().create_future()


def refused(error: OSError, address: Address) -> OSError:
    """
    Return why nobody listens at an address, so that it can be told.

    Args:
        error: What came of it.
        address: Where.
    """
    if isinstance(error, PermissionError):
        return AccessDenied(
            f"this user may not listen on {address}",
            hint="choose a port from 1024 up, or run it as root",
            capability="CAP_NET_BIND_SERVICE",
        )
    return at_address(error, address)
