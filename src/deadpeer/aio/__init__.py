"""The front end for asyncio: connections of our own, and a guard for anybody's."""

from deadpeer.aio.blocked import Blocked, Place
from deadpeer.aio.watchdog import Watchdog

__all__ = ["Blocked", "Place", "Watchdog"]
