"""
Telling others of changes: a command that is run, a webhook that is called.

Neither ever holds up the watch (see ``outbox``). A webhook that fails is tried again,
with waits that grow and are drawn at random; a command is run once for each change.
What is told comes from other people's programs (names, addresses), so it travels as
data, never as a part of a command line.

Source: RFC 9110, section 15, on which answers are worth another attempt.
"""

import json
import os
import random
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from deadpeer.errors import ConfigError
from deadpeer.host.changes import SCHEMA
from deadpeer.host.outbox import Item, Outbox
from deadpeer.policy.backoff import Backoff

__all__ = ["Command", "Webhook", "require_command", "require_url"]

Report = Callable[[str], None]

ATTEMPTS = 8
TIMEOUT = 10.0
"""Seconds that one attempt may take."""
BATCH = 100
"""Changes in one call of a webhook at the most."""
COMMAND_TIMEOUT = 60.0
"""Seconds after which a command is ended."""
PATIENCE = 5.0
"""Seconds that are left for the last deliveries when the watch ends."""

# Answers that another attempt may change: overload, and a server's own trouble.
WORTH_ANOTHER = frozenset({408, 425, 429, 500, 502, 503, 504})


class Webhook:
    """
    Calls a URL with changes: a POST with one JSON object, ``changes`` in it.

    Args:
        url: Of ``http`` or ``https``.
        report: Is told what went wrong, in a line.
        backoff: The waits between attempts.
        attempts: How often a call is tried.
        most: How many changes wait at most; the oldest are thrown away.

    Attributes:
        failed: How many changes could not be delivered.

    Raises:
        ConfigError: The URL is none that can be called.
    """

    def __init__(
        self,
        url: str,
        *,
        report: Report,
        backoff: Backoff | None = None,
        attempts: int = ATTEMPTS,
        most: int = 1000,
    ) -> None:
        self.url = require_url(url)
        # A URL may hold a secret: messages name its host and port only.
        self._host = urlsplit(url).netloc
        self._report = report
        self._backoff = backoff or Backoff()
        self._attempts = attempts
        self._stopping = threading.Event()
        self.failed = 0
        self._outbox = Outbox(
            self._deliver, name=f"webhook {self._host}", batch=BATCH, most=most
        )

    @property
    def dropped(self) -> int:
        """How many changes were thrown away because too many waited."""
        return self._outbox.dropped

    def tell(self, item: Item) -> None:
        """
        Have a change delivered; never waits.

        Args:
            item: The change, as JSON has it.
        """
        self._outbox.put(item)

    def close(self, *, patience: float = PATIENCE) -> None:
        """
        Make the last calls, and end.

        Args:
            patience: Seconds to wait for that at the most.
        """
        self._stopping.set()  # no more waits between attempts
        left = self._outbox.close(patience=patience)
        if left:
            self._report(f"webhook {self._host}: {left} changes were not delivered")

    def _deliver(self, some: Sequence[Item]) -> None:
        whole = {
            "schema": SCHEMA,
            "verb": "watch",
            "dropped": self.dropped,
            "changes": some,
        }
        body = json.dumps(whole, allow_nan=False).encode()
        for attempt in range(1, self._attempts + 1):
            trouble, may_pass = _posted(self.url, body)
            if not trouble:
                return
            if not may_pass or self._stopping.is_set() or attempt == self._attempts:
                break
            chance = random.random()  # noqa: S311 - keeps attempts apart, no secret
            self._stopping.wait(self._backoff.delay(attempt, chance=chance))
        self.failed += len(some)
        self._report(
            f"webhook {self._host}: {len(some)} changes were not delivered: {trouble}"
        )


