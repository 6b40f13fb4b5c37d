"""From facts to findings: each reason alone, and what must not be a reason."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.cli.diagnosis import (
    Connection,
    Problem,
    Severity,
    diagnose,
    elsewhere,
)
from deadpeer.kernel.tcp_info import TcpState
from deadpeer.kernel.tcp_table import Endpoint, TcpRow, Timer
from deadpeer.platforms import Defaults
from deadpeer.policy import Keepalive, State, assess, plan

# The kernel's own settings, as a socket reports them.
AS_SYSTEM = Keepalive(
    idle=7200, interval=75, probes=9, user_timeout=0.0, rto_max=120.0, on=True
)
SAFE = replace(AS_SYSTEM, idle=10, interval=5, probes=3, user_timeout=20.0)
MINUTE = 60.0


def row(timer: Timer = Timer.NONE, **more) -> TcpRow:
    here = Endpoint(host="127.0.0.1", port=40_000)
    values = {
        "local": here,
        "remote": here,
        "state": TcpState.ESTABLISHED,
        "unacknowledged": 0,
        "unread": 0,
        "timer": timer,
        "expires": 0.0,
        "retransmits": 0,
        "probes": 0,
        "uid": 0,
        "inode": 1,
    }
    return TcpRow(**(values | more))


def seen(keepalive: Keepalive = SAFE, **more) -> Connection:
    values = {
        "local": "127.0.0.1:40000",
        "peer": "127.0.0.1:80",
        "state": TcpState.ESTABLISHED,
        "keepalive": keepalive,
        "defaults": Defaults(idle=10.0, interval=5.0, probes=3),
        "rtt": 0.0,
        "row": row(),
    }
    return Connection(**(values | more))


def found(connection: Connection, within: float = MINUTE):
    return {f.problem: f for f in diagnose(connection, within=within).findings}


def test_a_protected_connection_has_no_findings():
    diagnosis = diagnose(seen(), within=MINUTE)

    assert diagnosis.findings == ()
    assert diagnosis.protected
    assert diagnosis.idle < MINUTE
    assert diagnosis.busy < MINUTE


def test_keepalive_that_was_never_turned_on():
    diagnosis = diagnose(seen(replace(SAFE, on=False)), within=MINUTE)

    (finding,) = diagnosis.findings
    assert finding.problem is Problem.KEEPALIVE_OFF
    assert finding.severity is Severity.DEFECT
    assert "SO_KEEPALIVE is 0" in finding.evidence
    assert diagnosis.idle == math.inf
    assert not diagnosis.protected


def test_a_missing_user_timeout():
    finding = found(seen(replace(SAFE, user_timeout=0.0)))[Problem.NO_LIMIT_ON_DATA]

    assert finding.severity is Severity.DEFECT
    assert "TCP_USER_TIMEOUT is not set" in finding.evidence
    assert "17 min 39 s" in finding.evidence


def test_a_user_timeout_that_is_too_long():
    finding = found(seen(replace(SAFE, user_timeout=90.0)))[Problem.NO_LIMIT_ON_DATA]

    assert "TCP_USER_TIMEOUT is 1 min 30 s" in finding.evidence


def test_a_system_that_gives_up_early_needs_no_user_timeout():
    few = Defaults(idle=10.0, interval=5.0, probes=3, retries=4)

    assert found(seen(replace(SAFE, user_timeout=0.0), defaults=few)) == {}


def test_settings_that_are_too_slow_name_their_values():
    finding = found(seen(AS_SYSTEM, defaults=Defaults()))[Problem.TOO_SLOW]

    assert finding.severity is Severity.DEFECT
    assert "TCP_KEEPIDLE 2 h, TCP_KEEPINTVL 1 min 15 s, TCP_KEEPCNT 9" in (
        finding.evidence
    )
    assert "deadpeer explain --within 60" in finding.remedy


def test_values_of_the_programs_own_are_a_note():
    settings = replace(SAFE, idle=15, probes=2)

    (finding,) = diagnose(seen(settings), within=MINUTE).findings
    assert finding.problem is Problem.OVERRIDDEN
    assert finding.severity is Severity.NOTE
    assert finding.evidence == (
        "TCP_KEEPIDLE is 15 s and net.ipv4.tcp_keepalive_time 10 s,"
        " TCP_KEEPCNT is 2 and net.ipv4.tcp_keepalive_probes 3:"
        " the program set its own"
    )


def test_where_the_sysctls_cannot_be_read_nothing_is_said_of_them():
    assert found(seen(replace(SAFE, idle=15), defaults=None)) == {}


def test_a_timer_armed_before_the_change():
    armed = seen(row=row(Timer.KEEPALIVE, expires=7195.0))
    diagnosis = diagnose(armed, within=MINUTE)

    (finding,) = diagnosis.findings
    assert finding.problem is Problem.ARMED_BEFORE
    assert finding.severity is Severity.DEFECT
    assert "fires in 1 h 59 min 55 s, though TCP_KEEPIDLE reads 10 s" in (
        finding.evidence
    )
    assert diagnosis.idle > 7185


def test_a_timer_that_is_a_little_late_is_only_noted():
    (finding,) = diagnose(
        seen(row=row(Timer.KEEPALIVE, expires=20.0)), within=MINUTE
    ).findings

    assert finding.problem is Problem.ARMED_BEFORE
    assert finding.severity is Severity.NOTE


@pytest.mark.parametrize(
    "innocent",
    [
        row(Timer.KEEPALIVE, expires=10.0),
        row(Timer.KEEPALIVE, expires=10.9),
        row(Timer.KEEPALIVE, expires=0.0),
        row(Timer.NONE, expires=9999.0),
        row(Timer.TIME_WAIT, expires=9999.0),
        # There the same timer waits for the peer's FIN (tcp_fin_timeout).
        row(Timer.KEEPALIVE, expires=9999.0, state=TcpState.FIN_WAIT2),
        None,
    ],
)
def test_other_timers_accuse_nobody(innocent):
    assert found(seen(row=innocent)) == {}


def test_between_probes_the_timer_may_run_for_an_interval():
    spaced = replace(SAFE, idle=2, interval=20, user_timeout=30.0)
    defaults = Defaults(idle=2.0, interval=20.0, probes=3)
    waiting = row(Timer.KEEPALIVE, expires=19.0)

    assert Problem.ARMED_BEFORE not in found(
        seen(spaced, defaults=defaults, row=waiting), within=600
    )


def test_keepalive_hidden_behind_data_in_flight():
    busy = row(Timer.RETRANSMIT, unacknowledged=7, retransmits=3)

    finding = found(seen(row=busy))[Problem.TIMER_HIDDEN]
    assert finding.severity is Severity.NOTE
    assert "7 bytes are unacknowledged, retransmitted 3 times" in finding.evidence
    assert "the user timeout decides" in finding.evidence


def test_keepalive_hidden_behind_a_closed_window():
    closed = row(Timer.ZERO_WINDOW, probes=2)

    finding = found(seen(replace(SAFE, user_timeout=0.0), row=closed))[
        Problem.TIMER_HIDDEN
    ]
    assert "window is closed, 2 window probes" in finding.evidence
    assert "tcp_retries2 decides" in finding.evidence


def test_a_sysctl_that_turns_keepalive_off_is_too_slow():
    # tcp_keepalive_time=-1: the socket reports nothing that a setting can say.
    wrapped = Defaults(idle=4_294_967.0, interval=5.0, probes=3)

    finding = found(seen(replace(SAFE, idle=None), defaults=wrapped))[Problem.TOO_SLOW]
    assert "TCP_KEEPIDLE 49 d" in finding.evidence


keepalives = st.builds(
    Keepalive,
    idle=st.integers(1, 32767),
    interval=st.integers(1, 32767),
    probes=st.integers(1, 127),
    user_timeout=st.floats(0, 10_000),
    on=st.booleans(),
)
rows = st.builds(
    row,
    st.sampled_from(Timer),
    expires=st.floats(0, 100_000),
    state=st.sampled_from(TcpState),
)


@given(keepalives, rows | st.none(), st.floats(0.1, 10_000), st.floats(0, 3))
def test_protected_means_that_both_deaths_are_noticed_in_time(
    keepalive, line, within, rtt
):
    diagnosis = diagnose(seen(keepalive, row=line, rtt=rtt), within=within)

    assert diagnosis.protected == (diagnosis.idle <= within >= diagnosis.busy)
    assert len({f.problem for f in diagnosis.findings}) == len(diagnosis.findings)


@given(keepalives, st.floats(0, 3))
def test_the_bounds_are_those_of_the_policy(keepalive, rtt):
    diagnosis = diagnose(seen(keepalive, rtt=rtt), within=MINUTE)
    judged = assess(keepalive, rtt=rtt, defaults=diagnosis.connection.defaults)

    assert diagnosis.idle == judged.bound(State.IDLE).latest
    assert diagnosis.busy == judged.bound(State.UNACKNOWLEDGED).latest


@pytest.mark.parametrize("within", [6.5, 10, 60, 600])
def test_a_plan_passes_its_own_check(within):
    settings = replace(plan(within=within).keepalive, on=True)

    assert diagnose(seen(settings, rtt=0.2), within=within).protected


def test_another_namespace_shows_what_differs():
    here, there = Defaults(idle=30.0), Defaults()

    finding = elsewhere(7, here=here, there=there, namespace=4026532000)
    assert finding.problem is Problem.OTHER_NAMESPACE
    assert finding.evidence == (
        "process 7 is in another network namespace (net:[4026532000]):"
        " net.ipv4.tcp_keepalive_time is 2 h there and 30 s here"
    )
    assert "nsenter --net --target 7" in finding.remedy


def test_another_namespace_may_have_the_same_settings():
    same = Defaults()

    finding = elsewhere(7, here=same, there=same, namespace=1)
    assert finding.evidence.endswith("its sysctls are the same")


def test_another_namespace_may_be_closed_to_us():
    finding = elsewhere(7, here=Defaults(), there=None, namespace=1)

    assert "CAP_SYS_ADMIN" in finding.evidence
