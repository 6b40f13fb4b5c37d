"""``deadpeer listen``: one end of a real cable."""

import asyncio

import click

from deadpeer.aio.serving import serve_peers
from deadpeer.cli.beat_options import heartbeat_options, on_a_loop, wish
from deadpeer.cli.beat_screen import Screen
from deadpeer.cli.target import Address, parse_listening
from deadpeer.policy.heartbeat import Heartbeat

__all__ = ["command"]


@click.command()
@click.argument("address", metavar="[ADDRESS]:PORT")
@heartbeat_options
def command(
    *,
    address: str,
    interval: float | None,
    timeout: float | None,
    within: float | None,
    every: float,
    as_json: bool,
) -> None:
    """
    Wait for peers and judge each of them, until somebody pulls the plug.

    The other machine runs "deadpeer dial". What happens is told as it happens:
    who came, whose answer is late, who is dead and on which evidence.

    \b
    deadpeer listen :7000
    deadpeer listen :7000 --within 5 --json

    Ends with Ctrl-C.
    """  # noqa: D301 - click wants the character itself
    heartbeat = wish(interval, timeout, within, every=every)
    screen = Screen("listen", as_json=as_json, every=every)
    on_a_loop(serve(parse_listening(address), heartbeat, screen))


async def serve(address: Address, heartbeat: Heartbeat, screen: Screen) -> None:
    """
    Serve until cancelled.

    Args:
        address: Where to listen; an empty host is everywhere.
        heartbeat: The wish.
        screen: What it is told to.
    """
    server = serve_peers(
        host=address.host or None,
        port=address.port,
        heartbeat=heartbeat,
        on_message=lambda _peer, _message: None,
        on_change=screen.tell_change,
    )
    async with server:
        for sock in server.sockets:
            host, port = sock.getsockname()[:2]
            where = str(Address(host=host, port=port))
            screen.tell({"event": "listening", "address": where})
        with screen.showing(lambda: server.registry):
            await asyncio.get_running_loop().create_future()
