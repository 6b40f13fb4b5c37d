"""What a reader of the README reaches for, on real sockets."""

import contextlib
import errno
import math
import os
import re
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.loopback import HOSTS, listener, pair

import deadpeer
from deadpeer import Keepalive
from deadpeer.kernel import protection
from deadpeer.kernel.current_platform import this_platform
from deadpeer.kernel.inspection import system_defaults
from deadpeer.platforms import LINUX

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="a promise is given on Linux only"
)

BOTH = pytest.mark.parametrize(
    "family", [socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"]
)
RTO_MAX = pytest.mark.skipif(
    "rto_max" not in this_platform().options, reason="TCP_RTO_MAX_MS needs Linux 6.15"
)


def in_force(sock):
    return deadpeer.inspect(sock).keepalive


def plan_here(within):
    """What is planned for this system, with the settings that it runs with."""
    return deadpeer.plan(within=within, defaults=system_defaults(this_platform()))


# -- protect ----------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("within", [6, 10, 30, 86_400])
def test_a_promise_is_put_on_a_connection_and_read_back(family, within):
    with pair(family) as (client, _):
        protection = deadpeer.protect(client, within=within)
        plan = plan_here(within)

        assert protection.within == within
        assert protection.keepalive == in_force(client)
        assert protection.keepalive.on
        for name in ("idle", "interval", "user_timeout"):
            assert getattr(protection.keepalive, name) == getattr(plan.keepalive, name)
        assert protection.assessment.worst <= within


def test_undo_takes_the_promise_off_again():
    with pair() as (client, _):
        before = in_force(client)
        undone = deadpeer.protect(client, within=10).undo()

        assert in_force(client) == before == undone.keepalive
        assert undone.pinned == ("idle", "interval")


def test_a_protection_says_what_is_in_force_and_what_it_promises():
    with pair() as (client, _):
        text = str(deadpeer.protect(client, within=10))

    assert text.startswith("a dead peer is reported within 10 s")
    assert "in force: keepalive on, idle 1 s, interval 1 s" in text
    assert "survives an outage of" in text
    assert all(state.value in text for state in deadpeer.State)


def test_own_values_are_taken_as_they_are_and_judged():
    with pair() as (client, _):
        own = Keepalive(idle=5, interval=1, probes=1)
        protection = deadpeer.protect(client, keepalive=own)

        assert protection.within is None
        assert in_force(client).probes == 1
        assert any("one lost probe" in said for said in protection.assessment.warnings)
        assert str(protection).startswith("a dead peer is reported after")


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"within": 10, "keepalive": Keepalive(idle=5)},
        {"within": 3},
        {"within": 0},
        {"within": -1},
        {"within": math.nan},
        {"within": math.inf},
        {"within": 1e300},
        {"within": 86_401},
        {"within": "10"},
        {"within": True},
        {"within": 10, "rtt": -0.1},
        {"within": 10, "rtt": 9},
        {"within": 10, "rtt": "x"},
        {"keepalive": Keepalive()},
        {"keepalive": "idle=5"},
        {"keepalive": {"idle": 5}},
        {"keepalive": Keepalive(idle=40_000)},
        {"keepalive": Keepalive(idle=5), "rtt": math.nan},
        {"within": 12, "allow_stalled_reader": True},
    ],
    ids=repr,
)
def test_what_cannot_work_gets_its_own_error_and_changes_nothing(wrong):
    with pair() as (client, _):
        before = in_force(client)
        with pytest.raises(deadpeer.ConfigError) as caught:
            deadpeer.protect(client, **wrong)
        assert caught.value.hint
        assert in_force(client) == before


def test_a_promise_too_small_names_the_smallest_and_heartbeats():
    with pair() as (client, _):
        with pytest.raises(deadpeer.ConfigError, match="heartbeats") as caught:
            deadpeer.protect(client, within=3)
        (smallest,) = re.findall(r"smallest promise is ([\d.]+) s", str(caught.value))
        deadpeer.protect(client, within=float(smallest))


@RTO_MAX
@pytest.mark.parametrize("within", [25, 30, 48.5, 97])
def test_a_stalled_reader_is_allowed_without_a_user_timeout(within):
    with pair() as (client, _):
        protection = deadpeer.protect(client, within=within, allow_stalled_reader=True)

        assert protection.keepalive.user_timeout == 0
        assert protection.keepalive.rto_max is not None
        assert protection.keepalive.rto_max < 120
        assert protection.assessment.worst <= within
        assert protection.assessment.longest_pause == math.inf


def test_a_listening_socket_is_protected_for_those_it_accepts():
    with listener() as server:
        protection = deadpeer.protect(server, within=10)
        with socket.create_connection(server.getsockname()):
            accepted, _ = server.accept()
            with accepted:
                assert in_force(accepted) == protection.keepalive
    assert any("accepted sockets take this over" in note for note in protection.notes)


