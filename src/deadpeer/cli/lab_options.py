"""The options of ``deadpeer lab`` that are more than a number: read and checked."""

from collections.abc import Iterable

import click
from click.core import ParameterSource

from deadpeer.cli.durations import SECONDS
from deadpeer.policy.keepalive import Keepalive

__all__ = ["FAMILIES", "SETTINGS", "Settings", "refuse_together"]

FAMILIES = {"4": (4,), "6": (6,), "both": (4, 6)}

FEWEST = 3
MOST = 4


class Settings(click.ParamType):  # type: ignore[type-arg]
    """
    A socket's settings in one word: ``IDLE,INTERVAL,PROBES[,USER_TIMEOUT]``.

    Whether a kernel takes the values is for the policy to judge.
    """

    name = "settings"

    def convert(
        self,
        value: object,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Keepalive:
        """Return the settings, or fail with a usage error."""
        if isinstance(value, Keepalive):
            return value
        parts = str(value).split(",")
        if not FEWEST <= len(parts) <= MOST or not parts[2].strip().isdecimal():
            self.fail(
                f"{value!r} is not IDLE,INTERVAL,PROBES[,USER_TIMEOUT]"
                " (write 5,1,3 or 5,1,3,4.5)",
                param,
                ctx,
            )
        idle, interval, *rest = (
            SECONDS.convert(part, param, ctx) for part in parts[:2] + parts[3:]
        )
        return Keepalive(
            idle=idle,
            interval=interval,
            probes=int(parts[2]),
            user_timeout=rest[0] if rest else None,
        )


SETTINGS = Settings()


def refuse_together(ctx: click.Context, name: str, others: Iterable[str]) -> None:
    """
    Fail if an option is given together with one that it leaves without a meaning.

    Args:
        ctx: The command's context.
        name: The option's parameter.
        others: The others' parameters.
    """
    flags = {
        param.name: max(_spellings(ctx, param), key=len)
        for param in reversed(ctx.command.params)
        if ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
    }
    clashes = [flags[other] for other in others if other in flags]
    if name in flags and clashes:
        raise click.UsageError(
            f"{flags[name]} and {clashes[0]} do not go together", ctx
        )


def _spellings(ctx: click.Context, param: click.Parameter) -> list[str]:
    """Return how an option is written that has the value which it has."""
    denied = param.secondary_opts and not ctx.params.get(param.name or "")
    return param.secondary_opts if denied else param.opts
