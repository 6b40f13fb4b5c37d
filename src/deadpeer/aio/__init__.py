"""The front end for asyncio: connections of our own, and a guard for anybody's."""
