"""
The first packets through each network: they find the neighbours and take the time.

A network that does not carry is found here, before anything is measured on it;
and the addresses of neighbours, which take a round trip or two to find, are
known to every host afterwards.
"""

import socket
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from deadpeer.errors import LabError
from deadpeer.lab.namespaces import Namespace
from deadpeer.lab.peer import PORT, QUESTION
from deadpeer.lab.topology import AF, SERVER

__all__ = ["round_trips"]

# How long a pilot may take, in seconds: a neighbour that does not answer at once
# is asked again after a second.
PATIENCE = 10.0

# Questions and answers, of which the quickest counts.
QUESTIONS = 3


def round_trips(
    clients: Iterable[Namespace], *, versions: Iterable[int]
) -> list[float]:
    """
    Return the round-trip time from each client to its server, all asked at once.

    Args:
        clients: The hosts to ask from.
        versions: The IP versions to ask with, 4, 6 or both.

    Returns:
        Seconds, the slower version's for each client.

    Raises:
        LabError: A network does not carry.
    """
    versions = tuple(versions)
    with ExitStack() as owned:
        pilots = []
        for client in clients:
            for version in versions:
                # Stepping into a namespace is for this thread alone.
                with client.entered():
                    sock = socket.socket(AF[version], socket.SOCK_STREAM)
                pilots.append((owned.enter_context(sock), version))
        with ThreadPoolExecutor(max(1, len(pilots))) as pool:
            times = list(pool.map(lambda pilot: _round_trip(*pilot), pilots))
    count = len(versions)
    return [max(times[n : n + count]) for n in range(0, len(times), count)]


def _round_trip(sock: socket.socket, version: int) -> float:
    sock.settimeout(PATIENCE)
    try:
        sock.connect((SERVER[version], PORT))
        sock.sendall(b"pilot\n")
        return min(_answered(sock) for _ in range(QUESTIONS))
    except OSError as error:
        raise LabError(
            f"the lab's network does not carry IPv{version}: {error}",
            hint="does this kernel have veth, and IPv6 if it is asked for?",
        ) from error


def _answered(sock: socket.socket) -> float:
    asked_at = time.monotonic()
    sock.sendall(QUESTION)
    sock.recv(1)
    return time.monotonic() - asked_at
