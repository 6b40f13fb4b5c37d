"""``deadpeer dial``: the other end of a real cable."""

import asyncio
import random

import click

from deadpeer.aio.connection import Connection
from deadpeer.aio.opening import connect_peer
from deadpeer.cli.beat_options import Asked, at_address, heartbeat_options, on_a_loop
from deadpeer.cli.beat_screen import Screen
from deadpeer.cli.durations import SECONDS
from deadpeer.cli.target import Address, parse_address
from deadpeer.errors import ConfigError, DeadPeerError, PeerClosed
from deadpeer.policy.backoff import Backoff
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.policy.keepalive import require_seconds

__all__ = ["command"]


@click.command()
@click.argument("address", metavar="HOST:PORT")
@heartbeat_options
@click.option(
    "--connect-timeout",
    type=SECONDS,
    default=10.0,
    metavar="SECONDS",
    help="How long to wait for the connection (10).",
)
@click.option("--again", is_flag=True, help="Dial again whenever the peer is gone.")
def command(*, address: str, asked: Asked, connect_timeout: float, again: bool) -> None:
    """
    Connect to "deadpeer listen" on another machine, and judge it.

    Live state, round trips and what happened when, until somebody really pulls
    the plug.

    \b
    deadpeer dial server.example:7000 --interval 2
    deadpeer dial server.example:7000 --within 5 --again --json

    Exits with 10 if the peer is dead, with 0 if it closed.
    """  # noqa: D301 - click wants the character itself
    require_seconds("connect-timeout", connect_timeout)
    target = parse_address(address)
    main = dial_again if again else dial
    screen = Screen("dial", asked)
    on_a_loop(main(target, asked.heartbeat, screen, connect_timeout))


async def dial(
    address: Address, heartbeat: Heartbeat, screen: Screen, within: float
) -> None:
    """
    Connect once, and stay until it is over.

    Args:
        address: Where to.
        heartbeat: The wish.
        screen: What it is told to.
        within: Seconds for the connection.

    Raises:
        PeerDead: The peer is dead.
        RemoteProtocolError: The peer broke the protocol.
        OSError: There is no connection; with the address as its file name.
    """
    screen.tell({"event": "dialling", "address": str(address)})
    present: list[Connection] = []
    with screen.showing(lambda: present):
        connecting = connect_peer(
            address.host,
            address.port,
            heartbeat=heartbeat,
            within=within,
            on_change=screen.tell_change,
        )
        try:
            peer = await connecting
        except DeadPeerError:
            raise
        except OSError as error:
            raise at_address(error, address) from error
        async with peer:
            present.append(peer)
            async for _ in peer:
                pass


async def dial_again(
    address: Address, heartbeat: Heartbeat, screen: Screen, within: float
) -> None:
    """
    Connect, and again whenever it is over, with full jitter in between.

    Args:
        address: Where to.
        heartbeat: The wish.
        screen: What it is told to.
        within: Seconds for each connection.

    Raises:
        ConfigError: A value cannot work, and will not the next time.
    """
    backoff = Backoff()
    attempt = 0
    while True:
        started_at = asyncio.get_running_loop().time()
        try:
            await dial(address, heartbeat, screen, within)
            why = "the peer said goodbye"
        except ConfigError:
            raise
        except PeerClosed as error:
            why = error.message
        except DeadPeerError as error:
            why = str(error)
        except OSError as error:
            why = f"{error.filename or address}: {error.strerror or error}"
        lasted = asyncio.get_running_loop().time() - started_at
        attempt = backoff.following(attempt, lasted=lasted)
        delay = backoff.delay(attempt, chance=random.random())  # noqa: S311
        screen.tell({"event": "retry", "delay": delay, "why": why})
        await asyncio.sleep(delay)
