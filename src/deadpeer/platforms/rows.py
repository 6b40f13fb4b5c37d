"""
The columns of the platform table: what a row says about one system.

A platform is a row of data and never an ``if``. Whatever differs between
systems in this package is read from a row; code that needs a new difference
adds a column.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["IPPROTO_TCP", "Defaults", "Name", "Option", "Platform"]

# RFC 9293 and every socket API: TCP's protocol number is also its level.
IPPROTO_TCP = 6

Name = Literal["idle", "interval", "probes", "user_timeout", "rto_max"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """
    One socket option of one system.

    Args:
        name: As the system's header spells it.
        number: The value of that name.
        lowest: The smallest value that the kernel takes, in its own unit.
        highest: The largest, in its own unit.
        unit: Seconds in one unit: 1.0, 0.001, and 1.0 for a plain count.
        level: The protocol level, ``IPPROTO_TCP`` if not said otherwise.
        zero_is_off: Zero is taken, and switches the timeout off.
        grain: How much more than was asked the kernel may store, in the
            option's unit: it counts some times in ticks of its own.
        pins: A socket that never set it follows the system's setting; one that
            did keeps its own value and cannot go back.
        since: The first system that has it, where some in use do not.
    """

    name: str
    number: int
    lowest: int
    highest: int
    unit: float = 1.0
    level: int = IPPROTO_TCP
    zero_is_off: bool = False
    grain: int = 0
    pins: bool = False
    since: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """
    The settings of a whole system, which a socket has where it sets none.

    Args:
        idle: Seconds of silence before the first probe.
        interval: Seconds between probes.
        probes: Unanswered probes that end a connection.
        retries: Retransmissions of data before giving up (``tcp_retries2``).
        syn_retries: Retransmissions of a SYN whose timeout doubles.
        syn_linear: Retransmissions of a SYN before that, a second apart.
        rto_min: The floor under the variance part of the retransmission
            timeout, in seconds.
        rto_max: The largest retransmission timeout, in seconds.
        hz: Ticks a second of the clock that the kernel's timers go by
            (``CONFIG_HZ``); None if it is not known.
    """

    idle: float = 7200.0
    interval: float = 75.0
    probes: int = 9
    retries: int = 15
    syn_retries: int = 6
    syn_linear: int = 4
    rto_min: float = 0.2
    rto_max: float = 120.0
    hz: int | None = None


# Linux, on every architecture that Python is used on but MIPS and SPARC.
LINUX_SWITCH = Option(name="SO_KEEPALIVE", number=9, lowest=0, highest=1, level=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """
    One row: a system, or an era of one.

    Args:
        name: What ``platform_named`` finds it by.
        title: What people call it.
        options: The socket options it has, by our name for them.
        switch: The option that turns keepalive on and off.
        defaults: What a socket has where nothing was set.
        probes_yield: A user timeout makes the kernel ignore *probes*
            (Linux: ``tcp_keepalive_timer``).
        inherited: Which settings an accepted socket takes from its listener;
            ``"on"`` is the switch.
        harms_listener: Keepalive on a listening socket ends the listener.
        fixed_probes: The number of probes where it cannot be set.
        whole: Settings that can only be written together and not read back
            (Windows: ``SIO_KEEPALIVE_VALS``), in the order that they are written.
        unreadable: Settings that some kernels of this row do not read back.
        absent: For settings it has no option for: what stands in for them.
        ran: On which system this row was run; empty if on none.
        notes: What a user of this system should know.
        sources: Where the row's numbers are written.
    """

    name: str
    title: str
    # Mappings have no hash; a row is known by the rest of it well enough.
    options: Mapping[Name, Option] = field(hash=False)
    switch: Option = LINUX_SWITCH
    defaults: Defaults = field(default_factory=Defaults)
    probes_yield: bool = False
    inherited: frozenset[str] = frozenset()
    harms_listener: bool = False
    fixed_probes: int | None = None
    whole: tuple[Name, ...] = ()
    unreadable: frozenset[Name] = frozenset()
    absent: Mapping[Name, str] = field(default_factory=dict, hash=False)
    ran: str = ""
    notes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
