"""
Keeping capabilities from the programs that a service starts.

A service manager gives an unprivileged service its capabilities as *ambient* ones,
which every program that it starts inherits. Those programs need none.

Source: Linux capabilities(7), prctl(2), PR_CAP_AMBIENT; include/uapi/linux/prctl.h.
"""

import ctypes
import sys

__all__ = ["keep_capabilities_to_myself"]

PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4


def keep_capabilities_to_myself() -> bool:
    """
    Have no program that this one starts inherit ambient capabilities.

    This process keeps what it has. The programs of root get root's all the same.

    Returns:
        Whether the kernel did it; one that has no ambient capabilities cannot.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None, use_errno=True)
    numbers = [ctypes.c_ulong(n) for n in (PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)]
    return bool(library.prctl(PR_CAP_AMBIENT, *numbers) == 0)
