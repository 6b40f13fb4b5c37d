"""
The system settings that decide when Linux calls a TCP peer dead: one row each.

A setting is a row of data: its name under ``/proc/sys``, what it means, what the
kernel starts with, what the kernel takes, and what this package takes. The last
two differ: the kernel takes keepalive times that no socket option can express
and zeros that end every connection, without a word.
"""

import re
from dataclasses import dataclass

__all__ = [
    "KEEPALIVE",
    "SETTINGS",
    "Setting",
    "number_as_kernel_reads",
    "setting_named",
]

# include/linux/jiffies.h at HZ=250: proc_dointvec_jiffies() refuses what does
# not fit 31 bits of ticks. Kernels built with HZ=1000 refuse from 2147484 on.
HIGHEST_JIFFIES_SECONDS = (2**31 - 1) // 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """
    One system setting.

    Args:
        name: Our name for it, also the name of its option on the command line.
        key: The kernel's name for it, with dots.
        meaning: What it does, as one sentence.
        unit: What its number counts: ``s``, ``ms``, ``µs``, or empty for a count.
        default: What the kernel starts every network namespace with.
        lowest: The smallest number that this package sets.
        highest: The largest number that this package sets.
        kernel_lowest: The smallest number that the kernel takes.
        kernel_highest: The largest number that the kernel takes, at HZ=250.
        settable: ``deadpeer system set`` can change it.
        since: The kernel version that brought it, where that matters.
    """

    name: str
    key: str
    meaning: str
    unit: str
    default: int
    lowest: int
    highest: int
    kernel_lowest: int
    kernel_highest: int
    settable: bool = False
    since: str = ""

    def takes(self, text: str) -> bool:
        """
        Tell if the kernel takes *text* when it is written to this setting.

        Args:
            text: What a configuration file gives as the value.
        """
        number = number_as_kernel_reads(text)
        return (
            number is not None and self.kernel_lowest <= number <= self.kernel_highest
        )


# Ranges: net/ipv4/sysctl_net_ipv4.c, ipv4_net_table; meanings:
# Documentation/networking/ip-sysctl.rst. Both written and read back on Linux 6.18.
SETTINGS: tuple[Setting, ...] = (
    Setting(
        name="time",
        key="net.ipv4.tcp_keepalive_time",
        meaning="Seconds of silence before the first keepalive probe.",
        unit="s",
        default=7200,
        lowest=1,
        highest=32767,
        kernel_lowest=-HIGHEST_JIFFIES_SECONDS,
        kernel_highest=HIGHEST_JIFFIES_SECONDS,
        settable=True,
    ),
    Setting(
        name="interval",
        key="net.ipv4.tcp_keepalive_intvl",
        meaning="Seconds between one keepalive probe and the next.",
        unit="s",
        default=75,
        lowest=1,
        highest=32767,
        kernel_lowest=-HIGHEST_JIFFIES_SECONDS,
        kernel_highest=HIGHEST_JIFFIES_SECONDS,
        settable=True,
    ),
    Setting(
        name="probes",
        key="net.ipv4.tcp_keepalive_probes",
        meaning="Unanswered keepalive probes in a row that end a connection.",
        unit="",
        default=9,
        lowest=1,
        highest=127,
        kernel_lowest=0,
        kernel_highest=255,
        settable=True,
    ),
    Setting(
        name="retries2",
        key="net.ipv4.tcp_retries2",
        meaning="How often data is sent again, ever more slowly, before giving up.",
        unit="",
        default=15,
        lowest=1,
        highest=255,
        kernel_lowest=0,
        kernel_highest=255,
        settable=True,
    ),
    Setting(
        name="syn-retries",
        key="net.ipv4.tcp_syn_retries",
        meaning="How often a connection attempt is repeated at doubling distances.",
        unit="",
        default=6,
        lowest=1,
        highest=127,
        kernel_lowest=1,
        kernel_highest=127,
        settable=True,
    ),
    Setting(
        name="syn-linear-timeouts",
        key="net.ipv4.tcp_syn_linear_timeouts",
        meaning="How often a connection attempt is repeated at even distances first.",
        unit="",
        default=4,
        lowest=0,
        highest=127,
        kernel_lowest=0,
        kernel_highest=127,
        since="6.5",
    ),
    Setting(
        name="rto-max",
        key="net.ipv4.tcp_rto_max_ms",
        meaning="The longest wait between two retransmissions.",
        unit="ms",
        default=120_000,
        lowest=1000,
        highest=120_000,
        kernel_lowest=1000,
        kernel_highest=120_000,
        since="6.15",
    ),
    Setting(
        name="rto-min",
        key="net.ipv4.tcp_rto_min_us",
        meaning="The shortest wait before the first retransmission.",
        unit="µs",
        default=200_000,
        lowest=1,
        highest=2**31 - 1,
        kernel_lowest=1,
        kernel_highest=2**31 - 1,
        since="6.11",
    ),
)

KEEPALIVE: tuple[Setting, ...] = SETTINGS[:3]

_BY_NAME = {row.name: row for row in SETTINGS} | {row.key: row for row in SETTINGS}

_KERNEL_NUMBER = re.compile(
    r"[ \t\n\v\f\r]*(-?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)(?=[ \t\n]|\Z)"
)


def setting_named(name: str) -> Setting:
    """
    Return the row of a setting.

    Args:
        name: Our name (``time``) or the kernel's (``net.ipv4.tcp_keepalive_time``).

    Raises:
        KeyError: There is no such row.

    >>> setting_named("time").default
    7200
    """
    return _BY_NAME[name]


def number_as_kernel_reads(text: str) -> int | None:
    """
    Return the number that the kernel takes from *text*, or None if it takes none.

    The kernel reads C notation: ``010`` is eight and ``0x10`` sixteen. It stops
    at white space and ignores the rest, a comment for instance.

    Source:
        kernel/sysctl.c, proc_get_long(); written and read back on Linux 6.18.

    >>> number_as_kernel_reads("7200"), number_as_kernel_reads(" 010 9")
    (7200, 8)
    >>> number_as_kernel_reads("5.5") is number_as_kernel_reads("60s") is None
    True
    """
    match = _KERNEL_NUMBER.match(text)
    if match is None:
        return None
    sign, digits = match.groups()
    octal = len(digits) > 1 and digits.startswith("0") and digits[1] not in "xX"
    number = int(digits, 8 if octal else 0)
    return -number if sign else number