class Command:
    """
    Runs a command of the shell for each change.

    The change is on its standard input, as a line of JSON, and in its environment
    (``DEADPEER_CHANGE``, ``_REASON``, ``_LOCAL``, ``_PEER``, ``_PID``, ``_PROCESS``,
    ``_CONTAINER``). What it prints goes to standard error.

    Args:
        command: For ``sh -c``.
        report: Is told what went wrong, in a line.
        timeout: Seconds after which it is ended, with all that it started.
        most: How many changes wait at most; the oldest are thrown away.

    Attributes:
        failed: How many times it failed.

    Raises:
        ConfigError: The command is none that can be run.
    """

    def __init__(
        self,
        command: str,
        *,
        report: Report,
        timeout: float = COMMAND_TIMEOUT,
        most: int = 1000,
    ) -> None:
        self.command = require_command(command)
        self._report = report
        self._timeout = timeout
        self.failed = 0
        self._leaving = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._outbox = Outbox(self._run, name="command", most=most)

    @property
    def dropped(self) -> int:
        """How many changes were thrown away because too many waited."""
        return self._outbox.dropped

    def tell(self, item: Item) -> None:
        """
        Have the command run for a change; never waits.

        Args:
            item: The change, as JSON has it.
        """
        self._outbox.put(item)

    def close(self, *, patience: float = PATIENCE) -> None:
        """
        Run it for what waits, and end; one that runs on is ended.

        Args:
            patience: Seconds to wait for that at the most.
        """
        left = self._outbox.close(patience=patience)
        if left:
            self._leaving.set()
            child = self._child
            if child and child.poll() is None:
                _end_group(child.pid)
            self._report(f"command {self.command!r}: {left} changes were not told")

    def _run(self, some: Sequence[Item]) -> None:
        for item in some:
            trouble = self._ran(item)
            if trouble and not self._leaving.is_set():
                self.failed += 1
                self._report(f"command {self.command!r}: {trouble}")

    def _ran(self, item: Item) -> str:
        """Run it once; return what went wrong, or nothing."""
        line = json.dumps(item, allow_nan=False) + "\n"
        try:
            child = subprocess.Popen(
                ["/bin/sh", "-c", self.command],
                stdin=subprocess.PIPE,
                stdout=2,  # standard output is for the changes themselves
                env={**os.environ, **environment(item)},
                start_new_session=True,
            )
        except OSError as error:
            return error.strerror or str(error)
        self._child = child
        if self._leaving.is_set():
            _end_group(child.pid)  # it began when nobody was waited for any more
        with child:
            try:
                child.communicate(line.encode(), timeout=self._timeout)
            except subprocess.TimeoutExpired:
                _end_group(child.pid)
                return f"ended after {self._timeout:g} s"
        return f"exit code {child.returncode}" if child.returncode else ""


def environment(item: Mapping[str, Any]) -> dict[str, str]:
    """
    Return what a command finds in its environment about a change.

    Args:
        item: The change, as JSON has it.
    """
    facts = {
        "CHANGE": item["change"],
        "REASON": item["reason"],
        "LOCAL": _end(item["local"]),
        "PEER": _end(item["peer"]),
        "PID": item["pid"],
        "PROCESS": item["process"],
        "CONTAINER": item["container"],
    }
    return {
        f"DEADPEER_{name}": "" if value is None else str(value).replace("\0", "")
        for name, value in facts.items()
    }


def require_command(command: str) -> str:
    """
    Return a command that a shell can be given.

    Args:
        command: For ``sh -c``.

    Raises:
        ConfigError: It is empty, or has a NUL in it.
    """
    if not command.strip() or "\0" in command:
        raise ConfigError(
            "a command has a NUL in it" if "\0" in command else "a command is empty",
            hint="write, for instance: --on dead 'logger -t deadpeer'",
            field="on",
            value=command,
        )
    return command


def require_url(url: str) -> str:
    """
    Return a URL that a webhook can be called by.

    Args:
        url: Of ``http`` or ``https``, with a host.

    Raises:
        ConfigError: It is another one, or has a password in it, which would be told
            to whoever reads the messages.
    """
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and parts.hostname
        parts.port  # noqa: B018 - raises if it is no number
        (parts.hostname or "").encode("idna")  # raises if a label is empty or too long
    except ValueError:  # what the codec raises is one too
        is_good = False
    if not is_good or not url.isascii() or any(c.isspace() for c in url):
        raise ConfigError(
            f"{url!r} is no URL that a webhook can be called by",
            hint="write, for instance: https://alerts.example/hook",
            field="webhook",
            value=url,
        )
    if "@" in parts.netloc:
        raise ConfigError(
            f"a webhook's URL for {parts.hostname} has a user in it, who is not sent",
            hint="use one that is a secret by its path, or a proxy that logs in",
            field="webhook",
            value=parts.hostname,
        )
    return url


def _end_group(leader: int) -> None:
    """End a command, with all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _end(end: Mapping[str, Any]) -> str:
    host = f"[{end['host']}]" if ":" in end["host"] else end["host"]
    return f"{host}:{end['port']}"


def _posted(url: str, body: bytes) -> tuple[str, bool]:
    """Call it once; return what went wrong, and whether that may pass."""
    from http.client import HTTPException  # late: few watches have a webhook
    from urllib.error import HTTPError
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class NoRedirect(HTTPRedirectHandler):
        # One that is followed becomes a GET without the body, and seems to succeed.
        def redirect_request(self, *_: Any) -> None:
            """Leave it an error."""

    headers = {"Content-Type": "application/json", "User-Agent": "deadpeer"}
    request = Request(url, body, headers)  # noqa: S310 - checked before
    try:
        with build_opener(NoRedirect).open(request, timeout=TIMEOUT):
            return "", False
    except HTTPError as error:
        error.close()
        return f"it answered {error.code} {error.reason}", error.code in WORTH_ANOTHER
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        return f"{reason}", True
