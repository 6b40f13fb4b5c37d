"""
The contract of drivers, as one call for your own.

A driver stands between a ``Monitor`` and the world: it reads, sends pings, looks
when it is time and drains before a verdict. Whatever loop it runs on, it has to
tell the same as the simulated driver for the same script. If it does not, it
would end connections that live, or keep the dead.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from deadpeer.core.events import Change, Died, Online
from deadpeer.errors import ConfigError
from deadpeer.policy.keepalive import require_seconds
from deadpeer.policy.numbers import require_whole
from deadpeer.testing.known_scripts import SCRIPTS
from deadpeer.testing.scripts import Script
from deadpeer.testing.simulated import simulate

__all__ = ["Driver", "Playback", "check_driver"]

# What a promise leaves for timers and reading, in seconds.
TOLERANCE = 0.05

MOST_ATTEMPTS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Playback:
    """
    What came of a script.

    Args:
        changes: Every change that the driver told, in order, with instants in
            seconds on its own clock. ``Online`` is the first: there the script
            begins.
        lateness: Seconds by which the machine was late at worst, as somebody
            measured who is not the driver; 0 in virtual time.
    """

    changes: tuple[Change, ...]
    lateness: float = 0.0


class Driver(Protocol):
    """Who can play a script."""

    def play(self, script: Script) -> Playback:
        """
        Judge a peer that does what the script says, and do one's own steps.

        Args:
            script: What happens, and by which heartbeat the peer is judged.
        """


def check_driver(
    make_driver: Callable[[], Driver],
    *,
    scripts: Iterable[Script] | None = None,
    tolerance: float = TOLERANCE,
    tick: float = 0.0,
    attempts: int = 1,
) -> None:
    """
    Check that a driver tells the same as the simulated one, whatever happens.

    The kinds of changes, their order and the reasons of deaths have to be equal,
    the instants nearly. Where a look is due and there is something to read, too,
    a driver may do either first, as event loops differ in that.

    Args:
        make_driver: Makes a driver; called once for each script.
        scripts: What to play; all of ``SCRIPTS`` if None. A driver over real
            sockets plays those that are not ``is_virtual``, faster: ``scaled``.
        tolerance: Seconds by which an instant may differ, beside what the
            playback declares as lateness of the machine.
        tick: How coarse the driver's timers are by design, in seconds. The
            simulated driver's are then, too.
        attempts: How often to play a script on a machine that was itself late by
            more than *tolerance*, since what it tells then says little. A
            punctual playback is never repeated.

    Raises:
        AssertionError: The driver told otherwise; the message shows the script,
            what was expected and what was told.
        ConfigError: *tick* or *tolerance* is no duration, *attempts* is no count, or
            there is nothing to play.

    >>> from deadpeer.testing.simulated import simulate
    >>> class Perfect:
    ...     def play(self, script):
    ...         return Playback(changes=simulate(script))
    >>> check_driver(Perfect)
    """
    require_seconds("tolerance", tolerance, zero=True)
    require_whole("attempts", attempts, 1, MOST_ATTEMPTS)
    for script in _chosen(SCRIPTS.values() if scripts is None else scripts):
        simulated = [
            simulate(script, tick=tick, looks_first=so) for so in (False, True)
        ]
        for left in reversed(range(attempts)):
            playback = make_driver().play(script)
            _require_online(playback, script)
            allowed = tolerance + playback.lateness
            told, *expected = (
                _seen(changes, until=script.until - allowed)
                for changes in (playback.changes, *simulated)
            )
            if any(_alike(want, told, allowed) for want in expected):
                break
            if left == 0 or playback.lateness <= tolerance:
                raise AssertionError(_difference(script, expected, told, allowed))


def _chosen(scripts: Iterable[Script]) -> Sequence[Script]:
    """Return what is to be played: a contract without a script is kept by anybody."""
    chosen = [scripts] if isinstance(scripts, Script) else list(scripts)
    if not chosen or not all(isinstance(one, Script) for one in chosen):
        raise ConfigError(
            f"scripts={scripts!r} are nothing to play",
            hint="give one Script or more, such as SCRIPTS.values()",
            field="scripts",
            value=scripts,
        )
    return chosen


@dataclass(frozen=True, slots=True)
class _Seen:
    at: float
    kind: str

    def __str__(self) -> str:
        return f"{self.at:8.3f} {self.kind}"


def _seen(changes: Sequence[Change], *, until: float) -> list[_Seen]:
    """Return what can be compared; what is told at the end may be the end itself."""
    began_at = changes[0].at
    return [
        _Seen(one.at - began_at, _kind(one))
        for one in changes
        if one.at - began_at < until
    ]


def _kind(change: Change) -> str:
    name = type(change).__name__
    return f"{name} ({change.reason})" if isinstance(change, Died) else name


def _require_online(playback: Playback, script: Script) -> None:
    changes = playback.changes
    if changes and isinstance(changes[0], Online):
        return
    told = ", ".join(type(one).__name__ for one in changes) or "nothing"
    raise AssertionError(
        f"{script.name!r}: the first change has to be Online, where the script "
        f"begins; told was {told}"
    )


def _alike(expected: Sequence[_Seen], told: Sequence[_Seen], allowed: float) -> bool:
    # Online is there unless all that was told lies within what is allowed.
    return len(expected) == len(told) > 0 and all(
        _same(want, got, allowed) for want, got in zip(expected, told, strict=True)
    )


def _same(want: _Seen | None, got: _Seen | None, allowed: float) -> bool:
    if want is None or got is None:
        return False
    return want.kind == got.kind and abs(want.at - got.at) <= allowed


def _difference(
    script: Script,
    expected: Sequence[Sequence[_Seen]],
    told: Sequence[_Seen],
    allowed: float,
) -> str:
    """Show both lists side by side, with a mark where they differ."""
    lines = [
        f"the driver told otherwise than the simulation, by more than {allowed:.3f} s",
        str(script),
    ]
    titles = ["expected"]
    if expected[0] != expected[1]:
        titles = ["expected of who reads first", "or, of who looks first"]
    for title, wanted in zip(titles, expected, strict=False):
        lines.append(f"  {title:<36}told")
        if not wanted:
            lines.append("  nothing that could be compared: the script is too short")
        for want, got in itertools.zip_longest(wanted, told):
            mark = " " if _same(want, got, allowed) else "≠"
            lines.append(f"{mark} {want or '-'!s:<36}{got or '-'}")
    return "\n".join(lines)
