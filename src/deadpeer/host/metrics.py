"""
What a watch has seen, for Prometheus.

Gauges are counted when they are asked for, from the last look; a look itself counts
only what happened. How many time series there are is bounded whatever runs on the
host: beyond so many process names, the rest goes by one.

Source: Prometheus, "Metric and label naming"; "Histograms and summaries".
"""

import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Self

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from deadpeer.errors import ConfigError, KernelRefused
from deadpeer.host.changes import Change, ChangeKind, DeathReason
from deadpeer.host.watching import Watcher

__all__ = ["Census", "Metrics", "census", "parse_address"]

MOST_NAMES = 100
"""Process names that have time series of their own."""
OTHER = "(other)"
NOT_KNOWN = "(unknown)"
MOST_DIGITS = 5  # of a port

# From a local network to a satellite with a queue, in seconds.
RTT_BUCKETS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5
)  # fmt: skip
RTT_AT = 68  # in struct tcp_info; see kernel/tcp_info.py
PROTECTION = {True: "protected", False: "unprotected", None: "unknown"}


class Census:
    """
    The connections of one look, counted.

    Attributes:
        connections: How many, by process name and protection.
        suspects: How many are suspect.
        rtt_counts: How many round trips are in each of the buckets, the last one
            being those beyond all.
        rtt_sum: The sum of the round trips, in seconds.
    """

    def __init__(self) -> None:
        self.connections: Counter[tuple[str, str]] = Counter()
        self.suspects = 0
        self.rtt_counts = [0] * (len(RTT_BUCKETS) + 1)
        self.rtt_sum = 0.0

    def limited(self) -> dict[tuple[str, str], int]:
        """Return the connections, rare process names taken together."""
        names: Counter[str] = Counter()
        for (name, _), count in self.connections.items():
            names[name] += count
        kept = {name for name, _ in names.most_common(MOST_NAMES)}
        found: Counter[tuple[str, str]] = Counter()
        for (name, protection), count in self.connections.items():
            found[name if name in kept else OTHER, protection] += count
        return dict(found)


def census(watched: Iterable[tuple[int, bytes, Any, Any]]) -> Census:
    """
    Count the connections that are watched.

    Args:
        watched: As ``Sampler.watched`` yields them.
    """
    counted = Census()
    connections, counts = counted.connections, counted.rtt_counts
    for _, _, row, made in watched:
        about = made.about
        name = (about and about.who.process) or NOT_KNOWN
        if not name.isascii():  # a process may have a name that is no UTF-8
            name = name.encode(errors="backslashreplace").decode()
        protected = about.judgement.protected if about else None
        connections[name, PROTECTION[protected]] += 1
        if made.suspect_at is not None:
            counted.suspects += 1
        info = row.info
        rtt = int.from_bytes(info[RTT_AT : RTT_AT + 4], sys.byteorder) / 1e6
        if rtt:
            counts[bisect_left(RTT_BUCKETS, rtt)] += 1
            counted.rtt_sum += rtt
    return counted


