"""Plans for the running system: its platform, and what its settings are now."""

from deadpeer.kernel.current_platform import this_platform
from deadpeer.kernel.inspection import system_defaults
from deadpeer.policy import Plan, plan

__all__ = ["plan_here"]


def plan_here(
    *, within: float, rtt: float | None, allow_stalled_reader: bool = False
) -> Plan:
    """
    Return the plan for a connection that this process makes.

    Args:
        within: Seconds within which a death is to be reported.
        rtt: The longest round trip of the path, in seconds; None takes a usual one.
        allow_stalled_reader: As for ``plan``.

    Raises:
        ConfigError: The promise cannot be kept.
        UnsupportedError: This system cannot give a promise, or is not known.
        KernelRefused: No descriptor is left to read the system's settings with.
    """
    row = this_platform()
    return plan(
        within=within,
        rtt=rtt,
        platform=row,
        defaults=system_defaults(row),
        allow_stalled_reader=allow_stalled_reader,
    )
