"""
The table: what each system calls its keepalive options, and what they take.

A platform is a row of data and never an ``if``. Whatever differs between
systems in this package is read from a row; code that needs a new difference
adds a column. Every row is tested as data on every platform; the Linux row is
also tested against the kernel.
"""

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["LINUX", "PLATFORMS", "Defaults", "Option", "Platform", "platform_named"]

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
    """

    name: str
    number: int
    lowest: int
    highest: int
    unit: float = 1.0
    level: int = IPPROTO_TCP
    zero_is_off: bool = False


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
    """

    idle: float = 7200.0
    interval: float = 75.0
    probes: int = 9
    retries: int = 15
    syn_retries: int = 6
    syn_linear: int = 4
    rto_min: float = 0.2
    rto_max: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """
    One row: a system, or an era of one.

    Args:
        name: What ``platform_named`` finds it by.
        title: What people call it.
        options: The socket options it has, by our name for them.
        defaults: What a socket has where nothing was set.
        probes_yield: A user timeout makes the kernel ignore *probes*
            (Linux: ``tcp_keepalive_timer``).
        inherited: Which settings an accepted socket takes from its listener.
        fixed_probes: The number of probes where it cannot be set.
        whole: Settings that can only be written together and not read back
            (Windows: ``SIO_KEEPALIVE_VALS``), in the order that they are written.
        ran: On which system this row was run; empty if on none.
        notes: What a user of this system should know.
    """

    name: str
    title: str
    options: dict[Name, Option]
    defaults: Defaults = field(default_factory=Defaults)
    probes_yield: bool = False
    inherited: frozenset[str] = frozenset()
    fixed_probes: int | None = None
    whole: tuple[Name, ...] = ()
    ran: str = ""
    notes: tuple[str, ...] = ()


LINUX = Platform(
    name="linux",
    title="Linux",
    # Ranges: net/ipv4/tcp.c, do_tcp_setsockopt() and MAX_TCP_KEEP* in
    # include/net/tcp.h; set and read back on Linux 6.18.
    options={
        "idle": Option(name="TCP_KEEPIDLE", number=4, lowest=1, highest=32767),
        "interval": Option(name="TCP_KEEPINTVL", number=5, lowest=1, highest=32767),
        "probes": Option(name="TCP_KEEPCNT", number=6, lowest=1, highest=127),
        "user_timeout": Option(
            name="TCP_USER_TIMEOUT",
            number=18,
            lowest=1,
            highest=2**31 - 1,
            unit=0.001,
            zero_is_off=True,
        ),
        # Since Linux 6.15; older kernels answer ENOPROTOOPT.
        "rto_max": Option(
            name="TCP_RTO_MAX_MS", number=44, lowest=1000, highest=120_000, unit=0.001
        ),
    },
    probes_yield=True,
    inherited=frozenset(
        {"on", "idle", "interval", "probes", "user_timeout", "rto_max"}
    ),
    ran="Linux 6.18",
)

PLATFORMS: tuple[Platform, ...] = (LINUX,)
