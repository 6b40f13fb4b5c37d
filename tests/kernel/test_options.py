"""Settings on real sockets: set, read back, taken off, and never half done."""

import asyncio
import os
import socket
import subprocess
import sys

import pytest
from tests.loopback import fill, listener, pair

from deadpeer.errors import ConfigError, NotTcp, UnsupportedError
from deadpeer.kernel.current_platform import this_platform
from deadpeer.kernel.inspection import inspect
from deadpeer.kernel.options import apply, is_listening
from deadpeer.platforms import LINUX, MACOS
from deadpeer.policy import Keepalive

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="numbers and ranges are those of Linux"
)

BOTH = pytest.mark.parametrize(
    "family", [socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"]
)

TCP = socket.IPPROTO_TCP
RTO_MAX = pytest.mark.skipif(
    "rto_max" not in this_platform().options, reason="TCP_RTO_MAX_MS needs Linux 6.15"
)


def everything(sock):
    """Return what a call must not change: options, and the shared flags."""
    options = [
        sock.getsockopt(option.level, option.number)
        for option in this_platform().options.values()
    ]
    on = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    return options, on, os.get_blocking(sock.fileno())


@BOTH
@pytest.mark.parametrize(
    ("keepalive", "level", "number", "held"),
    [
        (Keepalive(idle=7), TCP, 4, 7),
        (Keepalive(idle=6.1), TCP, 4, 7),
        (Keepalive(interval=3), TCP, 5, 3),
        (Keepalive(probes=4), TCP, 6, 4),
        (Keepalive(user_timeout=2.5), TCP, 18, 2500),
        (Keepalive(user_timeout=2.5001), TCP, 18, 2501),
        (Keepalive(user_timeout=0), TCP, 18, 0),
        pytest.param(Keepalive(rto_max=1.5), TCP, 44, 1500, marks=RTO_MAX),
        (Keepalive(on=True), socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    ],
)
def test_each_option_is_set_where_the_kernel_has_it(
    family, keepalive, level, number, held
):
    with pair(family) as (client, _):
        applied = apply(client, keepalive)

        assert client.getsockopt(level, number) == held
        assert applied.keepalive == inspect(client).keepalive


@BOTH
def test_what_is_not_given_is_left_alone(family):
    with pair(family) as (client, _):
        before = everything(client)
        apply(client, Keepalive(user_timeout=3))
        options, on, blocking = everything(client)

        assert on == before[1] == 0  # a user timeout needs no probes
        assert options != before[0]
        assert blocking == before[2]


def test_keepalive_is_turned_off_when_asked():
    with pair() as (client, _):
        apply(client, Keepalive(idle=5))
        apply(client, Keepalive(on=False))

        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
        assert client.getsockopt(TCP, 4) == 5


@BOTH
def test_undo_restores_the_values_and_says_what_is_pinned(family):
    with pair(family) as (client, _):
        before = everything(client)
        applied = apply(client, Keepalive(idle=5, interval=1, user_timeout=4))
        undone = applied.undo()

        assert everything(client) == before
        assert undone.pinned == ("idle", "interval")
        assert undone.lost == ()
        assert undone.keepalive == applied.before
        assert "idle, interval" in str(undone)


def test_undo_may_be_called_twice_and_by_another_form():
    with pair() as (client, _):
        before = everything(client)
        applied = apply(client.fileno(), Keepalive(idle=5))
        applied.undo()
        applied.undo()
        assert everything(client) == before


def test_undo_of_a_closed_socket_is_refused():
    with pair() as (client, _):
        applied = apply(client, Keepalive(idle=5))
    with pytest.raises(NotTcp, match="closed"):
        applied.undo()


def test_undo_does_not_touch_another_socket_that_has_the_number_now():
    with pair() as (client, _):
        number = client.fileno()
        applied = apply(number, Keepalive(idle=5))
        with socket.socket() as other:
            os.dup2(other.fileno(), number)  # closes the one, opens the other
            apply(number, Keepalive(idle=9))
            with pytest.raises(NotTcp, match="another socket"):
                applied.undo()
            assert other.getsockopt(TCP, 4) == 9


@pytest.mark.parametrize(
    ("keepalive", "kind"),
    [
        (Keepalive(idle=40_000), ConfigError),
        (Keepalive(idle=5, probes=128), ConfigError),
        (Keepalive(idle=5, user_timeout=3e6), ConfigError),
        (Keepalive(idle=5, rto_max=0.5), ConfigError),
        (Keepalive(idle=5, rto_max=1e300), ConfigError),
    ],
)
def test_wrong_values_change_nothing(keepalive, kind):
    with pair() as (client, _):
        before = everything(client)
        for form in (client, client.fileno()):
            with pytest.raises(kind):
                apply(form, keepalive)
        assert everything(client) == before


@BOTH
def test_an_accepted_socket_takes_over_what_the_row_says(family):
    with listener(family) as server:
        given = Keepalive(idle=5, interval=2, probes=3, user_timeout=4.5)
        if "rto_max" in this_platform().options:
            given = Keepalive(
                idle=5, interval=2, probes=3, user_timeout=4.5, rto_max=2.0
            )
        apply(server, given)
        seen = inspect(server)
        with socket.create_connection(server.getsockname()[:2]):
            accepted, _ = server.accept()
            with accepted:
                taken = inspect(accepted).keepalive

        assert seen.listening
        assert seen.inherited == this_platform().inherited
        assert taken == seen.keepalive
        assert taken.on
        for name in seen.inherited - {"on"}:
            assert getattr(taken, name) == getattr(seen.keepalive, name)


def test_a_listener_that_keepalive_would_end_is_refused():
    row = MACOS
    with listener() as server:
        before = everything(server)
        with pytest.raises(UnsupportedError, match="ends the listener") as caught:
            apply(server, Keepalive(on=True), platform=row)
        assert "accepted" in caught.value.hint
        assert everything(server) == before
        assert is_listening(server)


def test_a_transport_and_a_writer_are_configured_while_they_run():
    async def main():
        done = asyncio.Event()

        async def serve(_, writer):
            await done.wait()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            for form, idle in ((writer, 5), (writer.transport, 6)):
                apply(form, Keepalive(idle=idle))
                assert inspect(form).keepalive.idle == idle
            assert inspect(server.sockets[0]).listening
            assert not os.get_blocking(writer.get_extra_info("socket").fileno())
            done.set()
            writer.close()
            await writer.wait_closed()

    asyncio.run(main())


def test_settings_survive_a_connect():
    with listener() as server, socket.socket() as sock:
        apply(sock, Keepalive(idle=5, interval=1, user_timeout=4))
        before = inspect(sock).keepalive
        sock.connect(server.getsockname())

        assert inspect(sock).keepalive == before


# -- inspect ----------------------------------------------------------------


@BOTH
def test_inspect_tells_the_state_the_ends_and_the_evidence(family):
    with pair(family) as (client, accepted):
        accepted.sendall(b"x")
        assert client.recv(1) == b"x"
        seen = inspect(client)

        assert seen.state == "ESTABLISHED"
        assert seen.local.endswith(f":{client.getsockname()[1]}")
        assert seen.peer.endswith(f":{client.getpeername()[1]}")
        assert not seen.listening
        assert seen.inherited == frozenset()
        assert seen.evidence is not None
        assert seen.evidence.rtt_us
        assert seen.queue is not None
        assert seen.queue.unacknowledged == 0
        assert seen.platform.name == "linux"
        assert "ESTABLISHED" in str(seen)


def test_inspect_sees_what_waits_to_be_sent():
    with pair() as (client, _):
        fill(client)
        queue = inspect(client).queue

        assert queue is not None
        assert queue.unsent > 0


def test_inspect_knows_an_own_value_only_where_it_differs():
    with socket.socket() as sock:
        assert inspect(sock).own == ()
        sock.setsockopt(TCP, socket.TCP_KEEPIDLE, 7)
        sock.setsockopt(TCP, socket.TCP_KEEPCNT, inspect(sock).units["probes"])
        seen = inspect(sock)

        assert seen.own == ("idle",)
        assert "set on this socket: idle" in str(seen)
        assert "set here or not: interval, probes" in str(seen)


def test_inspect_changes_nothing():
    with pair() as (client, _):
        before = everything(client)
        inspect(client)
        assert everything(client) == before


def test_inspect_takes_a_socket_that_was_never_connected():
    with socket.socket() as sock:
        seen = inspect(sock)

        assert seen.state == "CLOSE"
        assert seen.peer == ""
        assert not seen.keepalive.on
        assert seen.keepalive.user_timeout == 0


# What a socket shows that follows a system beyond the options' ranges. The
# program refuses to go on unless it has a network namespace of its own.
BEYOND = """
import os, socket, sys
assert os.readlink("/proc/self/ns/net") != sys.argv[1], "not in a namespace of its own"
from deadpeer.kernel.inspection import inspect
from deadpeer.kernel.options import apply
from deadpeer.policy import Keepalive

def set_idle(value):
    with open("/proc/sys/net/ipv4/tcp_keepalive_time", "w") as file:
        file.write(str(value))

with socket.socket() as sock:
    set_idle(40000)
    assert inspect(sock).keepalive.idle == 40000
    undone = apply(sock, Keepalive(idle=5)).undo()
    assert undone.lost == ("idle",), undone
    assert undone.keepalive.idle == 32767, undone
with socket.socket() as sock:
    set_idle(-1)
    seen = inspect(sock)
    assert seen.units["idle"] == -1, seen
    assert seen.keepalive.idle is None, seen
    undone = apply(sock, Keepalive(idle=5)).undo()
    assert undone.lost == ("idle",), undone
    assert undone.keepalive.idle == 32767, undone
print("as told")
"""


@pytest.mark.netns
def test_a_system_beyond_the_options_ranges_is_read_and_what_is_lost_is_told():
    outside = os.readlink("/proc/self/ns/net")  # noqa: PTH115 - a magic link
    ran = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", BEYOND, outside],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    if "Operation not permitted" in ran.stderr and "unshare" in ran.stderr:
        pytest.skip("needs the right to make a network namespace")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "as told\n"


def test_the_row_that_was_run_is_the_row_of_this_kernel():
    row = this_platform()
    assert {n: o for n, o in LINUX.options.items() if n in row.options} == row.options