def test_a_listener_that_hands_nothing_on_is_refused(monkeypatch):
    row = replace(this_platform(), inherited=frozenset({"on"}))
    monkeypatch.setattr(protection, "this_platform", lambda: row)
    with listener() as server:
        before = in_force(server)
        with pytest.raises(deadpeer.UnsupportedError, match="does not take over"):
            deadpeer.protect(server, within=10)
        assert in_force(server) == before


def test_a_kernel_that_holds_less_than_was_planned_is_found_out(monkeypatch):
    # Settings that were read back and do not keep the promise all the same.
    slow = plan_here(60)
    monkeypatch.setattr(protection, "plan", lambda **_: slow)
    with pair() as (client, _):
        before = in_force(client)
        with pytest.raises(deadpeer.KernelRefused, match="within=10"):
            deadpeer.protect(client, within=10)
        assert in_force(client) == before


def planned(**given):
    return protection.planned(
        **{
            "within": 10,
            "rtt": None,
            "measured": None,
            "platform": LINUX,
            "defaults": LINUX.defaults,
            "allow_stalled_reader": False,
        }
        | given
    )


def test_a_short_round_trip_that_was_measured_makes_no_tighter_plan():
    assert planned(measured=0.0001) == planned()


def test_a_long_round_trip_that_was_measured_is_planned_for():
    usual = planned(within=30)
    longer = planned(within=30, measured=0.6)

    assert usual.rtt < 0.6 == longer.rtt
    assert longer.assessment.worst <= 30


def test_a_round_trip_that_was_given_counts_whatever_was_measured():
    assert planned(within=30, rtt=0.3, measured=0.9).rtt == 0.3


def test_a_promise_that_the_measured_path_cannot_keep_is_refused():
    with pytest.raises(deadpeer.ConfigError, match="round trip of 2 s"):
        planned(within=6, measured=2.0)


# -- create_connection ------------------------------------------------------


