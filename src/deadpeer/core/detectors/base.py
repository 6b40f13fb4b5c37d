"""
What every detector is: numbered beats in, one deadline out.

The classic form: a peer sends beat number *i* at the instant *i* × *interval* of
its own clock; the watcher notes when each arrives. All that differs between the
detectors is how long they wait for the next one.

A watcher that *asks* has answers in place of beats. It tells a detector that
beat *i* arrived at *i* × *interval* + (*answered_at* − *due_at*), whatever the
real instants were, and reads the deadline the same way: the answer to ping *i*
is overdue ``deadline() − i × interval`` seconds after that ping was due. So only
delays matter, and data that makes pings unnecessary for an hour teaches a
detector nothing wrong. Such instants may run backwards from one beat to the
next, when a slow answer is followed by a quick one; every detector takes that.

What they have in common:

* a beat that is not newer than the newest changes nothing: late, doubled and
  reordered ones cannot move a deadline;
* a beat is life: the deadline is always later than it, by *floor* or more;
* between beats nothing changes, so the deadline is worked out once a beat, and
  asking is free;
* the work for a beat and the memory are bounded, whatever the peer sends.

A floor under the margin matters more than the choice of the detector: on a
quiet link every estimate of the jitter shrinks towards nothing, and the first
hiccup is a false alarm.
"""

import math
from typing import Protocol, Self

from deadpeer.errors import ConfigError
from deadpeer.policy.keepalive import require_seconds
from deadpeer.policy.numbers import LONGEST, is_number, require_whole

__all__ = ["FLOOR", "WINDOW", "Detector", "Silence", "require_window"]

# One lost segment delays what is behind it by a retransmission timeout, which
# RFC 6298, section 2.4, keeps at one second or more.
FLOOR = 1.0

# Hayashibara et al. 2004 (WS = 1000); Akka's and Cassandra's default too.
WINDOW = 1000

# A clock that shows more than three thousand years is not a clock. Up to here
# a float still tells tenths of a millisecond apart.
LATEST = 1e11

# Nor has anybody sent so many beats; a number beyond it is made up.
MOST_BEATS = 2**63

# Eight bytes each, a peer.
MOST_SAMPLES = 1_000_000

NEVER = -math.inf


class Detector(Protocol):
    """
    Anything that turns beats into a deadline.

    ``deadpeer.testing.check_detector`` tells whether a class keeps the laws
    that this one can only name.
    """

    def beat(self, sequence: int, *, now: float) -> None:
        """
        Take note that a beat arrived.

        Args:
            sequence: The beat's number; the sender counts up by one.
            now: The instant, in seconds of the caller's clock.
        """
        ...

    def deadline(self) -> float:
        """
        Return the instant at which suspicion reaches 1, in seconds.

        It is ``math.inf`` before the first beat.
        """
        ...

    def suspicion(self, *, now: float) -> float:
        """
        Return how suspicious the silence is: a ratio, 1 at the deadline.

        It is never negative, and never falls until the next beat.

        Args:
            now: The instant, in seconds of the caller's clock.
        """
        ...

    def fresh(self) -> Self:
        """Return an empty detector with the same settings, for another peer."""
        ...


class Silence:
    """
    What the detectors of this package share: the newest beat, and a line to the deadline.

    Suspicion rises in proportion to the silence. A detector that knows a better
    curve overrides ``suspicion``; all of them say in ``expect`` when the
    silence has been too long.

    Args:
        interval: Seconds between two beats, as the sender promised.
        floor: The smallest margin, in seconds.

    Raises:
        ConfigError: A value is not a positive number of seconds, or more than
            thirty years.
    """

    __slots__ = ("_deadline", "_heard_at", "_sequence", "floor", "interval")

    def __init__(self, *, interval: float, floor: float) -> None:
        self.interval = require_seconds("interval", interval, most=LONGEST)
        self.floor = require_seconds("floor", floor, most=LONGEST)
        self._sequence: float = NEVER
        self._heard_at = NEVER
        self._deadline = math.inf

    def expect(self, sequence: int, now: float) -> float:
        """
        Return until when the next beat is waited for, in seconds.

        Called once for each beat that is newer than all before.

        Args:
            sequence: The beat's number.
            now: The instant at which it arrived, in seconds.
        """
        raise NotImplementedError

    def beat(self, sequence: int, *, now: float) -> None:
        """
        Take note that a beat arrived.

        One that is not newer than the newest changes nothing.

        Args:
            sequence: The beat's number; the sender counts up by one.
            now: The instant, in seconds of the caller's clock.

        Raises:
            ConfigError: *now* is no instant of any clock, or *sequence* no
                count of anything; nothing was changed.
        """
        try:
            if sequence <= self._sequence:
                return
            # NaN is in no range, so it is asked this way round.
            usable = -LATEST < now < LATEST and -MOST_BEATS < sequence < MOST_BEATS
        except TypeError:
            usable = False
        if not usable:
            raise _no_beat(sequence, now)
        deadline = max(self.expect(sequence, now), now + self.floor)
        if deadline <= now:  # a floor too small for a float of this size
            deadline = math.nextafter(now, math.inf)
        self._deadline = deadline
        self._heard_at = now
        self._sequence = sequence

    def deadline(self) -> float:
        """Return the instant at which suspicion reaches 1, in seconds."""
        return self._deadline

    def suspicion(self, *, now: float) -> float:
        """
        Return the silence as a ratio of the longest that is still trusted.

        Args:
            now: The instant, in seconds of the caller's clock.
        """
        heard_at = self._heard_at
        if now <= heard_at or heard_at == NEVER:
            return 0.0
        return (now - heard_at) / (self._deadline - heard_at)

    def fresh(self) -> Self:
        """Return an empty detector with the same settings."""
        return type(self)(**self._settings())

    def __repr__(self) -> str:
        settings = (f"{name}={value!r}" for name, value in self._settings().items())
        return f"{type(self).__name__}({', '.join(settings)})"

    def _settings(self) -> dict[str, float]:
        slots = (
            name
            for kind in type(self).__mro__
            for name in getattr(kind, "__slots__", ())
        )
        return {name: getattr(self, name) for name in sorted(slots) if name[0] != "_"}


def _no_beat(sequence: object, now: object) -> ConfigError:
    if is_number(now) and -LATEST < now < LATEST:
        return ConfigError(
            f"sequence={sequence!r} is not the number of a beat",
            hint="count beats from zero, up by one",
            field="sequence",
            value=sequence,
        )
    return ConfigError(
        f"now={now!r} is not an instant",
        hint="give the seconds that a monotonic clock shows",
        field="now",
        value=now,
    )


def require_window(name: str, value: object, *, least: int = 1) -> int:
    """
    Return *value* if it is a usable number of samples.

    Args:
        name: What the caller's argument is called, for the error.
        value: The number.
        least: The smallest that makes sense.

    Raises:
        ConfigError: It is not a whole number, too small, or above a million.
    """
    return require_whole(name, value, least, MOST_SAMPLES)
