"""Settings as code: one renderer for each language, from values to text."""

from textwrap import dedent, indent

from deadpeer.cli.snippets.settings import (
    Settings,
    commented,
    promised,
    without_user_timeout,
    wrapped,
)

__all__ = ["c", "deadpeer", "go", "python", "rust"]

RTO_MAX_MS = 44  # TCP_RTO_MAX_MS, which no language here knows by name


def _before_connect(settings: Settings) -> str:
    covers = (
        "Call it before connect(), so that it covers connecting too."
        if settings.user_timeout_ms or settings.rto_max_ms
        else ""
    )
    return (
        f"{promised(settings)} {covers} Called on a listening socket, it goes for all"
        " that it accepts."
    )


def python(settings: Settings) -> str:
    """Return the lines for the standard library of Python."""
    options = [
        ("SOL_SOCKET", "socket.SO_KEEPALIVE", 1),
        ("IPPROTO_TCP", "socket.TCP_KEEPIDLE", settings.idle),
        ("IPPROTO_TCP", "socket.TCP_KEEPINTVL", settings.interval),
        ("IPPROTO_TCP", "socket.TCP_KEEPCNT", settings.probes),
    ]
    if settings.user_timeout_ms:
        options.append(
            ("IPPROTO_TCP", "socket.TCP_USER_TIMEOUT", settings.user_timeout_ms)
        )
    lines = [
        f"sock.setsockopt(socket.{level}, {name}, {value})"
        for level, name, value in options
    ]
    if settings.rto_max_ms:
        lines.append(
            f"sock.setsockopt(socket.IPPROTO_TCP, {RTO_MAX_MS}, {settings.rto_max_ms})"
            "  # TCP_RTO_MAX_MS, Linux 6.15"
        )
    about = commented(
        "#",
        f"Python on Linux, standard library. {_before_connect(settings)}",
        'asyncio: writer.get_extra_info("socket").',
    )
    body = indent("\n".join(lines), "    ")
    return (
        f"{about}\nimport socket\n\n\ndef keep_alive(sock: socket.socket) -> None:\n"
        f"{body}"
    )


def deadpeer(settings: Settings) -> str:
    """Return the lines for this package."""
    about = commented(
        "#",
        "Python with deadpeer: checked first, read back afterwards, undone if the"
        " kernel refuses a part. sock may also be a StreamWriter or a descriptor.",
    )
    if settings.within is not None:
        words = [f"within={settings.within:g}"]
        if settings.rtt is not None:
            words.append(f"rtt={settings.rtt:g}")
        if not settings.user_timeout_ms:
            words.append("allow_stalled_reader=True")
        return (
            f"{about}\nimport deadpeer\n\n"
            f"protection = deadpeer.protect(sock, {', '.join(words)})"
        )
    fields = [f"idle={settings.idle}", f"interval={settings.interval}"]
    fields.append(f"probes={settings.probes}")
    if settings.user_timeout_ms:
        fields.append(f"user_timeout={settings.user_timeout_ms / 1000:g}")
    if settings.rto_max_ms:
        fields.append(f"rto_max={settings.rto_max_ms / 1000:g}")
    return (
        f"{about}\nimport deadpeer\n\n"
        f"settings = deadpeer.Keepalive({', '.join(fields)})\n"
        "protection = deadpeer.protect(sock, keepalive=settings)"
    )


def c(settings: Settings) -> str:
    """Return the lines for C."""
    options = [
        "{SOL_SOCKET, SO_KEEPALIVE, 1},",
        f"{{IPPROTO_TCP, TCP_KEEPIDLE, {settings.idle}}},",
        f"{{IPPROTO_TCP, TCP_KEEPINTVL, {settings.interval}}},",
        f"{{IPPROTO_TCP, TCP_KEEPCNT, {settings.probes}}},",
    ]
    if settings.user_timeout_ms:
        options.append(
            f"{{IPPROTO_TCP, TCP_USER_TIMEOUT, {settings.user_timeout_ms}}},"
        )
    if settings.rto_max_ms:
        options.append(
            f"{{IPPROTO_TCP, {RTO_MAX_MS}, {settings.rto_max_ms}}},"
            " /* TCP_RTO_MAX_MS, Linux 6.15 */"
        )
    rows = indent("\n".join(options), " " * 8)
    about = "\n".join(f" * {line}" for line in wrapped(_before_connect(settings)))
    return f"""\
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>

/*
 * C on Linux. Returns 0, or -1 with errno set.
{about}
 */
int keep_alive(int fd)
{{
    static const struct {{ int level, name, value; }} options[] = {{
{rows}
    }};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (setsockopt(fd, options[i].level, options[i].name,
                       &options[i].value, sizeof options[i].value) != 0)
            return -1;
    return 0;
}}"""


