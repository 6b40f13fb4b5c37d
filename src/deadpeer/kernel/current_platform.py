"""Which row of the platform table this process runs on."""

import os
import re
import socket
import sys
from dataclasses import replace
from functools import cache

from deadpeer.errors import UnsupportedError
from deadpeer.platforms import (
    DRAGONFLY,
    DRAGONFLY_BEFORE_5_8,
    FREEBSD,
    ILLUMOS,
    LINUX,
    MACOS,
    NETBSD,
    OPENBSD,
    PLATFORMS,
    SOLARIS,
    SOLARIS_BEFORE_11_4,
    WINDOWS,
    WINDOWS_BEFORE_1709,
    Platform,
)

__all__ = ["platform_of", "this_platform"]

# What sys.platform starts with, for systems with one row.
STEADY: dict[str, Platform] = {
    "linux": LINUX,
    "android": LINUX,
    "darwin": MACOS,
    "ios": MACOS,
    "freebsd": FREEBSD,
    "netbsd": NETBSD,
    "openbsd": OPENBSD,
}

# Windows 10 1709: golang/go src/internal/syscall/windows/version_windows.go.
FIRST_BUILD_WITH_OPTIONS = 16299


def platform_of(
    system: str, *, release: str = "", version: str = "", build: int = 0
) -> Platform:
    """
    Return the row of a system that is described by what it says of itself.

    Args:
        system: ``sys.platform`` there.
        release: ``os.uname().release`` there; decides between eras of
            DragonFly BSD.
        version: ``os.uname().version`` there; tells Solaris from illumos.
        build: Windows' build number.

    Raises:
        UnsupportedError: The table has no row for it.

    >>> platform_of("win32", build=15063).name
    'windows-before-1709'
    """
    for start, row in STEADY.items():
        if system.startswith(start):
            return row
    if system == "win32":
        return WINDOWS if build >= FIRST_BUILD_WITH_OPTIONS else WINDOWS_BEFORE_1709
    if system.startswith("dragonfly"):
        return DRAGONFLY if _numbers(release) >= (5, 8) else DRAGONFLY_BEFORE_5_8
    if system.startswith("sunos"):
        return _sun(release, version)
    raise UnsupportedError(
        f"there is no row for the system that calls itself {system!r}",
        hint=f"the table has {', '.join(row.name for row in PLATFORMS)}",
        platform=system,
    )


@cache
def this_platform() -> Platform:
    """
    Return the row of the system that this process runs on.

    Options that the running kernel does not know (``TCP_RTO_MAX_MS`` before
    Linux 6.15, say) are moved from the row's options to what is absent. The
    kernel is asked once, on a socket made for it.

    Raises:
        UnsupportedError: The table has no row for this system.
    """
    uname = os.uname() if hasattr(os, "uname") else None
    row = platform_of(
        sys.platform,
        release=uname.release if uname else "",
        version=uname.version if uname else "",
        build=_windows_build(),
    )
    # The switch has another number on some architectures (Linux on MIPS).
    switch = replace(row.switch, number=socket.SO_KEEPALIVE, level=socket.SOL_SOCKET)
    return _without_unknown(replace(row, switch=switch))


def _without_unknown(row: Platform) -> Platform:
    try:
        probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        return row  # no IPv4, no descriptors left: nothing was learnt
    with probe:
        known = {
            name: option
            for name, option in row.options.items()
            if name in row.unreadable or _knows(probe, option.level, option.number)
        }
    gone = {
        name: f"nothing: {option.name} needs {option.since}"
        if option.since
        else "nothing: this kernel does not know its option"
        for name, option in row.options.items()
        if name not in known
    }
    return replace(row, options=known, absent={**row.absent, **gone}) if gone else row


def _knows(probe: socket.socket, level: int, number: int) -> bool:
    try:
        probe.getsockopt(level, number)
    except OSError:
        return False
    return True


def _windows_build() -> int:
    # Not sys.platform: mypy would take the rest for unreachable elsewhere.
    ask = getattr(sys, "getwindowsversion", None)
    return int(ask().build) if ask else 0


def _sun(release: str, version: str) -> Platform:
    # illumos names its build ("illumos-9c1fb8d", "joyent_2024…", "omnios-…").
    # Oracle counts ("11.4.42.111.0"), and patched Solaris 10 says "Generic_…".
    numbers = _numbers(version)
    if numbers:
        return SOLARIS if numbers >= (11, 4) else SOLARIS_BEFORE_11_4
    if version.startswith("Generic") or _numbers(release) < (5, 11):
        return SOLARIS_BEFORE_11_4
    return ILLUMOS


def _numbers(text: str) -> tuple[int, ...]:
    """
    Return the version number that a text starts with; empty if it does not.

    >>> _numbers("5.8-RELEASE"), _numbers("illumos-1")
    ((5, 8), ())
    """
    found = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
