"""For your tests: virtual time for asyncio, and a link that is made of numbers."""

from deadpeer.testing.virtual_loop import VirtualLoop, run

__all__ = ["VirtualLoop", "run"]
