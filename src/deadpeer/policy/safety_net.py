"""
The kernel's settings beneath a heartbeat: for the day on which nobody judges.

A program that is stopped, or that hangs, gives no verdict; its connections should not
outlive their peers for hours all the same. But the kernel must never decide first: who
would be forgiven by the heartbeat is forgiven by the net. So it waits for longer in
every state, and there is no user timeout in it: that one ends a live peer, too, that
takes data from a small window slowly, since the kernel does not count every part of a
segment that is taken as progress (measured on Linux 6.18: 3 of 55 peers that read 1
Mbit/s were ended after 10 s by a user timeout of 10 s).

Source: Linux net/ipv4/tcp_timer.c, tcp_keepalive_timer(), tcp_probe_timer(),
tcp_rtx_probe0_timed_out(); net/ipv4/tcp_input.c, tcp_ack_probe().
"""

from deadpeer.platforms import Platform
from deadpeer.platforms.rows import Name
from deadpeer.policy.heartbeat import Heartbeat
from deadpeer.policy.keepalive import Keepalive

__all__ = ["safety_net"]

# The net waits for so many times the heartbeat's promise, and so many seconds at least.
SLACK = 3
NARROWEST = 30.0

PROBES = 5

# A peer that takes back window it had offered is given up after two pauses of silence.
PAUSES_OF_SILENCE = 2

# What is in flight is sent again so often: Linux sysctl tcp_retries2, its default.
RETRIES = 15


def safety_net(heartbeat: Heartbeat, platform: Platform) -> Keepalive:
    """
    Return what is set beneath a heartbeat, as much of it as the platform takes.

    The first probe comes when the heartbeat would have given its verdict, so that a
    working one is never disturbed by a packet more.

    Args:
        heartbeat: Who decides.
        platform: The row of the system.

    Raises:
        ConfigError: Not with a heartbeat that could be made.

    >>> from deadpeer.platforms import LINUX
    >>> safety_net(Heartbeat(interval=20, timeout=10), LINUX)
    Keepalive(idle=30.0, interval=12.0, probes=5, rto_max=15.0, on=True)
    """
    wide = max(NARROWEST, SLACK * heartbeat.detection)
    wanted: dict[Name, float] = {
        "idle": wide / SLACK,
        "interval": (wide - wide / SLACK) / PROBES,
        "probes": PROBES,
        # The least that forgives what the heartbeat does.
        "rto_max": max(wide / RETRIES, heartbeat.detection / PAUSES_OF_SILENCE),
    }
    net = {
        name: min(value, option.highest * option.unit)
        for name, value in wanted.items()
        if (option := platform.options.get(name))
    }
    return Keepalive(on=True, **net)  # type: ignore[arg-type]
