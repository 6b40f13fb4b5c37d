"""Settings as lines for others: run where they can be run, compared where not."""

import configparser
import re
import shutil
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from deadpeer.cli.snippets import TARGETS, Settings, settings_for
from deadpeer.cli.snippets.servers import redis_value
from deadpeer.errors import ConfigError
from deadpeer.platforms import LINUX, Defaults
from deadpeer.policy import Keepalive, plan

PROMISE = Settings(
    idle=4, interval=2, probes=3, user_timeout_ms=4500, rto_max_ms=0, within=12
)
STALLED = Settings(
    idle=6, interval=1, probes=5, user_timeout_ms=0, rto_max_ms=1069, within=30
)
PLAIN = Settings(
    idle=60, interval=10, probes=6, user_timeout_ms=0, rto_max_ms=0, within=None
)
# A plan for newer kernels: what cannot set all of it does not repeat the promise.
NEWER = replace(PROMISE, rto_max_ms=1500)
ALL = {"promise": PROMISE, "stalled": STALLED, "plain": PLAIN, "newer": NEWER}

RTO_MAX = LINUX.options["rto_max"].number
NUMBERS = {
    "on": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    "idle": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    "interval": (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
    "probes": (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    "user_timeout": (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
}


def text(target: str, settings: Settings = PROMISE) -> str:
    return TARGETS[target].text(settings)


def code(target: str, settings: Settings = PROMISE) -> str:
    """Return a snippet without its comment lines."""
    mark = TARGETS[target].comment
    lines = text(target, settings).splitlines()
    return "\n".join(x for x in lines if not x.lstrip().startswith(mark)).strip("\n")


def said(target: str, settings: Settings = PROMISE) -> str:
    """Return the comments of a snippet as one line."""
    mark = TARGETS[target].comment
    lines = text(target, settings).splitlines()
    return " ".join(x.strip()[len(mark) :].strip() for x in lines if mark in x[:8])


def held(sock: socket.socket) -> dict[str, int]:
    return {name: sock.getsockopt(*option) for name, option in NUMBERS.items()}


def expected(settings: Settings) -> dict[str, int]:
    return {
        "on": 1,
        "idle": settings.idle,
        "interval": settings.interval,
        "probes": settings.probes,
        "user_timeout": settings.user_timeout_ms,
    }


def knows_rto_max() -> bool:
    with socket.socket() as sock:
        try:
            sock.getsockopt(socket.IPPROTO_TCP, RTO_MAX)
        except OSError:
            return False
    return True


# -- what is to be written ------------------------------------------------------


def test_a_plan_leaves_the_probes_open_and_a_snippet_writes_them():
    found = plan(within=10)

    settings = settings_for(found.keepalive, within=10)

    assert found.keepalive.probes is None
    assert settings.probes == 3
    assert settings.idle == found.keepalive.idle
    assert settings.user_timeout_ms == round((found.keepalive.user_timeout or 0) * 1000)


@settings_of(max_examples=20)
@given(st.floats(10, 3600))
def test_without_a_user_timeout_a_plans_idle_death_is_still_in_time(within):
    settings = settings_for(plan(within=within).keepalive, within=within)

    assert settings.idle_death <= within
    assert settings.probes >= 2


def test_what_is_left_open_is_the_systems():
    settings = settings_for(
        Keepalive(idle=7), defaults=Defaults(interval=11.0, probes=4)
    )

    assert (settings.idle, settings.interval, settings.probes) == (7, 11, 4)
    assert settings.user_timeout_ms == settings.rto_max_ms == 0


def test_there_is_nothing_to_write_for_settings_that_are_off():
    with pytest.raises(ConfigError, match="leave keepalive off"):
        settings_for(Keepalive(user_timeout=3))


def test_a_sysctl_that_fits_into_no_socket_option_is_refused():
    with pytest.raises(ConfigError, match="TCP_KEEPIDLE"):
        settings_for(Keepalive(on=True), defaults=Defaults(idle=40_000.0))


# -- laws of all ------------------------------------------------------------------


@pytest.mark.parametrize("settings", ALL.values(), ids=ALL)
@pytest.mark.parametrize("target", TARGETS)
def test_a_snippet_is_text_that_any_file_can_hold(target, settings):
    written = text(target, settings)

    assert written.isascii()
    assert written.endswith("\n")
    assert not written.endswith("\n\n")
    assert all(line == line.rstrip() for line in written.splitlines())
    assert max(map(len, written.splitlines())) <= 100 or target == "libpq"


@pytest.mark.parametrize("target", ["nginx", "redis", "systemd", "kubernetes"], ids=str)
@pytest.mark.parametrize("settings", ALL.values(), ids=ALL)
def test_who_cannot_set_a_user_timeout_says_what_that_means(target, settings):
    assert "some 15 minutes" in said(target, settings)
    assert "noticed within 12 s" not in said(target, settings)


@pytest.mark.parametrize("target", sorted(set(TARGETS) - {"redis", "deadpeer"}))
def test_without_user_timeout_everybody_says_what_that_means(target):
    assert "some 15 minutes" in text(target, PLAIN).replace("\n", " ").replace(
        " * ", " "
    ).replace("// ", "").replace("# ", "").replace("  ", " ")


@pytest.mark.parametrize("target", ["nginx", "haproxy", "libpq", "rust", "systemd"])
def test_who_cannot_set_rto_max_names_the_sysctl(target):
    assert "net.ipv4.tcp_rto_max_ms (Linux 6.15) at 1069" in said(target, STALLED)


def test_a_promise_that_rests_on_rto_max_is_repeated_by_who_can_set_it():
    assert "noticed within 12 s" in said("python", NEWER)
    assert "noticed within 12 s" in said("go", NEWER)
    for target in set(TARGETS) - {"python", "go", "c", "deadpeer"}:
        assert "noticed within 12 s" not in said(target, NEWER)
    assert "given up after 4.5 s" in said("haproxy", NEWER)


@pytest.mark.parametrize("target", ["python", "c"])
def test_whatever_bounds_a_connect_has_to_be_set_before_it(target):
    for settings in (PROMISE, STALLED):
        words = " ".join(text(target, settings).split())
        assert re.search("Call [#* ]*it before connect", words)
    assert "connect()" not in text(target, PLAIN)


def test_this_package_decides_by_itself_what_the_kernel_can():
    assert "protect(sock, within=12)\n" in text("deadpeer", NEWER)


# -- languages: run ----------------------------------------------------------------


@pytest.mark.parametrize("settings", [PROMISE, PLAIN], ids=["promise", "plain"])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["v4", "v6"])
def test_python_sets_what_it_says(settings, family):
    names: dict[str, Any] = {}
    exec(text("python", settings), names)  # noqa: S102 - our own snippet

    with socket.socket(family) as sock:
        names["keep_alive"](sock)
        assert held(sock) == expected(settings)


def test_python_bounds_retransmissions_where_the_kernel_can():
    names: dict[str, Any] = {}
    exec(text("python", STALLED), names)  # noqa: S102 - our own snippet

    with socket.socket() as sock:
        if knows_rto_max():
            names["keep_alive"](sock)
            # The kernel counts it in its own ticks, rounded up.
            assert 1069 <= sock.getsockopt(socket.IPPROTO_TCP, RTO_MAX) < 1079
        else:
            with pytest.raises(OSError, match="Protocol not available"):
                names["keep_alive"](sock)


def test_the_line_for_this_package_keeps_the_promise():
    with socket.socket() as sock:
        names: dict[str, Any] = {"sock": sock}
        exec(text("deadpeer"), names)  # noqa: S102

    assert names["protection"].within == 12


def test_the_lines_for_this_package_set_what_they_say():
    with socket.socket() as sock:
        exec(text("deadpeer", PLAIN), {"sock": sock})  # noqa: S102
        assert held(sock) == expected(PLAIN)


def test_the_line_for_this_package_asks_for_what_was_asked_for():
    assert "protect(sock, within=30, allow_stalled_reader=True)" in code(
        "deadpeer", STALLED
    )
    assert "protect(sock, within=12, rtt=0.6)" in code(
        "deadpeer", replace(PROMISE, rtt=0.6)
    )


HARNESS = r"""
#include <stdio.h>
int main(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int names[] = {TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT};
    int value = 0;
    socklen_t size = sizeof value;
    if (keep_alive(fd) != 0)
        return 1;
    getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, &size);
    printf("%d", value);
    for (int i = 0; i < 4; i++) {
        getsockopt(fd, IPPROTO_TCP, names[i], &value, &size);
        printf(" %d", value);
    }
    return keep_alive(-1) == -1 ? 0 : 2;
}
"""


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc: apt-get install gcc")
@pytest.mark.parametrize("settings", [PROMISE, PLAIN], ids=["promise", "plain"])
def test_c_compiles_without_a_warning_and_sets_what_it_says(settings, tmp_path: Path):
    source = tmp_path / "keep_alive.c"
    source.write_text(text("c", settings) + HARNESS)
    strict = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]

    program = tmp_path / "keep_alive"
    # TCP_KEEPIDLE is no part of POSIX; glibc hides it under -std=c99 alone.
    subprocess.run(["gcc", *strict, "-D_GNU_SOURCE", "-o", program, source], check=True)

    output = subprocess.check_output([program], text=True)
    assert [int(word) for word in output.split()] == list(expected(settings).values())


# -- languages and servers: compared ----------------------------------------------


def test_go_sets_keepalive_by_its_config_and_the_rest_by_hand():
    assert code("go") == (
        """\
import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

var dialer = net.Dialer{
	KeepAliveConfig: net.KeepAliveConfig{
		Enable:   true,
		Idle:     4 * time.Second,
		Interval: 2 * time.Second,
		Count:    3,
	},
	Control: limitUnacknowledged,
}

func limitUnacknowledged(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 4500)
	})
	if err != nil {
		return err
	}
	return failed
}"""
    )
    assert "SetMultipathTCP(false)" in said("go")


def test_go_imports_only_what_it_uses():
    assert "unix" not in code("go", PLAIN)
    assert "syscall" not in code("go", PLAIN)
    assert "44 /* TCP_RTO_MAX_MS */, 1069" in code("go", STALLED)


def test_rust_uses_what_socket2_has():
    assert code("rust") == (
        """\
use socket2::{SockRef, TcpKeepalive};
use std::{io, net::TcpStream, time::Duration};

fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(Duration::from_secs(4))
            .with_interval(Duration::from_secs(2))
            .with_retries(3),
    )?;
    socket.set_tcp_user_timeout(Some(Duration::from_millis(4500)))
}"""
    )
    assert "user_timeout" not in code("rust", PLAIN)


def test_nginx_writes_the_triple_for_clients_and_only_a_switch_for_upstreams():
    assert code("nginx") == (
        "server {\n"
        "    listen 80 so_keepalive=4s:2s:3;\n\n"
        "    proxy_socket_keepalive on;\n"
        "}"
    )
    assert "net.ipv4.tcp_keepalive_time=4" in said("nginx")


def test_haproxy_sets_both_sides_and_the_user_timeout_on_each_line():
    assert code("haproxy") == (
        """\
defaults
    option clitcpka
    clitcpka-idle 4s
    clitcpka-intvl 2s
    clitcpka-cnt 3
    option srvtcpka
    srvtcpka-idle 4s
    srvtcpka-intvl 2s
    srvtcpka-cnt 3

frontend clients
    bind :80 tcp-ut 4500ms

backend servers
    server one 192.0.2.1:80 tcp-ut 4500ms"""
    )
    assert "tcp-ut" not in code("haproxy", PLAIN)


def test_postgresql_counts_the_user_timeout_in_milliseconds():
    assert code("postgresql").splitlines() == [
        "tcp_keepalives_idle = 4",
        "tcp_keepalives_interval = 2",
        "tcp_keepalives_count = 3",
        "tcp_user_timeout = 4500   # milliseconds; 12 or later",
    ]
    assert "tcp_user_timeout =" not in code("postgresql", PLAIN)


def test_libpq_takes_it_in_the_connection_string():
    assert code("libpq") == (
        "host=db.example keepalives=1 keepalives_idle=4 keepalives_interval=2"
        " keepalives_count=3 tcp_user_timeout=4500"
    )
    assert "tcp_user_timeout" not in code("libpq", PLAIN)


def test_systemd_reads_its_section(tmp_path: Path):
    unit = configparser.ConfigParser()
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(text("systemd"))

    assert dict(unit["Socket"]) == {
        "ListenStream": "7000",
        "KeepAlive": "yes",
        "KeepAliveTimeSec": "4",
        "KeepAliveIntervalSec": "2",
        "KeepAliveProbes": "3",
    }


def test_kubernetes_names_only_sysctls_that_are_safe():
    written = code("kubernetes")

    assert re.findall(r'- name: (\S+)\n +value: "(\d+)"', written) == [
        ("net.ipv4.tcp_keepalive_time", "4"),
        ("net.ipv4.tcp_keepalive_intvl", "2"),
        ("net.ipv4.tcp_keepalive_probes", "3"),
    ]
    assert "hostNetwork" in said("kubernetes")
    assert "turn SO_KEEPALIVE on" in said("kubernetes")


def redis_death(value: int) -> int:
    """What src/anet.c makes of tcp-keepalive: idle, and three times a third."""
    return value + 3 * max(1, value // 3)


@given(st.floats(4, 100_000))
def test_redis_gets_the_largest_value_that_is_in_time(within):
    value = redis_value(within)

    assert redis_death(value) <= within
    # A larger one may be in time again: the third is rounded down.
    assert all(redis_death(value + more) > within for more in (1, 2, 3))


def test_redis_takes_no_less_than_four_seconds():
    assert redis_value(0.5) == 1
    assert redis_death(1) == 4


def test_redis_has_one_number():
    assert code("redis") == "tcp-keepalive 6"
    assert "idle 6 s, interval 2 s" in said("redis")
    assert "about 12 s" in said("redis")
