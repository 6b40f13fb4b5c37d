"""
Who is measured: one interface, and an adapter for each library.

A subject serves on loopback, pings every peer at the pace it is told, and says
who came and who went. An adapter uses its library as the library's own documents
do, with the settings that are best for it here: no compression, no limit on the
size of a message, the shortest wait for a closing handshake.
"""

import importlib
from collections.abc import Awaitable, Callable
from typing import Protocol

from pace import Pace

__all__ = ["OURS", "SUBJECTS", "Audience", "Missing", "Send", "Subject", "load"]

Send = Callable[[bytes], Awaitable[object]]

BACKLOG = 8192  # connections that may wait to be accepted; all come at once


class Missing(Exception):
    """A subject that cannot be measured here, and why."""


class Audience(Protocol):
    """Who is told what a subject finds out."""

    def online(self, port: int, send: Send) -> None:
        """Note that the peer at *port* is served; *send* gives it a message."""

    def gone(self, port: int, why: str) -> None:
        """Note that the subject gave the peer at *port* up, or was left by it."""


class Subject(Protocol):
    """A library that keeps connections and buries the dead ones."""

    dialect: str
    """The protocol its peers speak, a key of ``talk.DIALECTS``."""

    def promise(self, pace: Pace) -> float:
        """Return seconds from a peer's last byte to the verdict, by its documents."""

    async def serve(self, pace: Pace, audience: Audience) -> int:
        """Serve on 127.0.0.1 until the process ends; return the port."""


SUBJECTS = {
    "websockets": "subject_websockets:Websockets",
    "aiohttp": "subject_aiohttp:Aiohttp",
    "deadpeer": "subject_deadpeer:WithCallbacks",
    "deadpeer-iter": "subject_deadpeer:WithAsyncFor",
    "floor": "subject_floor:Floor",
}
"""Where each adapter is; it is imported only in the process that serves."""

OURS = frozenset({"deadpeer", "deadpeer-iter"})


def load(name: str) -> Subject:
    """
    Return the subject called *name*.

    Raises:
        Missing: Its library is not installed.
    """
    module, _, kind = SUBJECTS[name].partition(":")
    try:
        subject: Subject = getattr(importlib.import_module(module), kind)()
    except ModuleNotFoundError as missing:
        raise Missing(str(missing)) from missing
    return subject
