"""
The kernel's timers as arithmetic: how late they run, and what they add up to.

Everything here is Linux, named after the function in ``net/ipv4`` that it
follows. Results are seconds.
"""

from functools import lru_cache
from itertools import accumulate

from deadpeer.platforms import Defaults

__all__ = [
    "first_retransmission",
    "gaps",
    "give_up_after",
    "lateness",
    "persist_schedule",
    "retransmission_timeout",
    "syn_schedule",
]

# CONFIG_HZ of the kernels that distributions ship. Where it is not known which
# one runs, bounds take the worst of them.
HZ = (100, 250, 300, 1000)

# The timer wheel: eight levels, each with slots eight times as wide as the
# last; a level reaches 63 slots of the level below it.
LEVELS = 8
WIDENING = 8
SLOTS = 63

# A SYN has no round trip to go by: RFC 6298, section 2 (TCP_TIMEOUT_INIT).
SYN_TIMEOUT = 1.0

# What tcp_model_timeout() reckons with, whatever the connection's own minimum.
MODEL_RTO = 0.2


@lru_cache(maxsize=4096)
def lateness(seconds: float, hz: int | None = None) -> float:
    """
    Return how late a kernel timer may fire that was set for *seconds*.

    Linux rounds a timer up to the next slot of its wheel and never moves it to
    a finer one, so it is never early, and late by one slot at the most: about
    one part in eight of its length. One tick is added for the moment of setting.

    Args:
        seconds: What the timer was set for.
        hz: The kernel's ticks a second; None takes the worst of the usual ones.

    Returns:
        Seconds.

    Source:
        Linux kernel/time/timer.c, calc_index() and calc_wheel_index().

    >>> lateness(1.0), lateness(1.0, 250), lateness(7200.0)
    (0.09, 0.036, 873.8166666666667)
    """
    if hz is None:
        return max(lateness(seconds, usual) for usual in HZ)
    return (_slot(seconds * hz) + 1) / hz


def _slot(ticks: float) -> int:
    width = 1
    for _ in range(LEVELS - 1):
        if ticks < SLOTS * width:
            break
        width *= WIDENING
    return width


def retransmission_timeout(rtt: float, defaults: Defaults) -> tuple[float, float]:
    """
    Return the least and the greatest first retransmission timeout of a connection.

    A connection that has measured a few steady round trips waits for one of
    them and the minimum; a fresh one that has measured a single round trip waits
    for three.

    Args:
        rtt: The round-trip time, in seconds.
        defaults: The system's settings, for ``rto_min``.

    Returns:
        Two durations in seconds.

    Source:
        RFC 6298, section 2; Linux tcp_input.c, tcp_rtt_estimator() and
        tcp_set_rto().

    >>> retransmission_timeout(0.2, Defaults())
    (0.2, 0.6000000000000001)
    """
    # The least is written without the round trip: it may have been shorter
    # while the estimate was made.
    return defaults.rto_min, max(rtt + defaults.rto_min, 3 * rtt)


def first_retransmission(rtt: float, defaults: Defaults) -> tuple[float, float]:
    """
    Return when the first retransmission follows unacknowledged data.

    The user timeout runs from here, and not from the write. A tail loss probe
    may come first and sets the timer anew, so it takes up to two timeouts
    (measured on Linux 6.18: 0.49, 0.92 and 1.77 s at round trips of 20, 200
    and 600 ms).

    Args:
        rtt: The round-trip time, in seconds.
        defaults: The system's settings, for ``rto_min``.

    Returns:
        The earliest and the latest, in seconds after the write.

    Source:
        Linux tcp_output.c, tcp_schedule_loss_probe() and tcp_send_loss_probe();
        tcp_timer.c, retransmits_timed_out(), which counts from retrans_stamp.
    """
    least, greatest = retransmission_timeout(rtt, defaults)
    return least, 2 * (greatest + lateness(greatest, defaults.hz))


def give_up_after(retries: int, rto_max: float, *, base: float = MODEL_RTO) -> float:
    """
    Return how long the kernel goes on retransmitting.

    Args:
        retries: ``tcp_retries2`` for data, ``tcp_syn_retries`` for a SYN.
        rto_max: The largest retransmission timeout, in seconds.
        base: The timeout that the kernel reckons with: its minimum for data, the
            initial one for a SYN; in seconds.

    Returns:
        Seconds, from the first retransmission of data, or from the SYN; the
        connection ends at the first timer that is due after them.

    Source:
        Linux tcp_timer.c, tcp_model_timeout(): 924.6 s for 15 retries, 120 s.

    >>> round(give_up_after(15, 120.0), 6), round(give_up_after(15, 1.0), 6)
    (924.6, 14.4)
    """
    doubled = 0
    while doubled < retries and base * (2 << doubled) <= rto_max:
        doubled += 1
    return base * ((2 << doubled) - 1) + (retries - doubled) * rto_max


def persist_schedule(rto: float, rto_max: float, probes: int) -> list[float]:
    """
    Return when a closed window is probed.

    Args:
        rto: The first retransmission timeout, in seconds.
        rto_max: The largest, in seconds.
        probes: How many instants to return.

    Returns:
        Seconds after the window closed, earliest first.

    Source:
        Linux include/net/tcp.h, tcp_probe0_when(); RFC 9293, section 3.8.6.1.

    >>> persist_schedule(0.2, 1.0, 5)
    [0.2, 0.6000000000000001, 1.4000000000000001, 2.4000000000000004, 3.4000000000000004]
    """
    # 2**10 is already more than any rto_max over any rto.
    gaps = (min(rto * 2 ** min(n, 30), rto_max) for n in range(probes))
    return list(accumulate(gaps))


def syn_schedule(defaults: Defaults, rto_max: float) -> tuple[list[float], float]:
    """
    Return when a connect sends its SYN, and when it gives up by itself.

    Args:
        defaults: The system's settings, for the two kinds of SYN retries.
        rto_max: The largest retransmission timeout, in seconds.

    Returns:
        The instants of sending, the first at 0, and the instant of giving up,
        all in seconds after connect was called.

    Source:
        Linux tcp_timer.c, tcp_write_timeout() and tcp_retransmit_timer();
        ip-sysctl, tcp_syn_retries and tcp_syn_linear_timeouts. Measured on
        Linux 6.18: 134.1 s for 131 s, timers running late.

    >>> syn_schedule(Defaults(syn_retries=3), 120.0)
    ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 11.0], 19.0)
    """
    linear = [SYN_TIMEOUT] * defaults.syn_linear
    doubling = [
        min(SYN_TIMEOUT * 2**n, rto_max) for n in range(defaults.syn_retries + 1)
    ]
    instants = [0.0, *accumulate(linear + doubling)]
    return instants[:-1], instants[-1]


def gaps(instants: list[float]) -> list[float]:
    """
    Return what lies between instants, and before the first.

    Args:
        instants: Seconds after the start, earliest first.

    >>> gaps([1.0, 3.0, 7.0])
    [1.0, 2.0, 4.0]
    """
    return [b - a for a, b in zip([0.0, *instants], instants, strict=False)]
