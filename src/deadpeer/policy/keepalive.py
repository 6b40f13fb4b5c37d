"""
The value: TCP keepalive settings, free of platforms until they are asked for.

Durations are seconds; a system's own units and ranges come in only with
``in_units``, which is where everything is checked, before any system call.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from deadpeer.errors import ConfigError, UnsupportedError
from deadpeer.platforms import LINUX, Defaults, Name, Option, Platform
from deadpeer.policy.numbers import is_number

__all__ = ["Keepalive", "require_seconds"]

# The order in which the settings are named, shown and applied.
NAMES: tuple[Name, ...] = ("idle", "interval", "probes", "user_timeout", "rto_max")

LARGEST = math.nextafter(math.inf, 0.0)

# No system counts probes in more than a C int; each has its own range below.
MOST = 2**31 - 1

# Kernel units are whole numbers; a product such as 4.1 s × 1000 may come out
# one part in 10^16 too large and must not be rounded up for that.
EXACT = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Keepalive:
    """
    Keepalive settings of one socket; a field that is None is left alone.

    Args:
        idle: Seconds of silence before the first probe.
        interval: Seconds between probes.
        probes: How many unanswered probes end the connection. Linux ignores it
            where a user timeout is set.
        user_timeout: Seconds for which sent data may stay unacknowledged; 0
            switches this limit off.
        rto_max: The longest pause between two retransmissions, in seconds
            (Linux 6.15 or later).
        on: Whether ``SO_KEEPALIVE`` is on. None turns it on if *idle*,
            *interval* or *probes* is given, and leaves it alone otherwise.

    Raises:
        ConfigError: A value is not a number, not finite, negative, or zero
            where zero means nothing.

    Source:
        Linux tcp(7); RFC 1122, section 4.2.3.6.

    >>> Keepalive(idle=4, interval=1, probes=3)
    Keepalive(idle=4, interval=1, probes=3)
    """

    idle: float | None = None
    interval: float | None = None
    probes: int | None = None
    user_timeout: float | None = None
    rto_max: float | None = None
    on: bool | None = None

    def __post_init__(self) -> None:
        for name in ("idle", "interval", "user_timeout", "rto_max"):
            value = getattr(self, name)
            if value is not None:
                require_seconds(name, value, zero=name == "user_timeout")
        if self.probes is not None:
            _require_count("probes", self.probes)
        if self.on not in (None, True, False):
            raise ConfigError(
                f"on={self.on!r} is neither True, False nor None",
                hint="True turns SO_KEEPALIVE on, None leaves it alone",
                field="on",
                value=self.on,
            )

    def __repr__(self) -> str:
        given = [(f.name, getattr(self, f.name)) for f in fields(self)]
        inside = ", ".join(f"{name}={v!r}" for name, v in given if v is not None)
        return f"Keepalive({inside})"

    @property
    def wants_on(self) -> bool | None:
        """What ``SO_KEEPALIVE`` becomes: True, False, or None to leave it alone."""
        if self.on is not None:
            return self.on
        timed = (self.idle, self.interval, self.probes)
        return True if any(value is not None for value in timed) else None

    def in_units(self, platform: Platform = LINUX) -> dict[Name, int]:
        """
        Return the given fields in the platform's own units, rounded up.

        Rounded up, because zero means something else to every kernel, and
        because a promise was made for the value that was asked for or more.

        Args:
            platform: The row to check against.

        Returns:
            Whole numbers in the option's unit, in the order to apply them.

        Raises:
            UnsupportedError: The platform has no such option.
            ConfigError: The value is outside the option's range.

        >>> Keepalive(idle=1.2, user_timeout=4.1).in_units()
        {'idle': 2, 'user_timeout': 4100}
        """
        given = ((name, getattr(self, name)) for name in NAMES)
        return {
            name: _in_units(name, value, platform)
            for name, value in given
            if value is not None
        }

    def rounded(self, platform: Platform = LINUX) -> Self:
        """
        Return the settings as the platform's kernel will hold them.

        Args:
            platform: The row that says which units and ranges there are.

        Raises:
            UnsupportedError: The platform has no such option.
            ConfigError: The value is outside the option's range.

        >>> Keepalive(idle=1.2, user_timeout=4.1).rounded()
        Keepalive(idle=2, user_timeout=4.1)
        """
        return self.from_units(self.in_units(platform), platform=platform, on=self.on)

    @classmethod
    def from_units(
        cls,
        units: Mapping[Name, int],
        *,
        platform: Platform = LINUX,
        on: bool | None = None,
    ) -> Self:
        """
        Return the settings that a kernel reported.

        Args:
            units: Values in the platform's own units, by our name for them.
            platform: The row that says what the units are.
            on: What ``SO_KEEPALIVE`` is, if it was asked.

        Raises:
            ConfigError: A value is none that a socket can have.

        >>> Keepalive.from_units({"idle": 7200, "user_timeout": 0}, on=False)
        Keepalive(idle=7200, user_timeout=0.0, on=False)
        """
        values: dict[str, float] = {}
        for name, number in units.items():
            unit = platform.options[name].unit
            # Dividing by a whole number is exact where multiplying by 0.001
            # would not be.
            values[name] = number if unit == 1.0 else number / round(1 / unit)
        return cls(on=on, **values)  # type: ignore[arg-type]

    def over(self, defaults: Defaults) -> Self:
        """
        Return what is in force: these settings, and the system's elsewhere.

        Args:
            defaults: What the system gives to a socket that sets nothing.

        Returns:
            Settings with no field left open. A user timeout of 0 is off.

        >>> Keepalive(idle=60).over(Defaults())
        Keepalive(idle=60, interval=75.0, probes=9, user_timeout=0.0, rto_max=120.0, on=True)
        """

        def given(value: float | None, default: float) -> Any:
            return default if value is None else value

        return replace(
            self,
            idle=given(self.idle, defaults.idle),
            interval=given(self.interval, defaults.interval),
            probes=given(self.probes, defaults.probes),
            user_timeout=given(self.user_timeout, 0.0),
            rto_max=given(self.rto_max, defaults.rto_max),
            on=bool(self.wants_on),
        )


def require_seconds(
    name: str, value: object, *, zero: bool = False, most: float = LARGEST
) -> float:
    """
    Return *value* if it is a usable duration.

    Args:
        name: What the caller's argument is called, for the error.
        value: The duration, in seconds.
        zero: Whether zero is allowed.
        most: The longest that makes sense, in seconds.

    Raises:
        ConfigError: It is not a finite positive number, or too large.
    """
    # A whole number may be larger than any float; NaN is in no range.
    if is_number(value) and 0 <= value <= most and (value > 0 or zero):
        return value
    lowest = "zero or more" if zero else "more than zero"
    highest = f" and at most {most:g}" if most < LARGEST else ""
    raise ConfigError(
        f"{name}={value!r} is not a duration",
        hint=f"give seconds as a finite number, {lowest}{highest}",
        field=name,
        value=value,
    )


def _require_count(name: str, value: object) -> None:
    if isinstance(value, int) and is_number(value) and 0 < value <= MOST:
        return
    raise ConfigError(
        f"{name}={value!r} is not a count",
        hint="give a whole number, one or more",
        field=name,
        value=value,
    )


def _in_units(name: Name, value: float, platform: Platform) -> int:
    option = platform.options.get(name)
    if option is None:
        instead = platform.absent.get(name)
        raise UnsupportedError(
            f"{platform.title} has no option for {name}"
            + (f" (in its place: {instead})" if instead else ""),
            hint=f"leave {name} out there, or use heartbeats",
            option=name,
            platform=platform.name,
        )
    if value == 0 and option.zero_is_off:
        return 0
    try:
        units = math.ceil(value / option.unit * (1 - EXACT))
    except OverflowError:  # a float near the largest, divided by 0.001
        units = option.highest + 1
    if option.lowest <= units <= option.highest:
        return units
    raise _outside(name, value, option, platform)


def _outside(
    name: Name, value: float, option: Option, platform: Platform
) -> ConfigError:
    lowest, highest = option.lowest * option.unit, option.highest * option.unit
    unit = "" if name == "probes" else " s"
    bound = f"{lowest:g}{unit} to {highest:.10g}{unit}"
    nearest = lowest if value < lowest else highest
    return ConfigError(
        f"{name}={value!r} is outside what {platform.title} takes"
        f" for {option.name}, {bound}",
        hint=f"the nearest it takes is {nearest:.10g}",
        field=name,
        value=value,
    )
