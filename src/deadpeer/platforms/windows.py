"""The rows of Windows, before and since the options of Windows 10 1709."""

from deadpeer.platforms.rows import Defaults, Option, Platform

__all__ = ["SIO_KEEPALIVE_VALS", "WINDOWS", "WINDOWS_BEFORE_1709"]

# winsock.h: SOL_SOCKET and SO_KEEPALIVE are those of 4.3BSD.
WINSOCK_SWITCH = Option(
    name="SO_KEEPALIVE", number=8, lowest=0, highest=1, level=0xFFFF
)

# mstcpip.h: _WSAIOW(IOC_VENDOR, 4). Its level is no option's level.
SIO_KEEPALIVE_VALS = 0x98000004
NO_LEVEL = -1

# learn.microsoft.com, SIO_KEEPALIVE_VALS: 2 hours, 1 second, 10 probes since
# Vista. Data in flight: TcpMaxDataRetransmissions, 5; the largest
# retransmission timeout is 60 s (IPPROTO_TCP socket options, TCP_MAXRT).
WINDOWS_DEFAULTS = Defaults(
    idle=7200.0, interval=1.0, probes=10, retries=5, syn_retries=2, syn_linear=0,
    rto_min=0.3, rto_max=60.0,
)  # fmt: skip

USER_TIMEOUT = Option(
    name="TCP_MAXRT",
    number=5,
    lowest=1,
    highest=2**31 - 1,
    since="Windows Vista",
)

ABOUT_MAXRT = (
    "TCP_MAXRT limits the retransmission of data, in whole seconds; -1 means for"
    " ever. It stands in for a user timeout. Windows 10 1607 also has TCP_MAXRTMS"
    " (14), in milliseconds. Neither is in Python's socket module."
)
ABOUT_VERDICT = (
    "A peer that leaves probes unanswered is reported as WSAENETRESET (10052), one"
    " that leaves data unacknowledged as WSAECONNABORTED (10053) or WSAETIMEDOUT."
)
ABOUT_ACCEPT = "What an accepted socket inherits was not found out: set each one."

WINDOWS = Platform(
    name="windows",
    title="Windows 10 1709 and later",
    options={
        "idle": Option(
            name="TCP_KEEPIDLE",
            number=3,
            lowest=1,
            highest=2**31 - 1,
            pins=True,
            since="Windows 10 1709 (build 16299)",
        ),
        "interval": Option(
            name="TCP_KEEPINTVL",
            number=17,
            lowest=1,
            highest=2**31 - 1,
            pins=True,
            since="Windows 10 1709 (build 16299)",
        ),
        "probes": Option(
            name="TCP_KEEPCNT",
            number=16,
            lowest=1,
            highest=255,
            pins=True,
            since="Windows 10 1703 (build 15063)",
        ),
        "user_timeout": USER_TIMEOUT,
    },
    switch=WINSOCK_SWITCH,
    defaults=WINDOWS_DEFAULTS,
    absent={"rto_max": "nothing"},
    notes=(ABOUT_MAXRT, ABOUT_VERDICT, ABOUT_ACCEPT),
    sources=(
        "learn.microsoft.com, IPPROTO_TCP socket options (units, 255 probes, eras)",
        "Windows SDK ws2ipdef.h for the numbers",
        "golang/go src/internal/syscall/windows/version_windows.go for the builds",
    ),
)

WINDOWS_BEFORE_1709 = Platform(
    name="windows-before-1709",
    title="Windows before 10 1709",
    options={
        "idle": Option(
            name="SIO_KEEPALIVE_VALS, keepalivetime",
            number=SIO_KEEPALIVE_VALS,
            level=NO_LEVEL,
            lowest=1,
            highest=2**32 - 1,
            unit=0.001,
            pins=True,
        ),
        "interval": Option(
            name="SIO_KEEPALIVE_VALS, keepaliveinterval",
            number=SIO_KEEPALIVE_VALS,
            level=NO_LEVEL,
            lowest=1,
            highest=2**32 - 1,
            unit=0.001,
            pins=True,
        ),
        "user_timeout": USER_TIMEOUT,
    },
    switch=WINSOCK_SWITCH,
    defaults=WINDOWS_DEFAULTS,
    fixed_probes=10,
    whole=("idle", "interval"),
    unreadable=frozenset({"idle", "interval"}),
    absent={
        "probes": "nothing; always 10 since Vista (TCP_KEEPCNT came with 10 1703)",
        "rto_max": "nothing",
    },
    notes=(
        (
            "Idle and interval are written together, through socket.ioctl, and cannot"
            " be read back: undo cannot restore them."
        ),
        ABOUT_MAXRT,
        ABOUT_VERDICT,
        ABOUT_ACCEPT,
    ),
    sources=(
        (
            "learn.microsoft.com, SIO_KEEPALIVE_VALS control code (units, defaults, 10"
            " probes)"
        ),
        "golang/go src/net/tcpsockopt_windows.go: written whole, not read back",
    ),
)
