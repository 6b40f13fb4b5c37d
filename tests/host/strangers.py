"""What can be seen of a child's sockets from outside and inside: nothing may change."""

from typing import Any

from tests.neighbours import Neighbour

__all__ = ["PEEK", "fingerprints", "prepare"]

# Everything that one can ask a socket for, and the flags of its descriptor: options of
# sockets, options of TCP, what waits to be read. Left out is what changes by itself
# (SO_INCOMING_CPU, SO_MEMINFO, SO_INCOMING_NAPI_ID; TCP_MAXSEG, TCP_INFO, TCP_TIMESTAMP,
# TCP_CC_INFO), and SO_ERROR, which asking takes away.
PEEK = """
import errno, fcntl, termios, array
def peek(s):
    def get(level, name):
        try:
            return s.getsockopt(level, name)
        except OSError as error:
            return errno.errorcode[error.errno]
    options = [(1, n) for n in range(1, 76) if n not in (4, 31, 49, 55, 56, 57, 59)]
    options += [(6, n) for n in range(1, 45) if n not in (2, 11, 24, 26)]
    waiting = array.array("i", [0])
    if get(1, 30) == 0:  # SO_ACCEPTCONN
        fcntl.ioctl(s, termios.FIONREAD, waiting)
    name = s.getpeername() if get(1, 30) == 0 else None
    return {
        **{f"option {o}": get(*o) for o in options},
        "status flags": fcntl.fcntl(s, fcntl.F_GETFL),
        "descriptor flags": fcntl.fcntl(s, fcntl.F_GETFD),
        "ends": (s.getsockname(), name),
        "waiting": list(waiting),
        "cookie": s.getsockopt(1, 57, 8),
    }
"""


def prepare(child: Neighbour) -> None:
    """Teach a child to look at its sockets."""
    child.told(PEEK)


def fingerprints(child: Neighbour, *names: str) -> dict[str, Any]:
    """Return what can be seen of some of its sockets, by socket and feature."""
    return {
        f"{name} {feature}": value
        for name in names
        for feature, value in child.told(f"peek({name})").items()
    }
