"""
What the helpers of ``deadpeer run`` tell, a line each, without ever waiting.

A program waits for its helper's answer. So a line that nobody takes at once, on a
terminal that was stopped, say, is left out and counted.
"""

import json
import os
import select
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from deadpeer.cli.harmless import harmless
from deadpeer.host.trapped import Happening

__all__ = ["RunLog", "entry_of", "sentence"]

SCHEMA = 1

# A pipe that can be written to has room for so many bytes. pipe(7), PIPE_BUF.
LONGEST = 4096


class RunLog:
    """
    Lines on a descriptor, shared by the helpers.

    Args:
        fd: The descriptor; below zero for none.
        as_json: An object a line, in place of a sentence.
    """

    def __init__(self, fd: int, *, as_json: bool) -> None:
        self._fd = fd
        self._as_json = as_json
        self._lost = 0
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll and fd >= 0:
            self._poll.register(fd, select.POLLOUT)

    @property
    def kept(self) -> tuple[int, ...]:
        """The descriptors that it needs."""
        return (self._fd,) if self._fd >= 0 else ()

    def tell(self, happening: Happening) -> None:
        """
        Write a line, or leave it out; never fails, never waits.

        Args:
            happening: What happened.
        """
        if self._fd < 0:
            return
        entry = entry_of(happening, at=time.time(), lost=self._lost)
        text = json.dumps(entry) if self._as_json else f"deadpeer: {sentence(entry)}"
        line = text.encode()[: LONGEST - 1] + b"\n"
        self._lost += 1
        with suppress(OSError):
            ready = self._poll.poll(0) if self._poll else []
            if ready and ready[0][1] & select.POLLOUT:
                os.write(self._fd, line)
                self._lost = 0


def entry_of(happening: Happening, *, at: float, lost: int) -> dict[str, Any]:
    """
    Return what is told, as the fields of a JSON object.

    Args:
        happening: What happened.
        at: When, in seconds since 1970.
        lost: How many lines could not be written before this one.
    """
    entry: dict[str, Any] = {
        "schema": SCHEMA,
        "verb": "run",
        "time": round(at, 6),
        "event": happening.event,
        "task": happening.task,
        "process": _name(happening.task),
    }
    if happening.call:
        entry["call"] = str(happening.call)
    if happening.descriptor is not None:
        entry["descriptor"] = happening.descriptor
    if happening.cookie:
        entry["cookie"] = int.from_bytes(happening.cookie, "little")
    if happening.why:
        entry["why"] = happening.why
    if lost:
        entry["lost"] = lost
    return entry


def sentence(entry: dict[str, Any]) -> str:
    """
    Return an entry in words.

    Args:
        entry: From ``entry_of``.

    >>> sentence({"event": "helper", "task": 7, "process": ""})
    'helper 7 stands by'
    """
    task, lost = entry["task"], entry.get("lost", 0)
    name = harmless(entry["process"])
    who = f"{name} ({task})" if name else str(task)
    where = f"descriptor {entry['descriptor']} " if "descriptor" in entry else ""
    match entry["event"]:
        case "protected":
            said = f"protected: {where}of {who}, at {entry['call']}"
        case "partly":
            said = f"partly protected: {where}of {who}: {entry['why']}"
        case "unprotected":
            said = f"NOT protected: {where}of {who}, at {entry['call']}: {entry['why']}"
        case "started":
            said = f"protecting {who} and its descendants (sockets: {entry['call']})"
        case "helper":
            said = f"helper {task} stands by"
        case event:
            said = f"{event}: {who}"
    return f"{said} ({lost} lines before were lost)" if lost else said


def _name(task: int) -> str:
    try:
        return Path(f"/proc/{task}/comm").read_text("utf-8", errors="replace").strip()
    except OSError:
        return ""
