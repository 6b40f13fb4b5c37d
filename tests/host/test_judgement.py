"""How long a death would go unnoticed, and whom the kernel's evidence makes suspect."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.diag_samples import row

from deadpeer.host.judgement import Judge, Judgement, Verdict, keepalive_of
from deadpeer.kernel.diag_rows import MPTCP
from deadpeer.kernel.settings_of import SocketSettings
from deadpeer.kernel.tcp_info import LAYOUT, TcpInfo, TcpState
from deadpeer.kernel.tcp_table import Timer
from deadpeer.platforms import Defaults
from deadpeer.policy.keepalive import Keepalive
from deadpeer.policy.predict import State, predict


def kept(*values) -> SocketSettings:
    return SocketSettings(True, *values)  # noqa: FBT003 - a tuple of numbers


def unkept(*values) -> SocketSettings:
    return SocketSettings(False, *values)  # noqa: FBT003


SYSTEM = Defaults(hz=250)
OFF = unkept(7200, 75, 9, 0)
SLOW = kept(7200, 75, 9, 0)
UNLIMITED = kept(10, 2, 3, 0)
GOOD = kept(5, 1, 3, 4500)


def info(**fields: int) -> bytes:
    """Return a tcp_info of a quiet connection, but for what is given."""
    made = bytearray(280)
    for name, value in {"state": 1, "rtt_us": 500, "rttvar_us": 200, **fields}.items():
        offset, form = LAYOUT[name]
        struct.pack_into(f"={form}", made, offset, value)
    return bytes(made)


QUIET = info()


def judged(settings, *, within=60.0, **fields) -> Judgement:
    one = row(**{"inode": 7, "info": QUIET, **fields})
    return Judge(SYSTEM, within=within).judge(one, settings)


# -- settings ----------------------------------------------------------------------


def test_without_keepalive_an_idle_peers_death_is_never_noticed():
    found = judged(OFF)

    assert found.verdict is Verdict.UNPROTECTED
    assert found.idle == math.inf
    assert found.busy == pytest.approx(1047, abs=5)
    assert found.reason == "keepalive is off, no user timeout"
    assert found.protected is False
    assert found.unnoticed == math.inf


@pytest.mark.parametrize(
    ("settings", "verdict", "reason"),
    [
        (SLOW, Verdict.UNPROTECTED, "keepalive is slow, no user timeout"),
        (UNLIMITED, Verdict.UNPROTECTED, "no user timeout"),
        (kept(90, 5, 3, 4500), Verdict.UNPROTECTED, "keepalive is slow"),
        (kept(5, 1, 3, 90_000), Verdict.UNPROTECTED, "a long user timeout"),
        (GOOD, Verdict.PROTECTED, ""),
    ],
)  # fmt: skip
def test_the_reason_says_what_is_missing(settings, verdict, reason):
    found = judged(settings)

    assert found.verdict is verdict
    assert reason in found.reason
    assert found.protected is (verdict is Verdict.PROTECTED)


def test_soon_enough_is_what_is_asked_for():
    assert judged(GOOD, within=12).protected is True
    assert judged(GOOD, within=5).protected is False


def test_what_a_socket_leaves_open_is_its_namespaces():
    told = Judge(Defaults(idle=5, interval=1, probes=3, retries=3), within=60)

    found = told.judge(row(inode=7, info=QUIET), kept(None, None, None, None))

    assert found.protected is True


@pytest.mark.parametrize("number", [None, -1, 0])
def test_what_no_setting_can_say_is_left_to_the_system(number):
    settings = kept(number, number, number, 0)

    assert keepalive_of(settings) == Keepalive(user_timeout=0, on=True)


def test_equal_settings_are_judged_once():
    judge = Judge(SYSTEM).judge
    one, other = (row(cookie=cookie, inode=7, info=QUIET) for cookie in (1, 2))

    assert judge(one, GOOD) is judge(other, SocketSettings(*GOOD))


@given(
    rtt_us=st.integers(1, 20_000_000),
    rttvar_us=st.integers(0, 5_000_000),
    settings=st.sampled_from([OFF, SLOW, UNLIMITED, GOOD]),
)
def test_it_is_never_less_than_what_the_policy_predicts(rtt_us, rttvar_us, settings):
    data = info(rtt_us=rtt_us, rttvar_us=rttvar_us)
    rtt = TcpInfo.parse(data).round_trip or 0.0

    found = judged(settings, info=data)

    for state, said in ((State.IDLE, found.idle), (State.UNACKNOWLEDGED, found.busy)):
        least = predict(keepalive_of(settings), state, rtt=rtt, defaults=SYSTEM).latest
        assert said is not None
        assert said >= least
        # It is the next power of two, so it is not much more, either.
        longer = predict(
            keepalive_of(settings), state, rtt=2 * rtt + 0.001, defaults=SYSTEM
        )
        assert said <= longer.latest * 1.001


def test_a_timer_that_was_armed_under_older_settings_fires_late():
    armed = {"timer": Timer.KEEPALIVE, "expires_ms": 7_000_000}

    found = judged(GOOD, **armed)

    assert found.verdict is Verdict.UNPROTECTED
    assert found.idle == pytest.approx(6995 + (judged(GOOD).idle or 0))
    assert "older settings" in found.reason
    # It need not be noticed in time for that to be said.
    assert judged(GOOD, within=8000, **armed).verdict is Verdict.PROTECTED
    assert "older settings" in judged(GOOD, within=8000, **armed).reason


@pytest.mark.parametrize(
    "fields",
    [
        {"timer": Timer.KEEPALIVE, "expires_ms": 5900},  # rounded, and looked at late
        {"timer": Timer.RETRANSMIT, "expires_ms": 60_000},
        # In FIN_WAIT2 the same timer is that of tcp_fin_timeout.
        {"timer": Timer.KEEPALIVE, "expires_ms": 60_000, "state": TcpState.FIN_WAIT2},
    ],
)
def test_other_timers_say_nothing_about_older_settings(fields):
    assert judged(GOOD, **fields).reason == ""


# -- suspects ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"info": info(retransmits=2)}, "2 retransmissions in a row"),
        ({"info": info(probes=3)}, "3 probes in a row"),
        ({"retransmits": 2, "timer": Timer.RETRANSMIT}, "2 retransmissions"),
        ({"retransmits": 2, "timer": Timer.KEEPALIVE}, "2 probes"),
        ({"retransmits": 4, "timer": Timer.ZERO_WINDOW, "info": b""}, "4 probes"),
        ({"info": info(probes=2, retransmits=2)}, "2 retransmissions and 2 probes"),
    ],
)
def test_two_unanswered_in_a_row_make_a_peer_suspect(fields, reason):
    for settings, protected in ((GOOD, True), (OFF, False), (None, None)):
        found = judged(settings, **{"timer": Timer.RETRANSMIT, **fields})

        assert found.verdict is Verdict.SUSPECT
        assert reason in found.reason
        assert found.protected is protected


@pytest.mark.parametrize(
    "fields",
    [
        {"info": info(retransmits=1)},
        {"info": info(probes=1)},
        {"retransmits": 1, "timer": Timer.RETRANSMIT},
        # A live peer whose window is closed shows all of these.
        {"info": info(backoff=8, ca_state=4, last_ack_recv_ms=30_000)},
        {"info": info(unacked=9, last_ack_recv_ms=30_000), "unacknowledged": 9000},
        # Nobody has been there yet.
        {"info": info(retransmits=5), "state": TcpState.SYN_SENT},
        {"info": info(retransmits=5), "state": TcpState.LISTEN},
        # Of Multipath TCP it is another structure, with other counts there.
        {"info": info(retransmits=5, probes=5), "protocol": MPTCP},
    ],
)
def test_nothing_else_does(fields):
    assert judged(GOOD, **fields).verdict is Verdict.PROTECTED


# -- what is not seen --------------------------------------------------------------


@pytest.mark.parametrize("state", [TcpState.ESTABLISHED, TcpState.CLOSE_WAIT])
def test_everybody_may_see_that_no_timer_is_armed(state):
    found = judged(None, state=state)

    assert found.verdict is Verdict.UNPROTECTED
    assert found.idle == math.inf
    assert found.busy is None
    assert found.reason == "keepalive is off"


@pytest.mark.parametrize(
    "fields",
    [
        {"timer": Timer.KEEPALIVE, "expires_ms": 7_000_000},
        {"timer": Timer.RETRANSMIT},
        {"timer": Timer.ZERO_WINDOW},
        {"state": TcpState.LISTEN},
        {"state": TcpState.SYN_SENT},
        {"protocol": MPTCP},
    ],
)
def test_what_is_not_seen_is_not_judged(fields):
    found = judged(None, **fields)

    assert found.verdict is Verdict.UNKNOWN
    assert found.idle is found.busy is found.protected is found.unnoticed is None


def test_a_connection_that_nobody_has_accepted_yet_is_not_known():
    assert judged(None, inode=0).verdict is Verdict.UNKNOWN
    assert "not accepted" in judged(None, inode=0).reason
    # Its peer may have left in the meantime; what a program closes is elsewhere.
    left = judged(None, state=TcpState.CLOSE_WAIT, inode=0)
    assert (left.verdict, "not accepted" in left.reason) == (Verdict.UNKNOWN, True)


@pytest.mark.parametrize(
    ("state", "inode"),
    [
        (TcpState.TIME_WAIT, 0),
        (TcpState.SYN_RECV, 0),
        (TcpState.CLOSE, 7),
        (TcpState.FIN_WAIT1, 0),
        (TcpState.LAST_ACK, 0),
    ],
)
def test_where_there_is_no_peer_or_no_program_nobody_has_to_notice(state, inode):
    settings = GOOD if inode else None

    assert judged(settings, state=state, inode=inode).verdict is Verdict.NONE


def test_a_listener_is_judged_by_what_its_connections_inherit():
    assert judged(OFF, state=TcpState.LISTEN).verdict is Verdict.UNPROTECTED
    assert judged(GOOD, state=TcpState.LISTEN).verdict is Verdict.PROTECTED
