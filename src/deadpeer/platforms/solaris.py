"""The rows of Solaris in both eras, and of illumos, its open descendant."""

from deadpeer.platforms.rows import Defaults, Name, Option, Platform

__all__ = ["ILLUMOS", "SOLARIS", "SOLARIS_BEFORE_11_4"]

# sys/socket.h, as in 4.3BSD.
SUN_SWITCH = Option(name="SO_KEEPALIVE", number=8, lowest=0, highest=1, level=0xFFFF)

# tcp_tunables.c: _keepalive_interval 10 s to 10 days, 2 h by default;
# _keepalive_abort_interval 8 min; _rexmit_interval_min 400 ms, _max 60 s.
LEAST_IDLE, MOST_IDLE = 10, 10 * 86_400
ABORT_AFTER = 8 * 60.0
SUN_DEFAULTS = Defaults(
    idle=7200.0, interval=ABORT_AFTER, probes=1, syn_linear=0, rto_min=0.4, rto_max=60.0
)

# The threshold for data; 5 minutes by default, 8 on older systems.
USER_TIMEOUT = Option(
    name="TCP_ABORT_THRESHOLD",
    number=0x11,
    lowest=1,
    highest=2**31 - 1,
    unit=0.001,
    zero_is_off=True,
)

ABSENT: dict[Name, str] = {
    "rto_max": "TCP_RTO_MAX (0x1b), not used here: it has other limits"
}
ABOUT_TIMEOUT = (
    "TCP_ABORT_THRESHOLD limits the retransmission of data; connecting has"
    " TCP_CONN_ABORT_THRESHOLD (0x13)."
)
ABOUT_TOTAL = (
    "A socket that sets nothing gives up a fixed time after its first probe, 8"
    " minutes by default, with probes further and further apart; so its interval"
    " counts as those 8 minutes and its probes as one."
)
UNSET_IS_ZERO = (
    "Interval and probes read as zero on a socket that never set them, and zero"
    " cannot be put back."
)

ILLUMOS = Platform(
    name="illumos",
    title="illumos",
    options={
        "idle": Option(
            name="TCP_KEEPIDLE",
            number=0x22,
            lowest=LEAST_IDLE,
            highest=MOST_IDLE,
            pins=True,
        ),
        # Between the least and the largest retransmission timeout.
        "interval": Option(
            name="TCP_KEEPINTVL", number=0x24, lowest=1, highest=60, pins=True
        ),
        "probes": Option(
            name="TCP_KEEPCNT", number=0x23, lowest=1, highest=2**31 - 1, pins=True
        ),
        "user_timeout": USER_TIMEOUT,
    },
    switch=SUN_SWITCH,
    defaults=SUN_DEFAULTS,
    inherited=frozenset({"on", "idle", "interval", "probes", "user_timeout"}),
    absent=ABSENT,
    notes=(ABOUT_TIMEOUT, ABOUT_TOTAL, UNSET_IS_ZERO),
    sources=(
        (
            "illumos usr/src/uts/common/netinet/tcp.h, inet/tcp/tcp_opt_data.c"
            " (tcp_opt_set), tcp_tunables.c, and tcp.c for what a child inherits"
        ),
    ),
)

SOLARIS = Platform(
    name="solaris",
    title="Oracle Solaris 11.4 and later",
    options={
        "idle": Option(
            name="TCP_KEEPIDLE",
            number=0x1D,
            lowest=LEAST_IDLE,
            highest=MOST_IDLE,
            pins=True,
            since="Solaris 11.4",
        ),
        "interval": Option(
            name="TCP_KEEPINTVL",
            number=0x1E,
            lowest=1,
            highest=(2**31 - 1) // 1000,
            pins=True,
            since="Solaris 11.4",
        ),
        "probes": Option(
            name="TCP_KEEPCNT",
            number=0x1F,
            lowest=1,
            highest=2**31 - 1,
            pins=True,
            since="Solaris 11.4",
        ),
        "user_timeout": USER_TIMEOUT,
    },
    switch=SUN_SWITCH,
    defaults=SUN_DEFAULTS,
    inherited=frozenset({"on"}),
    absent=ABSENT,
    notes=(
        ABOUT_TIMEOUT,
        ABOUT_TOTAL,
        UNSET_IS_ZERO,
        (
            "The range of interval was not found out; what an accepted socket inherits"
            " beside the switch was not either."
        ),
    ),
    sources=(
        (
            "golang/go src/net/tcpsockopt_solaris.go and rust-lang/libc"
            " src/unix/solarish/solaris.rs for the numbers"
        ),
        "docs.oracle.com, Solaris 11.4 tuning, _keepalive_interval: 10 s to 10 days",
    ),
)

SOLARIS_BEFORE_11_4 = Platform(
    name="solaris-before-11.4",
    title="Oracle Solaris before 11.4",
    options={
        "idle": Option(
            name="TCP_KEEPALIVE_THRESHOLD",
            number=0x16,
            lowest=LEAST_IDLE * 1000,
            highest=MOST_IDLE * 1000,
            unit=0.001,
            pins=True,
        ),
        # The whole time from the first probe to the end: interval × 1 probe.
        "interval": Option(
            name="TCP_KEEPALIVE_ABORT_THRESHOLD",
            number=0x17,
            lowest=1,
            highest=2**31 - 1,
            unit=0.001,
            pins=True,
        ),
        "user_timeout": USER_TIMEOUT,
    },
    switch=SUN_SWITCH,
    defaults=SUN_DEFAULTS,
    inherited=frozenset({"on"}),
    fixed_probes=1,
    absent={
        "probes": "nothing; interval is the whole time from the first probe to the"
        " end, in which the kernel sends several, further and further apart",
        **ABSENT,
    },
    notes=(ABOUT_TIMEOUT, ABOUT_TOTAL),
    sources=(
        (
            "docs.oracle.com, Solaris tunables, tcp_keepalive_interval and"
            " tcp_keepalive_abort_interval; tcp(7P)"
        ),
        (
            "rust-lang/libc src/unix/solarish/mod.rs for the numbers; curl"
            " lib/cf-socket.c and golang/go src/net/tcpsockopt_solaris.go for the use"
        ),
    ),
)