@contextlib.contextmanager
def silent(family=socket.AF_INET):
    """Yield the address of a listener that never answers: its backlog is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(listener(family, backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket(family))
            waiting.setblocking(False)  # noqa: FBT003 - its name
            waiting.connect_ex(server.getsockname())
        yield server.getsockname()


def found(*addresses):
    """As a resolver would: each address in a form that connect takes."""

    def getaddrinfo(*_args, **_kwargs):
        return [
            (
                socket.AF_INET6 if ":" in address[0] else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                address,
            )
            for address in addresses
        ]

    return getaddrinfo


def open_descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


@BOTH
def test_a_connection_comes_protected(family):
    with listener(family) as server:
        address = server.getsockname()[:2]
        with deadpeer.create_connection(address, within=10) as sock:
            plan = plan_here(10)

            assert in_force(sock).idle == plan.keepalive.idle
            assert in_force(sock).user_timeout == plan.keepalive.user_timeout
            assert in_force(sock).on
            assert sock.gettimeout() is None
            assert sock.getpeername()[:2] == address


def test_a_name_is_looked_up_and_every_address_tried():
    with listener() as server:
        port = server.getsockname()[1]
        # Where localhost is ::1 first, nobody listens there.
        with deadpeer.create_connection(("localhost", port), within=10) as sock:
            assert sock.getpeername() == ("127.0.0.1", port)


def test_the_timeout_stays_on_the_socket_as_the_standard_library_has_it():
    with listener() as server:
        address = server.getsockname()
        with deadpeer.create_connection(address, within=10, timeout=3) as sock:
            assert sock.gettimeout() == 3
        socket.setdefaulttimeout(7)
        try:
            with deadpeer.create_connection(address, within=10) as sock:
                assert sock.gettimeout() == 7
        finally:
            socket.setdefaulttimeout(None)


def test_it_connects_from_where_it_is_told():
    with listener() as server, socket.socket() as spare:
        spare.bind(("127.0.0.1", 0))
        here = ("127.0.0.1", spare.getsockname()[1])
        spare.close()
        with deadpeer.create_connection(
            server.getsockname(), within=10, source_address=here
        ) as sock:
            assert sock.getsockname() == here


def test_a_refused_connect_stays_refused():
    with listener() as server:
        address = server.getsockname()
    with pytest.raises(ConnectionRefusedError) as caught:
        deadpeer.create_connection(address, within=10)
    assert not isinstance(caught.value, deadpeer.PeerDead)


def test_silence_is_a_dead_peer_after_the_timeout(request):
    with silent() as address:
        before = open_descriptors()
        began = time.monotonic()
        with pytest.raises(deadpeer.PeerTimedOut) as caught:
            deadpeer.create_connection(address, within=10, timeout=0.2)

        assert 0.2 <= time.monotonic() - began < 5
        assert caught.value.peer == "{}:{}".format(*address)
        assert isinstance(caught.value, TimeoutError)
        assert open_descriptors() == before


@pytest.mark.slow
def test_the_kernel_itself_gives_up_on_a_connect_that_is_protected():
    # The settings are there before the SYN leaves: without them the kernel
    # would try for more than two minutes.
    with silent() as address:
        began = time.monotonic()
        with pytest.raises(deadpeer.PeerTimedOut) as caught:
            deadpeer.create_connection(address, within=6)

        assert time.monotonic() - began < 6
        assert caught.value.errno == errno.ETIMEDOUT


def test_an_address_that_never_answers_leaves_time_for_the_next(monkeypatch):
    with silent() as dead, listener() as server:
        alive = server.getsockname()
        monkeypatch.setattr(socket, "getaddrinfo", found(dead, alive))
        began = time.monotonic()
        with deadpeer.create_connection(("x", 0), within=10, timeout=1) as sock:
            assert sock.getpeername() == alive
        # Half of the time was the first one's.
        assert 0.5 <= time.monotonic() - began < 5


def test_one_deadline_holds_for_all_addresses_together(monkeypatch):
    with silent() as one, silent(socket.AF_INET6) as other:
        monkeypatch.setattr(socket, "getaddrinfo", found(one, other, one, other))
        began = time.monotonic()
        with pytest.raises(ExceptionGroup) as caught:
            deadpeer.create_connection(
                ("x", 0), within=10, timeout=0.4, all_errors=True
            )

        assert 0.4 <= time.monotonic() - began < 5
        errors = caught.value.exceptions
        assert len(errors) == 4
        assert all(isinstance(one, deadpeer.PeerTimedOut) for one in errors)


def test_the_last_error_is_raised_where_not_all_are_asked_for(monkeypatch):
    with listener() as server:
        closed = server.getsockname()
    with silent() as dead:
        monkeypatch.setattr(socket, "getaddrinfo", found(dead, closed))
        with pytest.raises(ConnectionRefusedError):
            deadpeer.create_connection(("x", 0), within=10, timeout=0.2)


@pytest.mark.parametrize(
    "wrong", [{"within": 3}, {"within": 10, "timeout": 0}, {"within": 10, "rtt": -1}]
)
def test_what_cannot_work_is_refused_before_anything_is_sent(wrong, monkeypatch):
    def never(*_args):
        pytest.fail("a name was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", never)
    with pytest.raises(deadpeer.ConfigError):
        deadpeer.create_connection((HOSTS[socket.AF_INET], 1), **wrong)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        # glibc takes this for port 34463, and connects there.
        ("address", {"address": ("127.0.0.1", 99_999)}),
        ("address", {"address": ("127.0.0.1", "99999")}),
        ("address", {"address": ("127.0.0.1", -1)}),
        ("address", {"address": ("127.0.0.1", 10**30)}),
        ("address", {"address": ("127.0.0.1", None)}),
        ("address", {"address": ("127.0.0.1",)}),
        ("address", {"address": "127.0.0.1:80"}),
        ("address", {"address": None}),
        ("address", {"address": (5, 80)}),
        ("address", {"address": ("x" * 300, 80)}),
        ("source_address", {"source_address": 5}),
        ("source_address", {"source_address": ("127.0.0.1", 70_000)}),
        ("timeout", {"timeout": 1e300}),
        ("timeout", {"timeout": 2**31 / 1000}),
    ],
)
def test_an_address_or_a_timeout_that_cannot_be_is_refused_by_name(field, wrong):
    given = {"address": (HOSTS[socket.AF_INET], 1), "within": 10} | wrong
    with pytest.raises(deadpeer.ConfigError) as caught:
        deadpeer.create_connection(**given)
    assert caught.value.field == field


UNREACHABLE = """
import os, sys
assert os.readlink("/proc/self/ns/net") != sys.argv[1], "not in a namespace of its own"
import deadpeer
try:
    deadpeer.create_connection(("192.0.2.1", 9), within=10)
except deadpeer.PeerUnreachable as error:
    print(error.peer, error.errno)
"""


@pytest.mark.netns
def test_no_way_to_the_address_is_an_unreachable_peer():
    outside = os.readlink("/proc/self/ns/net")  # noqa: PTH115 - a magic link
    ran = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", UNREACHABLE, outside],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    if "Operation not permitted" in ran.stderr and "unshare" in ran.stderr:
        pytest.skip("needs the right to make a network namespace")
    assert ran.stderr == ""
    assert ran.stdout == f"192.0.2.1:9 {errno.ENETUNREACH}\n"


# -- the door itself --------------------------------------------------------


def test_what_is_imported_late_is_there_and_named():
    for name in deadpeer.__all__:
        assert getattr(deadpeer, name) is not None
        assert name in dir(deadpeer)
    with pytest.raises(AttributeError, match="no_such_thing"):
        deadpeer.no_such_thing  # noqa: B018 - the look is the test


def test_catching_a_verdict_does_not_load_the_kernel_layer():
    script = (
        "import sys, deadpeer; deadpeer.PeerDead;"
        "print([n for n in sys.modules if n.startswith('deadpeer.kernel')])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "[]\n"
