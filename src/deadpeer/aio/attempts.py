"""
Connecting to one of several addresses: one after another, or in a race.

Each socket has its settings before it connects, and whatever ends an attempt,
a failure, the deadline or a cancellation, closes it.
"""

import asyncio
import itertools
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from deadpeer.errors import PeerTimedOut
from deadpeer.kernel.connecting import shares
from deadpeer.kernel.options import apply
from deadpeer.kernel.sockets import text_of
from deadpeer.kernel.verdicts import verdict_on
from deadpeer.policy import Keepalive

__all__ = ["AddressInfo", "Attempt", "connected", "interleaved"]

# One address as a resolver gives it: family, kind, protocol, name, address.
AddressInfo = tuple[Any, Any, int, str, Any]


class Attempt:
    """
    One address that can be connected to.

    Args:
        info: The address.
        here: The addresses to connect from, of any family; None for any.
        keepalive: What to set on the socket.
    """

    def __init__(
        self,
        info: AddressInfo,
        here: Sequence[AddressInfo] | None,
        keepalive: Keepalive,
    ) -> None:
        self.family, self.kind, self.protocol, _, self.target = info
        self.here = here
        self.keepalive = keepalive
        self.peer = text_of(self.target)

    async def connect(self, seconds: float | None) -> socket.socket:
        """
        Return a connected, protected socket.

        Args:
            seconds: For how long to try; None for as long as the kernel does.

        Raises:
            PeerTimedOut: It did not answer.
        """
        sock = socket.socket(self.family, self.kind, self.protocol)
        try:
            sock.setblocking(False)  # noqa: FBT003 - its name
            apply(sock, self.keepalive)
            if self.here is not None:
                self._bind(sock, self.here)
            async with asyncio.timeout(seconds):
                await asyncio.get_running_loop().sock_connect(sock, self.target)
        except OSError as error:
            sock.close()
            judged = self._judged(error, seconds)
            if judged is None:
                raise
            raise judged from error
        except BaseException:
            sock.close()
            raise
        return sock

    def _bind(self, sock: socket.socket, here: Sequence[AddressInfo]) -> None:
        errors = [OSError(f"no local address is of the family of {self.peer}")]
        for family, _, _, _, address in here:
            if family == self.family:
                try:
                    return sock.bind(address)
                except OSError as error:
                    errors.append(error)
        raise errors[-1]

    def _judged(self, error: OSError, seconds: float | None) -> OSError | None:
        kind = verdict_on(error, established=False)
        if kind is not None:
            return kind(
                f"{self.peer} could not be connected: {os.strerror(error.errno or 0)}",
                peer=self.peer,
                errno=error.errno,
            )
        if isinstance(error, TimeoutError) and seconds is not None:
            return PeerTimedOut(
                f"{self.peer} did not answer in {seconds:.3g} s", peer=self.peer
            )
        return None


async def connected(
    attempts: Sequence[Attempt],
    delay: float | None,
    patience: float | None,
    *,
    all_errors: bool,
) -> socket.socket:
    """
    Return a connected socket to the first address that answers.

    Args:
        attempts: The addresses, in the order in which to try them.
        delay: Seconds before the next one is tried as well; None tries one after
            another.
        patience: Seconds for all of them together; None for as long as the kernel
            tries.
        all_errors: Raise all of their errors, not the last one alone.

    Raises:
        PeerTimedOut: Nothing answered before the deadline.
        OSError: There is no address.
    """
    if not attempts:
        raise OSError("the name has no address")
    errors: list[OSError] = []
    if delay is None:
        sock = await _in_turn(attempts, patience, errors)
    else:
        sock = await _racing(attempts, delay, patience, errors)
    if sock is not None:
        return sock
    try:
        if all_errors:
            peers = ", ".join(attempt.peer for attempt in attempts)
            raise ExceptionGroup(f"none of {peers} could be connected", errors)
        raise errors[-1]
    finally:
        errors.clear()  # an error that holds its own traceback holds its frames


async def _in_turn(
    attempts: Sequence[Attempt], patience: float | None, errors: list[OSError]
) -> socket.socket | None:
    parts: Iterator[float | None] = (
        itertools.repeat(None) if patience is None else shares(attempts, patience)
    )
    for attempt, seconds in zip(attempts, parts, strict=False):
        try:
            return await attempt.connect(seconds)
        except OSError as error:
            errors.append(error)
    return None


async def _racing(
    attempts: Sequence[Attempt],
    delay: float,
    patience: float | None,
    errors: list[OSError],
) -> socket.socket | None:
    """
    Connect to all of them, each begun a little later, until one has won.

    Source: RFC 8305, section 5.
    """
    loop = asyncio.get_running_loop()
    ends_at = None if patience is None else loop.time() + patience
    waiting = list(attempts)
    running: set[asyncio.Task[socket.socket]] = set()
    try:
        while waiting or running:
            if waiting:
                left = None if ends_at is None else max(0.001, ends_at - loop.time())
                running.add(loop.create_task(waiting.pop(0).connect(left)))
            done, running = await asyncio.wait(
                running,
                timeout=delay if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            running |= done  # until it is known what became of them
            for task in done:
                running.discard(task)
                try:
                    return task.result()
                except OSError as error:
                    errors.append(error)
        return None
    finally:
        for task in running:
            task.add_done_callback(_discarded)
            task.cancel()


def _discarded(task: asyncio.Task[socket.socket]) -> None:
    """Close the connection of one that came second, and take note of its error."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def interleaved(found: Sequence[AddressInfo], first: int) -> list[AddressInfo]:
    """
    Return the addresses with the families taking turns.

    Args:
        found: The addresses as they were found.
        first: How many of the first family come before the others' first.

    Source: RFC 8305, section 4, First Address Family Count.
    """
    families: dict[Any, list[AddressInfo]] = {}
    for info in found:
        families.setdefault(info[0], []).append(info)
    if not families:
        return []
    columns = list(families.values())
    head, columns[0] = columns[0][: first - 1], columns[0][first - 1 :]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*columns))
    return [*head, *(info for info in turns if info is not None)]
