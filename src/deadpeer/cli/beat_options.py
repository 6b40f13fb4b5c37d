"""The options that ``listen`` and ``dial`` have in common."""

import asyncio
import functools
import logging
import os
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import click

from deadpeer.cli.durations import SECONDS
from deadpeer.cli.root import EXIT_TERMINATED
from deadpeer.cli.target import Address
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.policy.keepalive import require_seconds

__all__ = ["Asked", "at_address", "heartbeat_options", "on_a_loop"]

Command = Callable[..., Any]

QUICK = Heartbeat(interval=2.0, timeout=2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """
    What the options ask for.

    Args:
        heartbeat: How a peer is judged.
        every: How many seconds a log lets pass between two round trips; 0 for ever.
        as_json: Whether a program listens.
    """

    heartbeat: Heartbeat
    every: float
    as_json: bool


def heartbeat_options(command: Command) -> Command:
    """
    Add the options to a command, which gets them as one value, *asked*.

    Args:
        command: A click command's function.
    """

    @functools.wraps(command)
    def with_options(
        *,
        interval: float | None,
        timeout: float | None,
        within: float | None,
        every: float,
        as_json: bool,
        **others: Any,
    ) -> Any:
        asked = Asked(
            heartbeat=_wish(interval, timeout, within),
            every=require_seconds("every", every, zero=True),
            as_json=as_json,
        )
        return command(asked=asked, **others)

    found: Command = with_options
    options = (
        click.option(
            "--interval",
            type=SECONDS,
            metavar="SECONDS",
            help="Silence after which the peer is asked (2).",
        ),
        click.option(
            "--timeout",
            type=SECONDS,
            metavar="SECONDS",
            help="Time for the answer; then the peer is dead (2).",
        ),
        click.option(
            "--within",
            type=SECONDS,
            metavar="SECONDS",
            help="Know a death within so long; chooses both of the others.",
        ),
        click.option(
            "--every",
            type=SECONDS,
            default=60.0,
            metavar="SECONDS",
            help="How often a log tells the round trip (60); 0 for never.",
        ),
        click.option("--json", "as_json", is_flag=True, help="One JSON object a line."),
    )
    for option in reversed(options):
        found = option(found)
    return found


def _wish(
    interval: float | None, timeout: float | None, within: float | None
) -> Heartbeat:
    """Return the heartbeat that the options ask for."""
    if within is None:
        return Heartbeat(
            interval=QUICK.interval if interval is None else interval,
            timeout=QUICK.timeout if timeout is None else timeout,
        )
    if interval is not None or timeout is not None:
        raise click.UsageError("--within chooses --interval and --timeout itself")
    return Heartbeat.within(within)


def at_address(error: OSError, address: Address) -> OSError:
    """
    Return the same error with the address, which an operating system leaves out.

    Args:
        error: What came of it.
        address: Where.
    """
    # An event loop's own words for a number hold the address as a tuple; a
    # resolver's numbers are below zero, and its words are good.
    number = error.errno or 0
    words = os.strerror(number) if number > 0 else error.strerror or str(error)
    return OSError(error.errno, words, str(address))


def on_a_loop(main: Coroutine[Any, Any, None]) -> None:
    """
    Run on uvloop where it is installed, else on asyncio.

    A SIGTERM, as a service manager sends it, ends it as well as Ctrl-C does: with
    a goodbye to every peer.

    Args:
        main: What to run.
    """
    quiet = logging.getLogger("asyncio")
    usual = quiet.level
    quiet.setLevel(logging.CRITICAL)
    run: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run
    if find_spec("uvloop") is not None:
        import uvloop

        run = uvloop.run
    try:
        run(_until_told(main))
    except asyncio.CancelledError:
        raise click.exceptions.Exit(EXIT_TERMINATED) from None
    finally:
        quiet.setLevel(usual)


async def _until_told(main: Coroutine[Any, Any, None]) -> None:
    task = asyncio.current_task()
    if task is not None:
        with suppress(NotImplementedError):  # Windows has no such signal
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTERM, task.cancel)
    await main
