"""The rows of macOS and of the BSDs, which share an ancestor and little else."""

from deadpeer.platforms.rows import Defaults, Option, Platform

__all__ = [
    "DRAGONFLY",
    "DRAGONFLY_BEFORE_5_8",
    "FREEBSD",
    "MACOS",
    "NETBSD",
    "OPENBSD",
]

# sys/socket.h of all of them, as in 4.3BSD.
BSD_SWITCH = Option(name="SO_KEEPALIVE", number=8, lowest=0, highest=1, level=0xFFFF)

# tcp_timer.h of all of them: TCPTV_KEEP_IDLE, TCPTV_KEEPINTVL, TCPTV_KEEPCNT,
# TCPTV_REXMTMAX. Retries are TCP_MAXRXTSHIFT.
BSD_DEFAULTS = Defaults(
    idle=7200.0, interval=75.0, probes=8, retries=12, syn_linear=0, rto_max=64.0
)

# The kernels multiply by their 1000 ticks a second in 32 bits.
MOST_SECONDS = (2**32 - 1) // 1000
MOST_INT = 2**31 - 1

NO_USER_TIMEOUT = "nothing; data in flight follows the system's own limit"
NO_RTO_MAX = "nothing"
ZERO_GIVES_BACK = (
    "Zero gives idle, interval and probes back to the system. That is not used here:"
    " what a socket shows may be its own or the system's, and nobody can tell."
)

MACOS = Platform(
    name="macos",
    title="macOS",
    options={
        "idle": Option(
            name="TCP_KEEPALIVE", number=0x10, lowest=1, highest=MOST_SECONDS, pins=True
        ),
        "interval": Option(
            name="TCP_KEEPINTVL",
            number=0x101,
            lowest=1,
            highest=MOST_SECONDS,
            pins=True,
            since="OS X 10.9",
        ),
        "probes": Option(
            name="TCP_KEEPCNT",
            number=0x102,
            lowest=1,
            highest=MOST_INT,
            pins=True,
            since="OS X 10.9",
        ),
        "user_timeout": Option(
            name="TCP_RXT_CONNDROPTIME",
            number=0x80,
            lowest=1,
            highest=MOST_SECONDS,
            zero_is_off=True,
        ),
    },
    switch=BSD_SWITCH,
    defaults=BSD_DEFAULTS,
    inherited=frozenset({"on", "interval", "probes"}),
    harms_listener=True,
    absent={"rto_max": NO_RTO_MAX},
    notes=(
        (
            "Python has socket.TCP_KEEPALIVE since 3.10; the user timeout's number is"
            " not in the socket module."
        ),
        (
            "TCP_RXT_CONNDROPTIME runs from the first retransmission and is looked at"
            " when a retransmission is due. It covers data in flight only: connecting"
            " has TCP_CONNECTIONTIMEOUT (0x20), a closed window PERSIST_TIMEOUT (0x40)."
        ),
        (
            "An accepted socket does not inherit the idle time, and keepalive on a"
            " listening socket ends the listener (FujiNetWIFI/tnfsd#24)."
        ),
        "The sysctls net.inet.tcp.keepidle and keepintvl count in milliseconds.",
        ZERO_GIVES_BACK,
    ),
    sources=(
        (
            "xnu bsd/netinet/tcp.h, tcp_usrreq.c (tcp_ctloutput), tcp_timer.h,"
            " tcp_timer.c (TCPT_REXMT) and tcp_input.c (what a listener hands on),"
            " xnu-11417.101.15"
        ),
    ),
)

FREEBSD = Platform(
    name="freebsd",
    title="FreeBSD",
    options={
        "idle": Option(
            name="TCP_KEEPIDLE",
            number=0x100,
            lowest=1,
            highest=MOST_SECONDS,
            pins=True,
            since="FreeBSD 9",
        ),
        "interval": Option(
            name="TCP_KEEPINTVL",
            number=0x200,
            lowest=1,
            highest=MOST_SECONDS,
            pins=True,
            since="FreeBSD 9",
        ),
        "probes": Option(
            name="TCP_KEEPCNT",
            number=0x400,
            lowest=1,
            highest=MOST_INT,
            pins=True,
            since="FreeBSD 9",
        ),
        "user_timeout": Option(
            name="TCP_MAXUNACKTIME",
            number=68,
            lowest=1,
            highest=MOST_SECONDS,
            zero_is_off=True,
            since="FreeBSD 14",
        ),
    },
    switch=BSD_SWITCH,
    defaults=BSD_DEFAULTS,
    inherited=frozenset({"on", "idle", "interval", "probes"}),
    absent={"rto_max": NO_RTO_MAX},
    notes=(
        (
            "TCP_MAXUNACKTIME ends a connection of which no byte was acknowledged for"
            " that long, with data in flight and behind a closed window."
        ),
        (
            "The sysctls net.inet.tcp.keepidle, keepintvl and maxunacktime count in"
            " milliseconds."
        ),
        ZERO_GIVES_BACK,
    ),
    sources=(
        "FreeBSD tcp(4), which also says what accept(2) inherits",
        (
            "FreeBSD sys/netinet/tcp_usrreq.c (tcp_default_ctloutput), tcp_timer.c"
            " (tcp_maxunacktime_check), tcp_syncache.c (syncache_socket)"
        ),
        "rust-lang/libc src/unix/bsd/freebsdlike/freebsd/mod.rs for the numbers",
    ),
)