class Metrics:
    """
    Serves the metrics of a watch. Use it with ``with``.

    Args:
        watcher: Whose.
        address: Host and port to listen on; port 0 is any that is free.
        lock: Held by whoever looks, while looking.
        dropped: Tells how many changes were not told to others.

    Raises:
        ConfigError: The address has no name of a host.
        KernelRefused: It cannot be listened on.
    """

    def __init__(
        self,
        watcher: Watcher,
        *,
        address: tuple[str, int],
        lock: AbstractContextManager[Any],
        dropped: Callable[[], int] = lambda: 0,
    ) -> None:
        self._watcher = watcher
        self._lock = lock
        self._dropped = dropped
        self._changes: Counter[str] = Counter()
        self._deaths: Counter[str] = Counter()
        self._looks = 0
        self._looking = 0.0
        self._failed = 0
        registry = CollectorRegistry()
        registry.register(_Source(self.families))
        ProcessCollector(registry=registry)
        self._server, self._thread = _served(address, registry)
        self.address = (address[0], int(self._server.server_port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Serve no longer."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def looked(self, changes: Iterable[Change]) -> None:
        """
        Count what a look found; called with the lock held.

        Args:
            changes: What changed.
        """
        self._looks += 1
        self._looking += self._watcher.took
        for change in changes:
            self._changes[change.kind] += 1
            if change.reason:
                self._deaths[change.reason] += 1

    def missed(self) -> None:
        """Count a look that failed; called with the lock held."""
        self._failed += 1

    def families(self) -> Iterator[Metric]:
        """Yield the metrics as they are now."""
        with self._lock:
            counted = census(self._watcher.sampler.watched())
            changes, deaths = self._changes.copy(), self._deaths.copy()
            looks, looking, failed = self._looks, self._looking, self._failed
        yield _by_process(counted)
        yield GaugeMetricFamily(
            "deadpeer_suspect_connections",
            "Connections whose peer leaves two or more probes unanswered.",
            value=counted.suspects,
        )
        yield _counts(
            "deaths",
            "Connections whose peer died, by reason.",
            "reason",
            {reason: deaths[reason] for reason in DeathReason},
        )
        yield _counts(
            "changes",
            "Changes that were told, by kind.",
            "change",
            {kind: changes[kind] for kind in ChangeKind},
        )
        yield _round_trips(counted)
        yield _count("looks", "Looks at the host's connections.", looks)
        yield _count("failed_looks", "Looks that the kernel did not answer.", failed)
        yield _count("look_seconds", "Seconds that the looks took.", looking)
        yield _count(
            "dropped_changes", "Changes that others were not told.", self._dropped()
        )


class _Source(Collector):
    """What the registry asks."""

    def __init__(self, families: Callable[[], Iterator[Metric]]) -> None:
        self._families = families

    def describe(self) -> Iterable[Metric]:
        """Return nothing: names need no look."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as they are now."""
        return self._families()


def parse_address(text: str) -> tuple[str, int]:
    """
    Return host and port of an address such as ``:9109`` or ``127.0.0.1:9109``.

    Args:
        text: As it was written; without a host it is every address of this one.

    Raises:
        ConfigError: It is none.

    >>> parse_address("[::1]:9109")
    ('::1', 9109)
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    is_number = port.isascii() and port.isdigit() and len(port) <= MOST_DIGITS
    number = int(port) if is_number else -1
    if not colon or not 0 <= number <= 0xFFFF:  # noqa: PLR2004 - 16 bits
        raise ConfigError(
            f"{text!r} is no address to listen on",
            hint="write :9109, 127.0.0.1:9109 or [::1]:9109",
            field="metrics",
            value=text,
        )
    return host or "0.0.0.0", number  # noqa: S104 - what `:9109` means


def _served(address: tuple[str, int], registry: CollectorRegistry) -> tuple[Any, Any]:
    host, port = address
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except UnicodeError as error:  # of the codec for names
        raise ConfigError(
            f"{host!r} is no name of a host",
            hint="write :9109, 127.0.0.1:9109 or [::1]:9109",
            field="metrics",
            value=host,
        ) from error
    except OSError as error:
        raise KernelRefused(
            f"{host}:{port} cannot be listened on: {error.strerror or error}",
            hint="give --metrics another port",
            operation="bind",
            errno=error.errno,
        ) from error
    return server, thread


def _by_process(counted: Census) -> Metric:
    family = GaugeMetricFamily(
        "deadpeer_connections",
        "TCP connections, by process and by whether a death would be noticed in time.",
        labels=["process", "protection"],
    )
    for (name, protection), count in sorted(counted.limited().items()):
        family.add_metric([name, protection], count)
    return family


def _counts(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"deadpeer_{name}", text, labels=[label])
    for kind, count in counts.items():
        family.add_metric([kind], count)
    return family


def _round_trips(counted: Census) -> Metric:
    family = GaugeHistogramMetricFamily(
        "deadpeer_rtt_seconds", "Smoothed round trips of the connections there are."
    )
    total, buckets = 0, []
    bounds = [*map(str, RTT_BUCKETS), "+Inf"]
    for bound, count in zip(bounds, counted.rtt_counts, strict=True):
        total += count
        buckets.append((bound, total))
    family.add_metric([], buckets, counted.rtt_sum)
    return family


def _count(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"deadpeer_{name}", text, value=value)
