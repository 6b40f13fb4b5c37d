"""
The terms that a BPF program of ours works by, as they lie in its map.

One record holds what is promised, the values that are set, and what was counted
since. The program reads the values from there; so whoever reads the record knows
what is really in force, and needs no other note of it.
"""

import struct
from dataclasses import dataclass, field, replace
from typing import Literal

from deadpeer.platforms import LINUX, Name, Platform
from deadpeer.policy.keepalive import Keepalive

__all__ = [
    "GUARD",
    "KEEPER",
    "KEYS",
    "RECORD_SIZE",
    "TERMS",
    "Counts",
    "Setting",
    "Terms",
    "counter_at",
    "decode",
    "encode",
    "settings",
]

# How bpf(2) shows the programs and their map; at most 15 characters.
KEEPER = "deadpeer_keeper"
GUARD = "deadpeer_guard"
TERMS = "deadpeer_terms"

Key = Literal["on"] | Name

# The switch comes first: see the order in which a socket is set.
KEYS: tuple[Key, ...] = (
    "on",
    "idle",
    "interval",
    "probes",
    "user_timeout",
    "rto_max",
)
MAGIC = 0x64656164  # "dead"
VERSION = 1

# Native order and no gaps: four numbers of 32 bits about the whole, the six
# values in the kernel's units (0: not set), four counters of 64 bits.
HEAD = "=4I"
LAYOUT = struct.Struct("=4I6I4Q")
RECORD_SIZE = LAYOUT.size  # bytes
VALUES_AT = struct.calcsize(HEAD)
COUNTS_AT = VALUES_AT + 4 * len(KEYS)
COUNTED = ("made", "accepted", "refused", "swallowed")
MILLISECONDS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """
    What a program has done so far.

    Args:
        made: Connections that were made to others.
        accepted: Connections that were accepted.
        refused: Settings that the kernel did not take.
        swallowed: Settings of the programs' own that were not let through.
    """

    made: int = 0
    accepted: int = 0
    refused: int = 0
    swallowed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """
    What is promised to the connections of a cgroup.

    Args:
        keepalive: The values that each connection gets.
        within: The promise that they were planned for, in seconds, if any.
        pin: Programs cannot set values of their own.
        counts: What was done so far.
    """

    keepalive: Keepalive
    within: float | None = None
    pin: bool = False
    counts: Counts = field(default_factory=Counts)

    @property
    def effective(self) -> Keepalive:
        """The values, with the switch as it will be."""
        return replace(self.keepalive, on=self.keepalive.wants_on)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """
    One option that the program sets.

    Args:
        key: Our name for it.
        level: The option's level.
        number: The option's number.
        value: In the kernel's unit.
    """

    key: Key
    level: int
    number: int
    value: int

    @property
    def at(self) -> int:
        """Where in the record its value is, in bytes."""
        return VALUES_AT + 4 * KEYS.index(self.key)


def settings(keepalive: Keepalive, platform: Platform = LINUX) -> tuple[Setting, ...]:
    """
    Return the options to be set, in order.

    Args:
        keepalive: The values; what is None or zero is left alone.
        platform: Linux's row, with the options that the running kernel has.

    Raises:
        ConfigError: A value is out of range.
        UnsupportedError: The kernel has no such option.

    >>> [s.number for s in settings(Keepalive(idle=4, user_timeout=3.5))]
    [9, 4, 18]
    """
    found = [
        Setting(
            key=name,
            level=platform.options[name].level,
            number=platform.options[name].number,
            value=v,
        )
        for name, v in keepalive.in_units(platform).items()
        if v
    ]
    if keepalive.wants_on:
        switch = platform.switch
        found.append(
            Setting(key="on", level=switch.level, number=switch.number, value=1)
        )
    return tuple(sorted(found, key=lambda setting: KEYS.index(setting.key)))


def counter_at(name: str) -> int:
    """
    Return where in the record a counter is, in bytes.

    Args:
        name: A field of ``Counts``.
    """
    return COUNTS_AT + 8 * COUNTED.index(name)


def encode(terms: Terms, platform: Platform = LINUX) -> bytes:
    """
    Return the record.

    Args:
        terms: What it says.
        platform: Linux's row, with the options that the running kernel has.

    Raises:
        ConfigError: A value is out of range.
        UnsupportedError: The kernel has no such option.
    """
    values = {s.key: s.value for s in settings(terms.keepalive, platform)}
    counts = terms.counts
    return LAYOUT.pack(
        MAGIC,
        VERSION,
        round((terms.within or 0.0) * MILLISECONDS),
        terms.pin,
        *(values.get(key, 0) for key in KEYS),
        *(getattr(counts, name) for name in COUNTED),
    )


def decode(record: bytes, platform: Platform = LINUX) -> Terms | None:
    """
    Return what a record says; None if it is none of ours, or of another version.

    Args:
        record: What was read from the map.
        platform: Linux's row.
    """
    if len(record) != RECORD_SIZE:
        return None
    magic, version, within, pin, *numbers = LAYOUT.unpack(record)
    if (magic, version) != (MAGIC, VERSION):
        return None
    values = dict(zip(KEYS, numbers[: len(KEYS)], strict=True))
    on = bool(values.pop("on")) or None
    units: dict[Name, int] = {
        key: number for key, number in values.items() if number and key != "on"
    }
    return Terms(
        keepalive=Keepalive.from_units(units, platform=platform, on=on),
        within=within / MILLISECONDS or None,
        pin=bool(pin),
        counts=Counts(**dict(zip(COUNTED, numbers[len(KEYS) :], strict=True))),
    )
