"""
The table: what each system calls its keepalive options, and what they take.

Every row is tested as data on every platform; the Linux row is also tested
against the kernel. A row that was not run on its own system says so.
"""

from deadpeer.platforms.bsd import (
    DRAGONFLY,
    DRAGONFLY_BEFORE_5_8,
    FREEBSD,
    MACOS,
    NETBSD,
    OPENBSD,
)
from deadpeer.platforms.directory import PLATFORMS, platform_named
from deadpeer.platforms.linux import LINUX
from deadpeer.platforms.rows import Defaults, Name, Option, Platform
from deadpeer.platforms.solaris import ILLUMOS, SOLARIS, SOLARIS_BEFORE_11_4
from deadpeer.platforms.windows import (
    SIO_KEEPALIVE_VALS,
    WINDOWS,
    WINDOWS_BEFORE_1709,
)

__all__ = [
    "DRAGONFLY",
    "DRAGONFLY_BEFORE_5_8",
    "FREEBSD",
    "ILLUMOS",
    "LINUX",
    "MACOS",
    "NETBSD",
    "OPENBSD",
    "PLATFORMS",
    "SIO_KEEPALIVE_VALS",
    "SOLARIS",
    "SOLARIS_BEFORE_11_4",
    "WINDOWS",
    "WINDOWS_BEFORE_1709",
    "Defaults",
    "Name",
    "Option",
    "Platform",
    "platform_named",
]
