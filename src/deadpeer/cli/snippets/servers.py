"""Settings as configuration: one renderer for each server, from values to text."""

from textwrap import indent

from deadpeer.cli.snippets.settings import (
    Settings,
    commented,
    promised,
    without_user_timeout,
)

__all__ = [
    "haproxy",
    "kubernetes",
    "libpq",
    "nginx",
    "postgresql",
    "redis",
    "redis_value",
    "systemd",
]


def nginx(settings: Settings) -> str:
    """Return the lines for nginx."""
    triple = f"{settings.idle}s:{settings.interval}s:{settings.probes}"
    about = commented(
        "#", without_user_timeout("nginx cannot set TCP_USER_TIMEOUT", settings)
    )
    upstream = commented(
        "#",
        "To upstreams keepalive can only be on or off; its timing is the system's:"
        f" net.ipv4.tcp_keepalive_time={settings.idle}, _intvl={settings.interval},"
        f" _probes={settings.probes}. In a stream block it is called the same.",
    )
    return (
        f"{about}\nserver {{\n    listen 80 so_keepalive={triple};\n\n"
        f"{indent(upstream, '    ')}\n    proxy_socket_keepalive on;\n}}"
    )


def haproxy(settings: Settings) -> str:
    """Return the lines for HAProxy."""
    timing = "\n".join(
        f"    option {side}\n    {side}-idle {settings.idle}s\n"
        f"    {side}-intvl {settings.interval}s\n    {side}-cnt {settings.probes}"
        for side in ("clitcpka", "srvtcpka")
    )
    unsaid = "HAProxy does not say when the kernel refuses a value."
    if settings.user_timeout_ms:
        limit = f" tcp-ut {settings.user_timeout_ms}ms"
        sentences = [
            f"HAProxy 2.3 or later. {promised(settings, sets_rto_max=False)} {unsaid}",
            (
                "tcp-ut has to stand on each bind and each server line, after the"
                " address; a bare number there is milliseconds. On default-server"
                " it is ignored."
            ),
        ]
    else:
        limit = ""
        sentences = [
            f"HAProxy 2.3 or later. {unsaid}",
            without_user_timeout("Without tcp-ut", settings),
        ]
    return f"""{commented("#", *sentences)}
defaults
{timing}

frontend clients
    bind :80{limit}

backend servers
    server one 192.0.2.1:80{limit}"""


def postgresql(settings: Settings) -> str:
    """Return the lines for PostgreSQL's server."""
    limit = (
        f"tcp_user_timeout = {settings.user_timeout_ms}   # milliseconds; 12 or later"
    )
    about = commented(
        "#",
        "postgresql.conf: clients that died. The server always turns SO_KEEPALIVE on."
        " Connections it opens itself (replication, foreign servers) go by their own"
        " connection string.",
    )
    if not settings.user_timeout_ms:
        limit = commented(
            "#", without_user_timeout("Without tcp_user_timeout", settings)
        )
    return f"""{about}
tcp_keepalives_idle = {settings.idle}
tcp_keepalives_interval = {settings.interval}
tcp_keepalives_count = {settings.probes}
{limit}"""


def libpq(settings: Settings) -> str:
    """Return the lines for PostgreSQL's clients."""
    words = [
        "host=db.example",
        "keepalives=1",
        f"keepalives_idle={settings.idle}",
        f"keepalives_interval={settings.interval}",
        f"keepalives_count={settings.probes}",
    ]
    sentences = [
        "Connection string of libpq: psql, psycopg, primary_conninfo.",
        "0 is no default here: Linux refuses it for the three keepalive values.",
    ]
    if settings.user_timeout_ms:
        words.append(f"tcp_user_timeout={settings.user_timeout_ms}")
        sentences.append(
            "tcp_user_timeout is in milliseconds, and needs libpq 12 or later."
        )
    else:
        sentences.append(without_user_timeout("Without tcp_user_timeout", settings))
    return f"{commented('#', *sentences)}\n{' '.join(words)}"


def redis(settings: Settings) -> str:
    """Return the lines for Redis' server."""
    value = redis_value(settings.within or settings.idle_death)
    interval = max(1, value // 3)
    death = value + 3 * interval
    return "\n".join(
        [
            commented(
                "#",
                "redis.conf: clients that died. One number sets all three on Linux:"
                f" idle {value} s, interval {interval} s (a third), 3 probes; an idle"
                f" client's death is noticed within about {death} s.",
                "Redis sets no user timeout: with a reply in flight it takes"
                " net.ipv4.tcp_retries2, by default some 15 minutes. Replicas are"
                " watched by repl-timeout instead.",
            ),
            f"tcp-keepalive {value}",
        ]
    )


def redis_value(within: float) -> int:
    """
    Return the largest ``tcp-keepalive`` that notices an idle death in time.

    Redis makes of it: idle *v*, interval *v* / 3 rounded down but at least 1,
    and 3 probes. The smallest value is 1, which takes 4 s.

    Args:
        within: Seconds from the last sign of life to the end.

    Source:
        Redis, src/anet.c, anetKeepAlive().

    >>> redis_value(10)
    5
    """
    # A death takes v + 3 max(1, v // 3) seconds: not more than 2 v from 3 on.
    value = max(1, int(within / 2))
    while value + 1 + 3 * max(1, (value + 1) // 3) <= within:
        value += 1
    while value > 1 and value + 3 * max(1, value // 3) > within:
        value -= 1
    return value


def systemd(settings: Settings) -> str:
    """Return the lines for a socket unit of systemd."""
    about = commented(
        "#",
        "systemd socket unit; accepted connections inherit these.",
        without_user_timeout("systemd cannot set TCP_USER_TIMEOUT", settings),
        "The service itself has to set that, on each connection.",
    )
    return f"""{about}
[Socket]
ListenStream=7000
KeepAlive=yes
KeepAliveTimeSec={settings.idle}
KeepAliveIntervalSec={settings.interval}
KeepAliveProbes={settings.probes}"""


def kubernetes(settings: Settings) -> str:
    """Return the lines for a pod of Kubernetes."""
    about = commented(
        "#",
        "Kubernetes 1.29 or later (safe sysctls), not with hostNetwork. These are"
        " only the defaults of the pod: each program has still to turn SO_KEEPALIVE"
        " on, and may set values of its own.",
        without_user_timeout("No sysctl sets TCP_USER_TIMEOUT", settings),
    )
    return f"""{about}
apiVersion: v1
kind: Pod
metadata:
  name: example
spec:
  securityContext:
    sysctls:
      - name: net.ipv4.tcp_keepalive_time
        value: "{settings.idle}"
      - name: net.ipv4.tcp_keepalive_intvl
        value: "{settings.interval}"
      - name: net.ipv4.tcp_keepalive_probes
        value: "{settings.probes}\""""