NETBSD = Platform(
    name="netbsd",
    title="NetBSD",
    options={
        "idle": Option(
            name="TCP_KEEPIDLE", number=3, lowest=1, highest=MOST_INT, pins=True
        ),
        "interval": Option(
            name="TCP_KEEPINTVL", number=5, lowest=1, highest=MOST_INT, pins=True
        ),
        "probes": Option(
            name="TCP_KEEPCNT", number=6, lowest=1, highest=MOST_INT, pins=True
        ),
    },
    switch=BSD_SWITCH,
    defaults=BSD_DEFAULTS,
    inherited=frozenset({"on"}),
    harms_listener=True,
    unreadable=frozenset({"idle", "interval", "probes"}),
    absent={"user_timeout": NO_USER_TIMEOUT, "rto_max": NO_RTO_MAX},
    notes=(
        (
            "Older kernels take these options and do not read them back"
            " (tcp_usrreq.c 1.209 has no getsockopt for them)."
        ),
        (
            "The manual counts seconds; tcp_usrreq.c 1.209 stores the number as it is"
            " among timers that the kernel keeps in half seconds. Which one holds was"
            " not measured: a death may be found in half of the time."
        ),
        (
            "What an accepted socket inherits beside the switch was not found out, and"
            " keepalive on a listening socket ends the listener (syslog-ng#3751)."
        ),
    ),
    sources=(
        "NetBSD tcp(4); sys/netinet/tcp_usrreq.c 1.209 (tcp_ctloutput)",
        (
            "rust-lang/libc src/unix/bsd/netbsdlike/netbsd/mod.rs and mikioh/tcp"
            " sys_netbsd.go for the numbers"
        ),
    ),
)

OPENBSD = Platform(
    name="openbsd",
    title="OpenBSD",
    options={},
    switch=BSD_SWITCH,
    defaults=BSD_DEFAULTS,
    inherited=frozenset({"on"}),
    absent={
        "idle": "sysctl net.inet.tcp.keepidle, in half seconds, for all sockets",
        "interval": "sysctl net.inet.tcp.keepintvl, in half seconds, for all sockets",
        "probes": "nothing; always 8",
        "user_timeout": NO_USER_TIMEOUT,
        "rto_max": NO_RTO_MAX,
    },
    fixed_probes=8,
    notes=("Only the switch can be set on a socket; use heartbeats.",),
    sources=(
        (
            "OpenBSD sys/netinet/tcp.h, tcp_timer.h, sysctl(2);"
            " mikebrady/shairport-sync#1794"
        ),
    ),
)


def dragonfly(*, name: str, title: str, unit: float, highest: int) -> Platform:
    """
    Return the row of one era of DragonFly BSD.

    Args:
        name: The row's name.
        title: What people call it.
        unit: Seconds in one unit of idle and interval.
        highest: The largest idle and interval, in that unit.
    """
    return Platform(
        name=name,
        title=title,
        options={
            "idle": Option(
                name="TCP_KEEPIDLE",
                number=0x100,
                lowest=1,
                highest=highest,
                unit=unit,
                pins=True,
            ),
            "interval": Option(
                name="TCP_KEEPINTVL",
                number=0x200,
                lowest=1,
                highest=highest,
                unit=unit,
                pins=True,
            ),
            "probes": Option(
                name="TCP_KEEPCNT", number=0x400, lowest=1, highest=MOST_INT, pins=True
            ),
        },
        switch=BSD_SWITCH,
        defaults=BSD_DEFAULTS,
        inherited=frozenset({"on", "idle", "interval", "probes"}),
        absent={"user_timeout": NO_USER_TIMEOUT, "rto_max": NO_RTO_MAX},
        notes=(
            (
                "The unit changed from milliseconds to seconds in 5.7 development"
                " (__DragonFly_version 500702), so 5.8 is the first release with seconds."
            ),
        ),
        sources=(
            (
                "DragonFly tcp(4), commit efb6b593a9259211ac57951350224e2e4278c8be,"
                " which also says what accept(2) inherits; release notes of 5.8"
            ),
            "curl lib/cf-socket.c and nginx#258 for the change of the unit",
            "rust-lang/libc src/unix/bsd/freebsdlike/mod.rs for the numbers",
        ),
    )


DRAGONFLY = dragonfly(
    name="dragonfly",
    title="DragonFly BSD 5.8 and later",
    unit=1.0,
    highest=MOST_INT // 1000,
)
DRAGONFLY_BEFORE_5_8 = dragonfly(
    name="dragonfly-before-5.8",
    title="DragonFly BSD before 5.8",
    unit=0.001,
    highest=MOST_INT,
)
