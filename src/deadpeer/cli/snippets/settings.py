"""The values that a snippet writes, and the sentences that snippets share."""

from collections.abc import Iterator
from dataclasses import dataclass

from deadpeer.errors import ConfigError
from deadpeer.platforms import LINUX, Defaults
from deadpeer.policy import Keepalive, unanswered_probes

__all__ = [
    "Settings",
    "commented",
    "promised",
    "settings_for",
    "without_user_timeout",
    "wrapped",
]

COLUMNS = 76


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    What a snippet sets, in the units of Linux.

    Args:
        idle: Seconds of silence before the first probe.
        interval: Seconds between probes.
        probes: Unanswered probes that end a connection without user timeout.
        user_timeout_ms: Milliseconds for unacknowledged data; 0 if not set.
        rto_max_ms: The longest pause between retransmissions; 0 if not set.
        within: The promise that these settings keep, in seconds; None if they
            were not planned for one.
        rtt: The longest round trip that was asked for, in seconds, if any was.
    """

    idle: int
    interval: int
    probes: int
    user_timeout_ms: int
    rto_max_ms: int
    within: float | None
    rtt: float | None = None

    @property
    def idle_death(self) -> int:
        """Seconds from the last sign of life to the end, by counting probes."""
        return self.idle + self.interval * self.probes


def settings_for(
    keepalive: Keepalive,
    *,
    within: float | None = None,
    rtt: float | None = None,
    defaults: Defaults | None = None,
) -> Settings:
    """
    Return what snippets write for some settings.

    Args:
        keepalive: A plan's settings, or others.
        within: The promise they were planned for, in seconds, if any.
        rtt: The longest round trip that was asked for, in seconds, if any was.
        defaults: The system's settings, for what *keepalive* leaves open.

    Raises:
        ConfigError: The settings leave keepalive off, or a value does not fit
            into a socket option.

    >>> settings_for(Keepalive(idle=4, interval=1, user_timeout=5.5)).probes
    2
    """
    if not keepalive.wants_on:
        raise ConfigError(
            "there is nothing to write: these settings leave keepalive off",
            hint="give a promise, such as --within 10",
            field="on",
            value=keepalive.on,
        )
    effective = keepalive.over(LINUX.defaults if defaults is None else defaults)
    # A plan leaves the probes open, because a user timeout decides. Where a target
    # has none, as many count as the plan lets go unanswered.
    by_timeout = keepalive.probes is None and effective.user_timeout
    _, most = unanswered_probes(effective)
    asked = Keepalive(
        idle=effective.idle,
        interval=effective.interval,
        probes=int(most) if by_timeout else effective.probes,
        user_timeout=effective.user_timeout,
    )
    units = asked.in_units(LINUX)
    rto_max = Keepalive(rto_max=keepalive.rto_max).in_units(LINUX)
    return Settings(
        idle=units["idle"],
        interval=units["interval"],
        probes=units["probes"],
        user_timeout_ms=units["user_timeout"],
        rto_max_ms=rto_max.get("rto_max", 0),
        within=within,
        rtt=rtt,
    )


def commented(mark: str, *sentences: str) -> str:
    """
    Return sentences as comment lines, each sentence on a line of its own.

    Args:
        mark: What starts a comment.
        sentences: What to say.
    """
    return "\n".join(f"{mark} {line}" for text in sentences for line in wrapped(text))


def wrapped(text: str) -> Iterator[str]:
    """
    Break a text into lines short enough for a comment.

    Args:
        text: Words; runs of white space count as one.
    """
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > COLUMNS:
            yield line
            line = word
        else:
            line = f"{line} {word}".strip()
    yield line


def without_user_timeout(reason: str, settings: Settings) -> str:
    """
    Say what is not promised where no user timeout is set.

    Args:
        reason: Why there is none, as the start of the sentence.
        settings: What is set.
    """
    text = (
        f"{reason}: an idle peer's death is noticed about {settings.idle_death} s after"
        " it was last heard, but one with data in flight only after"
        " net.ipv4.tcp_retries2, by default some 15 minutes."
    )
    if settings.rto_max_ms:
        text += (
            " The sysctl net.ipv4.tcp_rto_max_ms (Linux 6.15) at"
            f" {settings.rto_max_ms} bounds that for the whole system."
        )
    return text


def promised(settings: Settings, *, sets_rto_max: bool = True) -> str:
    """
    Say what a target keeps that sets the user timeout, too.

    Args:
        settings: What is set.
        sets_rto_max: Whether the target can set ``TCP_RTO_MAX_MS``; a promise
            that rests on it is not repeated otherwise.
    """
    if settings.within is not None and (sets_rto_max or not settings.rto_max_ms):
        return f"A dead peer is noticed within {settings.within:g} s."
    if settings.user_timeout_ms:
        limit = settings.user_timeout_ms / 1000
        return f"Data that stays unacknowledged is given up after {limit:g} s."
    return without_user_timeout("No user timeout is set", settings)