def go(settings: Settings) -> str:
    """Return the lines for Go."""
    about = commented(
        "//",
        f"Go 1.23 or later, on Linux. {promised(settings)} net.KeepAliveConfig holds"
        " only keepalive; what it lacks is set in Control, before the connect.",
        "A net.ListenConfig takes the same fields; call its SetMultipathTCP(false):"
        " a listener of MPTCP, Go's default since 1.24, refuses the user timeout.",
    )
    extra = []
    if settings.user_timeout_ms:
        extra.append(("unix.TCP_USER_TIMEOUT", settings.user_timeout_ms))
    if settings.rto_max_ms:
        extra.append((f"{RTO_MAX_MS} /* TCP_RTO_MAX_MS */", settings.rto_max_ms))
    config = dedent(f"""\
        KeepAliveConfig: net.KeepAliveConfig{{
        \tEnable:   true,
        \tIdle:     {settings.idle} * time.Second,
        \tInterval: {settings.interval} * time.Second,
        \tCount:    {settings.probes},
        }},""")
    if not extra:
        return (
            f'{about}\nimport (\n\t"net"\n\t"time"\n)\n\n'
            f"var dialer = net.Dialer{{\n{indent(config, chr(9))}\n}}"
        )
    unless_failed = "\n\t\tif failed != nil {\n\t\t\treturn\n\t\t}\n"
    calls = unless_failed.join(
        f"\t\tfailed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, {name}, {value})"
        for name, value in extra
    )
    return f"""{about}
import (
\t"net"
\t"syscall"
\t"time"

\t"golang.org/x/sys/unix"
)

var dialer = net.Dialer{{
{indent(config, chr(9))}
\tControl: limitUnacknowledged,
}}

func limitUnacknowledged(_, _ string, raw syscall.RawConn) error {{
\tvar failed error
\terr := raw.Control(func(fd uintptr) {{
{calls}
\t}})
\tif err != nil {{
\t\treturn err
\t}}
\treturn failed
}}"""


def rust(settings: Settings) -> str:
    """Return the lines for Rust with socket2."""
    covers = (
        "TcpStream has connected when it gets here; to cover connecting too, start"
        " from socket2::Socket."
    )
    crate = 'Cargo.toml: socket2 = { version = "0.6", features = ["all"] }'
    sentences = [
        f"Rust on Linux. {promised(settings, sets_rto_max=False)} {covers}",
        crate,
    ]
    if not settings.user_timeout_ms:
        limit = without_user_timeout("socket2 alone sets no more", settings)
        sentences = [f"Rust on Linux. {covers}", crate, limit]
    keepalive = dedent(f"""\
        socket.set_tcp_keepalive(
            &TcpKeepalive::new()
                .with_time(Duration::from_secs({settings.idle}))
                .with_interval(Duration::from_secs({settings.interval}))
                .with_retries({settings.probes}),
        )""")
    if settings.user_timeout_ms:
        keepalive += (
            "?;\nsocket.set_tcp_user_timeout("
            f"Some(Duration::from_millis({settings.user_timeout_ms})))"
        )
    return f"""{commented("//", *sentences)}
use socket2::{{SockRef, TcpKeepalive}};
use std::{{io, net::TcpStream, time::Duration}};

fn keep_alive(stream: &TcpStream) -> io::Result<()> {{
    let socket = SockRef::from(stream);
{indent(keepalive, "    ")}
}}"""
