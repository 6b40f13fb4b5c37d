"""
Made-up traces of heartbeats, with the troubles of real links. They are synthetic.

A trace is drawn from a seed, so that two detectors, or two versions of one, can
be compared on exactly the same beats. No number measured on it says anything
about your link: only a recording of your link does. What it can show is which
trouble a detector minds, because each can be switched on alone:

* loss in bursts (a Gilbert–Elliott channel: good and bad spells, each of random
  length, with a loss rate of its own), where a lost beat is gone, or as over TCP
  is sent again after a while and holds up all behind it;
* a sender that stalls and resumes late, which shifts its schedule for good;
* steps of the delay, as when a route changes;
* a queue that fills and drains (bufferbloat).

Source:
    E. N. Gilbert: Capacity of a burst-noise channel. Bell System Technical
    Journal 39, 1960; E. O. Elliott, ibid. 42, 1963.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from deadpeer.errors import ConfigError
from deadpeer.policy.keepalive import require_seconds
from deadpeer.policy.numbers import require_between, require_whole

__all__ = ["Chance", "Passage", "Trace", "Weather", "synthesize"]

# Months of beats, a second apart; a trace is kept in memory.
MOST_BEATS = 10_000_000

# Linux retransmits at least this often (include/net/tcp.h, TCP_RTO_MAX).
LONGEST_RESEND = 120.0


class Chance(Protocol):
    """The two draws that are needed; ``random.Random(seed)`` has both."""

    def random(self) -> float:
        """Return a number from 0 to below 1, each as likely as any other."""
        ...

    def expovariate(self, lambd: float, /) -> float:
        """
        Return a number drawn from the exponential distribution.

        Args:
            lambd: One over the mean: a number per second.
        """
        ...


class Passage(NamedTuple):
    """One beat: its number, when it was sent, and when it arrived, if it did."""

    sequence: int
    sent_at: float
    arrived_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """
    Beats in the order in which they were sent, by a sender that never died.

    Args:
        interval: Seconds between beats, as promised.
        passages: The beats.
    """

    interval: float
    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """
    What happens to beats; everything is calm unless it is given.

    Args:
        delay: Seconds from sender to receiver, at best.
        jitter: Mean of what comes on top, in seconds, exponentially distributed.
        loss: The share of segments lost in good spells.
        burst_loss: The share of segments lost in bad spells.
        burst_every: Mean seconds between bad spells; ``math.inf`` for never.
        burst: Mean seconds that one lasts.
        resend_after: Seconds after which a lost beat is sent again, doubled each
            time, as TCP does; None if it is gone.
        stall_every: Mean seconds between stalls of the sender.
        stall: Mean seconds that one lasts.
        step_every: Mean seconds between changes of the delay.
        step: The most seconds by which it is then above *delay*.
        bloat_every: Mean seconds between fillings of a queue.
        bloat_for: Mean seconds from its first packet to its last.
        bloat: Seconds of delay when it is full.

    Raises:
        ConfigError: A value cannot be, or every segment is lost and sent again for
            ever.
    """

    delay: float = 0.05
    jitter: float = 0.005
    loss: float = 0.0
    burst_loss: float = 0.0
    burst_every: float = math.inf
    burst: float = 1.0
    resend_after: float | None = None
    stall_every: float = math.inf
    stall: float = 1.0
    step_every: float = math.inf
    step: float = 0.0
    bloat_every: float = math.inf
    bloat_for: float = 1.0
    bloat: float = 0.0

    def __post_init__(self) -> None:
        for name in ("delay", "jitter", "step", "bloat"):
            require_seconds(name, getattr(self, name), zero=True)
        for name in ("burst", "stall", "bloat_for"):
            require_seconds(name, getattr(self, name))
        for name in ("burst_every", "stall_every", "step_every", "bloat_every"):
            if getattr(self, name) != math.inf:
                require_seconds(name, getattr(self, name))
        for name in ("loss", "burst_loss"):
            require_between(name, getattr(self, name), 0, 1)
        if self.resend_after is None:
            return
        require_seconds("resend_after", self.resend_after)
        if max(self.loss, self.burst_loss) >= 1:
            raise ConfigError(
                "a segment that is always lost is sent again for ever",
                hint="give a loss below 1, or resend_after=None",
                field="loss",
                value=self.loss,
            )


class Events:
    """
    Things that happen in a moment; asked about instants that never fall.

    Args:
        every: Mean seconds between two.
        chance: Where the draws come from.
    """

    def __init__(self, *, every: float, chance: Chance) -> None:
        self._every = every
        self._chance = chance
        self._next_at = drawn(every, chance)

    def happened(self, now: float) -> bool:
        """
        Return whether one has happened since the last call.

        Args:
            now: The instant, in seconds since the trace began.
        """
        if now < self._next_at:
            return False
        # Several in one interval count as one.
        self._next_at = now + drawn(self._every, self._chance)
        return True


class Spells:
    """
    Spells that come and go at random; asked about instants that never fall.

    Args:
        every: Mean seconds from the end of one to the start of the next.
        lasting: Mean seconds that one lasts.
        chance: Where the draws come from.
    """

    def __init__(self, *, every: float, lasting: float, chance: Chance) -> None:
        self._every = every
        self._lasting = lasting
        self._chance = chance
        self.begins_at = self.ends_at = 0.0
        self._next()

    def progress(self, now: float) -> float | None:
        """
        Return which share of a spell is over, or None between spells.

        Args:
            now: The instant, in seconds since the trace began.
        """
        while now >= self.ends_at:
            self._next()
        if now < self.begins_at:
            return None
        return (now - self.begins_at) / (self.ends_at - self.begins_at)

    def _next(self) -> None:
        self.begins_at = self.ends_at + drawn(self._every, self._chance)
        # A spell without length would never be over.
        self.ends_at = self.begins_at + max(drawn(self._lasting, self._chance), 1e-9)


def drawn(mean: float, chance: Chance) -> float:
    """
    Return an exponentially distributed time, in seconds.

    Args:
        mean: Its mean, in seconds; ``math.inf`` for never.
        chance: Where the draw comes from.
    """
    return mean if mean == math.inf else chance.expovariate(1 / mean)


def synthesize(
    weather: Weather, *, beats: int, chance: Chance, interval: float = 1.0
) -> Trace:
    """
    Return a made-up trace; it is synthetic, and says so wherever it is shown.

    Args:
        weather: What happens to the beats.
        beats: How many are sent.
        chance: Where the draws come from: ``random.Random(seed)``.
        interval: Seconds between beats.

    Raises:
        ConfigError: *beats* is no count, or *interval* no duration.

    >>> import random
    >>> trace = synthesize(Weather(loss=0.5), beats=10, chance=random.Random(1))
    >>> len(trace.passages), sum(p.arrived_at is None for p in trace.passages)
    (10, 5)
    """
    require_whole("beats", beats, 1, MOST_BEATS)
    require_seconds("interval", interval)
    path = Path(weather, chance)
    stalls = Events(every=weather.stall_every, chance=chance)
    passages = []
    sent_at = 0.0
    for sequence in range(beats):
        if stalls.happened(sent_at):
            sent_at += chance.expovariate(1 / weather.stall)
        passages.append(Passage(sequence, sent_at, path.arrival(sent_at)))
        sent_at += interval
    return Trace(interval=interval, passages=tuple(passages))


class Path:
    """
    The way from sender to receiver.

    Args:
        weather: What happens there.
        chance: Where the draws come from.
    """

    def __init__(self, weather: Weather, chance: Chance) -> None:
        self._weather = weather
        self._chance = chance
        self._bursts = Spells(
            every=weather.burst_every, lasting=weather.burst, chance=chance
        )
        self._queues = Spells(
            every=weather.bloat_every, lasting=weather.bloat_for, chance=chance
        )
        self._steps = Events(every=weather.step_every, chance=chance)
        self._base = weather.delay
        self._last_at = -math.inf

    def arrival(self, sent_at: float) -> float | None:
        """
        Return when a beat arrives, in seconds since the trace began; None if never.

        Args:
            sent_at: When it was sent.
        """
        weather = self._weather
        waited = self._resent(sent_at)
        if waited is None:
            return None
        arrived_at = sent_at + waited + self._delay(sent_at)
        if weather.resend_after is not None:  # TCP hands over in order
            arrived_at = self._last_at = max(arrived_at, self._last_at)
        return arrived_at

    def _resent(self, sent_at: float) -> float | None:
        """Return for how long a beat was lost, or None if for good."""
        weather = self._weather
        self._bursts.progress(sent_at)
        if not self._lost(sent_at):
            return 0.0
        if weather.resend_after is None:
            return None
        waited, pause = 0.0, weather.resend_after
        while True:
            waited += pause
            pause = min(2 * pause, LONGEST_RESEND)
            if not self._lost(sent_at + waited):
                return waited

    def _lost(self, now: float) -> bool:
        """Return whether a segment sent now, or later in this spell, is lost."""
        weather = self._weather
        bad = self._bursts.begins_at <= now < self._bursts.ends_at
        return self._chance.random() < (weather.burst_loss if bad else weather.loss)

    def _delay(self, sent_at: float) -> float:
        weather, chance = self._weather, self._chance
        if self._steps.happened(sent_at):
            self._base = weather.delay + weather.step * chance.random()
        jitter = chance.expovariate(1 / weather.jitter) if weather.jitter else 0.0
        full = self._queues.progress(sent_at)
        # Fills and drains along a straight line.
        queue = 0.0 if full is None else weather.bloat * (1 - abs(2 * full - 1))
        return self._base + jitter + queue
