"""The options that ``listen`` and ``dial`` have in common."""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

import click

from deadpeer.cli.durations import SECONDS
from deadpeer.cli.root import EXIT_TERMINATED
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.policy.keepalive import require_seconds

__all__ = ["heartbeat_options", "on_a_loop", "wish"]

Command = Callable[..., Any]

QUICK = Heartbeat(interval=2.0, timeout=2.0)


def heartbeat_options(command: Command) -> Command:
    """
    Add the options to a command.

    Args:
        command: A click command's function.
    """
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
        command = option(command)
    return command


def wish(
    interval: float | None,
    timeout: float | None,
    within: float | None,
    *,
    every: float,
) -> Heartbeat:
    """
    Return the heartbeat that the options ask for.

    Args:
        interval: As given, in seconds.
        timeout: As given, in seconds.
        within: As given, in seconds.
        every: As given, in seconds; zero for never.

    Raises:
        ConfigError: A value is out of range.
    """
    require_seconds("every", every, zero=True)
    if within is None:
        return Heartbeat(
            interval=QUICK.interval if interval is None else interval,
            timeout=QUICK.timeout if timeout is None else timeout,
        )
    if interval is not None or timeout is not None:
        raise click.UsageError("--within chooses --interval and --timeout itself")
    return Heartbeat.within(within)


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
