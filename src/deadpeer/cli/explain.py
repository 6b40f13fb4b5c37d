"""``deadpeer explain``: what settings promise, or which settings keep a promise."""

import sys
from dataclasses import replace

import click

from deadpeer.cli.durations import SECONDS
from deadpeer.cli.explanation import Explanation, as_data, print_text
from deadpeer.cli.output import print_json
from deadpeer.cli.shared_options import ALLOW_STALLED_READER, JSON, RTT
from deadpeer.cli.snippets import TARGETS, settings_for
from deadpeer.errors import ConfigError
from deadpeer.kernel.current_platform import this_platform
from deadpeer.kernel.sysctl.values import effective_defaults
from deadpeer.platforms import PLATFORMS, Defaults, Name, Platform, platform_named
from deadpeer.policy import Keepalive, assess, plan

__all__ = ["command"]

# What every Linux takes that is in use.
OLD: tuple[Name, ...] = ("idle", "interval", "probes", "user_timeout")


@click.command()
@click.option(
    "--within",
    type=SECONDS,
    metavar="SECONDS",
    help="Plan settings under which a death is reported within this time.",
)
@ALLOW_STALLED_READER
@click.option(
    "--time",
    "idle",
    type=SECONDS,
    metavar="SECONDS",
    help="Judge: silence before the first probe (TCP_KEEPIDLE).",
)
@click.option(
    "--interval",
    type=SECONDS,
    metavar="SECONDS",
    help="Judge: time between probes (TCP_KEEPINTVL).",
)
@click.option(
    "--probes",
    type=int,
    metavar="COUNT",
    help="Judge: unanswered probes that end a connection (TCP_KEEPCNT).",
)
@click.option(
    "--user-timeout",
    type=SECONDS,
    metavar="SECONDS",
    help="Judge: how long sent data may stay unacknowledged (TCP_USER_TIMEOUT).",
)
@RTT
@click.option(
    "--platform",
    "platform_name",
    type=click.Choice([row.name for row in PLATFORMS]),
    metavar="NAME",
    help="The system that the socket is on; this one if not given. One of: "
    + ", ".join(row.name for row in PLATFORMS),
)
@click.option(
    "--code",
    is_flag=True,
    help="Print ready lines for the LANGUAGEs that follow, or for all.",
)
@JSON
@click.argument(
    "languages",
    metavar="[LANGUAGE]...",
    nargs=-1,
    type=click.Choice(list(TARGETS)),
)
def command(
    *,
    within: float | None,
    allow_stalled_reader: bool,
    idle: float | None,
    interval: float | None,
    probes: int | None,
    user_timeout: float | None,
    rtt: float | None,
    platform_name: str | None,
    code: bool,
    as_json: bool,
    languages: tuple[str, ...],
) -> None:
    """
    Say when a dead peer would be noticed, and plan settings.

    With --within: settings that keep this promise, in whatever state the
    connection is. With --time, --interval, --probes or --user-timeout: what
    these settings promise; what is not given is this system's own. With
    neither: what this system's settings promise to a program that turns
    SO_KEEPALIVE on.

    \b
    deadpeer explain --within 10
    deadpeer explain --within 10 --code go nginx
    deadpeer explain --time 5 --interval 1 --probes 1

    LANGUAGE is one of: python, deadpeer, c, go, rust, nginx, haproxy,
    postgresql, libpq, redis, systemd, kubernetes.
    """  # noqa: D301 - click wants the character itself
    asked = Keepalive(
        idle=idle, interval=interval, probes=probes, user_timeout=user_timeout
    )
    _require_sense(
        planned=within is not None,
        judged=asked != Keepalive(),
        stalled_reader=allow_stalled_reader,
        code=code,
        languages=languages,
    )
    platform = platform_named(platform_name) if platform_name else this_platform()
    defaults = _defaults_of(platform)
    if within is None:
        explanation = _judged(asked, rtt, platform, defaults)
    else:
        found = plan(
            within=within,
            rtt=rtt,
            platform=platform,
            defaults=defaults,
            allow_stalled_reader=allow_stalled_reader,
        )
        explanation = Explanation(
            within=within,
            origin="plan",
            platform=platform,
            assessment=found.assessment,
        )
    snippets = _snippets(explanation, rtt, defaults, languages) if code else {}
    if as_json:
        print_json("explain", as_data(explanation, snippets))
    elif code:
        _print_code(snippets)
    else:
        print_text(explanation)


def _require_sense(
    *,
    planned: bool,
    judged: bool,
    stalled_reader: bool,
    code: bool,
    languages: tuple[str, ...],
) -> None:
    if planned and judged:
        raise click.UsageError(
            "give a promise (--within) or settings to judge, not both",
            click.get_current_context(),
        )
    if stalled_reader and not planned:
        raise click.UsageError(
            "--allow-stalled-reader is for plans: give --within too",
            click.get_current_context(),
        )
    if languages and not code:
        raise click.UsageError(
            f"unexpected {languages[0]!r}: a language comes after --code",
            click.get_current_context(),
        )


def _defaults_of(platform: Platform) -> Defaults:
    """Return this system's settings if it is of that kind, else the row's."""
    if platform.name == "linux" and sys.platform == "linux":
        return effective_defaults()
    return platform.defaults


def _judged(
    asked: Keepalive, rtt: float | None, platform: Platform, defaults: Defaults
) -> Explanation:
    nothing = asked == Keepalive()
    # A value that no kernel takes is refused here, with its range.
    settings = Keepalive(on=True) if nothing else asked.rounded(platform)
    return Explanation(
        within=None,
        origin="assumed" if nothing else "given",
        platform=platform,
        assessment=assess(
            settings, rtt=rtt or 0.0, defaults=defaults, platform=platform
        ),
    )


def _snippets(
    explanation: Explanation,
    rtt: float | None,
    defaults: Defaults,
    languages: tuple[str, ...],
) -> dict[str, str]:
    settings = settings_for(
        _portable(explanation, rtt, defaults),
        within=explanation.within,
        rtt=rtt,
        defaults=defaults,
    )
    return {name: TARGETS[name].text(settings) for name in languages or TARGETS}


def _portable(
    explanation: Explanation, rtt: float | None, defaults: Defaults
) -> Keepalive:
    """
    Return settings that older kernels take, too, if they can keep the promise.

    Code is written for other machines than this one. On Linux before 6.15 a
    program that sets ``TCP_RTO_MAX_MS`` fails.
    """
    keepalive = explanation.assessment.keepalive
    if explanation.within is None or not keepalive.user_timeout:
        return keepalive  # nothing was planned, or this very option is needed
    platform = explanation.platform
    options = {name: row for name, row in platform.options.items() if name in OLD}
    try:
        return plan(
            within=explanation.within,
            rtt=rtt,
            platform=replace(platform, options=options),
            defaults=defaults,
        ).keepalive
    except ConfigError:
        return keepalive  # only with it can this promise be kept


def _print_code(snippets: dict[str, str]) -> None:
    """Print code as it is; with a heading in its own comments if there are more."""
    several = len(snippets) > 1
    for number, (name, text) in enumerate(snippets.items()):
        target = TARGETS[name]
        heading = f"{target.comment} -- {target.title} --\n" if several else ""
        click.echo(("\n" if number else "") + heading + text, nl=False)
