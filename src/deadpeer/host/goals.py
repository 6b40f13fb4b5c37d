"""What is wanted of others' sockets: one promise, and what it comes to for each."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from deadpeer.kernel.protection import planned
from deadpeer.platforms import Defaults, Platform
from deadpeer.policy import Keepalive, Plan, assess

__all__ = ["Goal", "merged", "worst_of"]

# Round trips are planned for in steps, so that thousands of connections share a
# few plans; in seconds.
STEP = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """
    What is wanted of every socket.

    Args:
        within: Seconds from a peer's death to the error.
        rtt: The longest round trip of the paths, in seconds; None takes a usual
            one, or what a connection has measured if that is longer.
        allow_stalled_reader: Never end a live peer for not reading.
    """

    within: float
    rtt: float | None = None
    allow_stalled_reader: bool = False

    def settings(
        self, *, measured: float | None, defaults: Defaults, platform: Platform
    ) -> Plan:
        """
        Return the settings that reach it, and what else they mean.

        Args:
            measured: The round trip that the kernel has measured, in seconds.
            defaults: The settings of the socket's namespace.
            platform: The row of the system.

        Raises:
            ConfigError: No settings reach it on this path.
            UnsupportedError: The platform can give no promise.
        """
        if measured is not None:
            measured = math.ceil(measured / STEP) * STEP
        return planned(
            within=self.within,
            rtt=self.rtt,
            measured=measured,
            platform=platform,
            defaults=defaults,
            allow_stalled_reader=self.allow_stalled_reader,
        )


@lru_cache(maxsize=1024)
def worst_of(
    keepalive: Keepalive, rtt: float, defaults: Defaults, platform: Platform
) -> float:
    """
    Return the latest detection that settings come to, in seconds.

    Args:
        keepalive: The settings.
        rtt: The round trip of the path, in seconds.
        defaults: The settings of the socket's namespace.
        platform: The row of the system.

    Raises:
        ConfigError: *rtt* is not a duration.
    """
    return assess(keepalive, rtt=rtt, defaults=defaults, platform=platform).worst


def merged(before: Keepalive, wanted: Keepalive, platform: Platform) -> Keepalive:
    """
    Return what is in force once *wanted* is set.

    Args:
        before: What is in force.
        wanted: What is set; what it leaves open stays as it is.
        platform: The row of the system.
    """
    rounded = wanted.rounded(platform)
    given = {
        name: value
        for name in ("idle", "interval", "probes", "user_timeout", "rto_max")
        if (value := getattr(rounded, name)) is not None
    }
    return replace(before, **given, on=True)
