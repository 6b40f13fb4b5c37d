"""Linux's row: the one that this project runs, reads back and measures."""

from deadpeer.platforms.rows import Option, Platform

__all__ = ["LINUX"]

LINUX = Platform(
    name="linux",
    title="Linux",
    options={
        "idle": Option(
            name="TCP_KEEPIDLE", number=4, lowest=1, highest=32767, pins=True
        ),
        "interval": Option(
            name="TCP_KEEPINTVL", number=5, lowest=1, highest=32767, pins=True
        ),
        "probes": Option(
            name="TCP_KEEPCNT", number=6, lowest=1, highest=127, pins=True
        ),
        "user_timeout": Option(
            name="TCP_USER_TIMEOUT",
            number=18,
            lowest=1,
            highest=2**31 - 1,
            unit=0.001,
            zero_is_off=True,
            since="Linux 2.6.37",
        ),
        "rto_max": Option(
            name="TCP_RTO_MAX_MS",
            number=44,
            lowest=1000,
            highest=120_000,
            unit=0.001,
            # Stored in ticks: 1001 ms read back as 1004 ms at 250 Hz. A tick
            # of the slowest kernel, CONFIG_HZ=100, is 10 ms.
            grain=10,
            since="Linux 6.15",
        ),
    },
    probes_yield=True,
    inherited=frozenset(
        {"on", "idle", "interval", "probes", "user_timeout", "rto_max"}
    ),
    ran="Linux 6.18",
    notes=(
        (
            "The user timeout covers connecting, data in flight and a closed window;"
            " it ends a live peer too whose window stays closed for that long."
        ),
        "The user timeout alone does nothing on an idle connection.",
        (
            "Idle, interval and probes cannot be given back to the system: zero is"
            " refused, so an old value that is put back is the socket's own."
        ),
        (
            "The range of the sysctls is wider than that of the options: a value read"
            " from a socket that follows the system may be one it would not take."
        ),
        "MPTCP sockets refuse TCP_USER_TIMEOUT (ENOPROTOOPT).",
    ),
    sources=(
        "Linux net/ipv4/tcp.c, do_tcp_setsockopt() and tcp_sock_set_keepidle_locked()",
        "Linux include/net/tcp.h, MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL, MAX_TCP_KEEPCNT",
        "Linux include/uapi/linux/tcp.h for the numbers; tcp(7)",
    ),
)
