"""
One promise, ``within``, turned into settings that keep it.

The promise runs from the peer's death and survives changes of state. Its worst
case is an idle peer that dies just after it was heard, and a write just before
the last keepalive tick: that write starts the user timeout anew. So the last
tick and the user timeout share ``within``, roughly half and half.

The user timeout also decides which keepalive tick is the last: it must lie
after the tick before, or too few probes would go unanswered, and not after the
last tick itself. That leaves one interval for it.
"""

from dataclasses import dataclass
from functools import lru_cache

from deadpeer.errors import ConfigError, UnsupportedError
from deadpeer.platforms import LINUX, Defaults, Platform
from deadpeer.policy.assess import Assessment
from deadpeer.policy.keepalive import Keepalive, require_seconds
from deadpeer.policy.search import Search

__all__ = ["DAY", "Plan", "plan", "smallest"]

DAY = 86_400.0

# What a path whose round trip nobody named is planned for: the first of these,
# in seconds, that the promise has room for.
USUAL_RTTS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    Settings that keep a promise, and what else they mean.

    Args:
        within: The promise: seconds from a peer's death to its report.
        keepalive: The settings to apply.
        rtt: The longest round-trip time, in seconds, that was planned for.
        assessment: Bounds for each state, traffic, warnings.
    """

    within: float
    keepalive: Keepalive
    rtt: float
    assessment: Assessment


def plan(
    *,
    within: float,
    rtt: float | None = None,
    platform: Platform = LINUX,
    defaults: Defaults | None = None,
    allow_stalled_reader: bool = False,
) -> Plan:
    """
    Return settings under which a peer's death is reported within *within*.

    Whatever the connection is doing when the peer dies, and whatever it does
    afterwards: no later than *within*, after at least two unanswered probes,
    and a live peer survives an outage of ``within / 8`` (in a few cases up to a
    twentieth less) in every state of an established connection. Behind a closed
    window the system's ``tcp_retries2`` may end it sooner, by default after some
    nine minutes, which no option of a socket prevents; a warning then says so.

    Args:
        within: Seconds from the death to its report, a day at the most.
        rtt: The longest round-trip time of the path, in seconds. None plans
            for 0.2 s, or for the largest usual one that *within* has room for;
            the plan says which.
        platform: The row of the system that the socket is on.
        defaults: That system's settings; the platform's own if None.
        allow_stalled_reader: Never end a live peer for not reading. This takes
            ``TCP_RTO_MAX_MS`` (Linux 6.15) in place of the user timeout, and a
            promise of about 20 s or more.

    Returns:
        The plan. Its settings are whole in the platform's units.

    Raises:
        ConfigError: No settings can keep this promise; says which is the
            smallest that can be kept.
        UnsupportedError: The platform lacks an option without which no promise
            holds in every state.

    Source:
        docs/explanation/detection-times.md derives the rules.

    >>> plan(within=10).keepalive
    Keepalive(idle=1, interval=1, user_timeout=3.478, rto_max=1.26)
    """
    require_seconds("within", within)
    if rtt is not None:
        require_seconds("rtt", rtt, zero=True)
    _require_options(platform, allow_stalled_reader=allow_stalled_reader)
    if within > DAY:
        raise ConfigError(
            f"within={within!r} is longer than a day",
            hint="the longest promise is 86400 s",
            field="within",
            value=within,
        )
    return _searched(
        within, rtt, platform, defaults or platform.defaults, bool(allow_stalled_reader)
    )


# A server asks for the same promise on every connection that it accepts.
@lru_cache(maxsize=1024)
def _searched(
    within: float,
    rtt: float | None,
    platform: Platform,
    defaults: Defaults,
    stalled_reader: bool,  # noqa: FBT001 -- lru_cache keys are cheaper by position
) -> Plan:
    path = Search(defaults, platform, stalled_reader=stalled_reader)
    for candidate in USUAL_RTTS if rtt is None else (rtt,):
        best = path.best(within, candidate)
        if best is not None:
            return Plan(
                within=within,
                keepalive=best.keepalive,
                rtt=candidate,
                assessment=best,
            )
    longest = USUAL_RTTS[-1] if rtt is None else rtt
    least = _least(longest, platform, defaults, stalled_reader)
    raise _refused(within, longest, path, least=least)


# To find it takes some hundred plans; to be refused once and again need not.
@lru_cache(maxsize=1024)
def _least(
    rtt: float,
    platform: Platform,
    defaults: Defaults,
    stalled_reader: bool,  # noqa: FBT001 -- as above
) -> float | None:
    return Search(defaults, platform, stalled_reader=stalled_reader).smallest(rtt)


def smallest(
    *,
    rtt: float = 0.0,
    platform: Platform = LINUX,
    defaults: Defaults | None = None,
    allow_stalled_reader: bool = False,
) -> float:
    """
    Return the smallest promise that can honestly be given.

    Args:
        rtt: The longest round-trip time of the path, in seconds.
        platform: The row of the system that the socket is on.
        defaults: That system's settings; the platform's own if None.
        allow_stalled_reader: As for ``plan``.

    Returns:
        Seconds, rounded up to hundredths.

    Raises:
        ConfigError: *rtt* is no duration, or so long that nothing can be promised.
        UnsupportedError: The platform can give no promise.
    """
    require_seconds("rtt", rtt, zero=True)
    _require_options(platform, allow_stalled_reader=allow_stalled_reader)
    defaults = defaults or platform.defaults
    least = _least(rtt, platform, defaults, bool(allow_stalled_reader))
    if least is None:
        path = Search(defaults, platform, stalled_reader=allow_stalled_reader)
        raise _refused(DAY, rtt, path, least=None)
    return least


def _require_options(platform: Platform, *, allow_stalled_reader: bool) -> None:
    patience = "rto_max" if allow_stalled_reader else "user_timeout"
    for name in ("idle", "interval", patience):
        if name not in platform.options:
            raise UnsupportedError(
                f"{platform.title} has no option for {name}, so no promise can be"
                " kept in every state",
                hint="set Keepalive(...) for what it can do, and use heartbeats",
                option=name,
                platform=platform.name,
            )
    if not platform.probes_yield:
        raise UnsupportedError(
            f"how {platform.title} times out behind a closed window was not measured,"
            " so no promise can be given",
            hint="set Keepalive(...) for what it can do, and use heartbeats",
            option=platform.options["user_timeout"].name,
            platform=platform.name,
        )


def _refused(
    within: float, rtt: float, path: Search, *, least: float | None
) -> ConfigError:
    problem = f"within={within!r} cannot be promised at a round trip of {rtt:g} s"
    hint = "for less use heartbeats, which need no kernel timers"
    following = None
    if least is not None and least <= within <= path.quick:
        following = path.smallest(rtt, above=within)
    if least is None:
        why = "no settings are both quick and patient enough there"
        hint = "promise more, or use heartbeats, which need no kernel timers"
    elif within < least:
        why = f"the smallest promise is {least:g} s"
    elif following is not None:
        why = "the kernel counts in whole seconds, which leaves a gap here"
        hint = f"the next promise is {following:g} s"
    else:
        why = "data in flight is given up before an outage of an eighth of that ends"
        hint = "promise less, or plan without allow_stalled_reader"
    return ConfigError(f"{problem}: {why}", hint=hint, field="within", value=within)
