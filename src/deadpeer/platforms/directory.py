"""All rows, and how to find one by its name."""

from deadpeer.errors import ConfigError
from deadpeer.platforms.bsd import (
    DRAGONFLY,
    DRAGONFLY_BEFORE_5_8,
    FREEBSD,
    MACOS,
    NETBSD,
    OPENBSD,
)
from deadpeer.platforms.linux import LINUX
from deadpeer.platforms.rows import Platform
from deadpeer.platforms.solaris import ILLUMOS, SOLARIS, SOLARIS_BEFORE_11_4
from deadpeer.platforms.windows import WINDOWS, WINDOWS_BEFORE_1709

__all__ = ["PLATFORMS", "platform_named"]

PLATFORMS: tuple[Platform, ...] = (
    LINUX,
    MACOS,
    WINDOWS,
    WINDOWS_BEFORE_1709,
    FREEBSD,
    NETBSD,
    OPENBSD,
    DRAGONFLY,
    DRAGONFLY_BEFORE_5_8,
    SOLARIS,
    SOLARIS_BEFORE_11_4,
    ILLUMOS,
)


def platform_named(name: str) -> Platform:
    """
    Return the row of that name.

    Args:
        name: Such as ``linux``; upper case counts as lower case.

    Raises:
        ConfigError: There is no such row; the hint lists those there are.

    >>> platform_named("macOS").options["idle"].name
    'TCP_KEEPALIVE'
    """
    for row in PLATFORMS:
        if isinstance(name, str) and row.name == name.lower():
            return row
    raise ConfigError(
        f"{name!r} is not the name of a platform",
        hint=f"one of {', '.join(row.name for row in PLATFORMS)}",
        field="platform",
        value=name,
    )
