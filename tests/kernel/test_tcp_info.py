"""The kernel's evidence, read by its length and checked against the kernel."""

import socket
import struct
import sys
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.loopback import fill, listener, pair

from deadpeer.errors import ConfigError
from deadpeer.kernel.evidence import read_queue, read_tcp_info
from deadpeer.kernel.tcp_info import LAYOUT, SHORTEST, TcpInfo, TcpState
from deadpeer.platforms import Defaults
from deadpeer.policy.timers import retransmission_timeout

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux' own structure")

WHOLE = max(offset + struct.calcsize(form) for offset, form in LAYOUT.values())


def info(**given):
    return TcpInfo(
        **{"state": 1, "ca_state": 0, "retransmits": 0, "probes": 0, "backoff": 0}
        | given
    )


def packed(values: dict[str, int]) -> bytes:
    data = bytearray(WHOLE)
    for name, value in values.items():
        offset, form = LAYOUT[name]
        struct.pack_into(f"={form}", data, offset, value)
    return bytes(data)


values_of_every_field = st.fixed_dictionaries(
    {
        name: st.integers(0, 2 ** (8 * struct.calcsize(form)) - 1)
        for name, (_, form) in LAYOUT.items()
    }
)


@given(values_of_every_field)
def test_what_was_packed_is_parsed(values):
    parsed = TcpInfo.parse(packed(values))

    assert {name: getattr(parsed, name) for name in values} == values


@given(values_of_every_field, st.integers(SHORTEST, WHOLE + 50))
def test_a_shorter_structure_gives_the_fields_that_it_reaches(values, length):
    data = packed(values) + bytes(50)
    parsed = TcpInfo.parse(data[:length])

    for name, (offset, form) in LAYOUT.items():
        reached = offset + struct.calcsize(form) <= length
        assert getattr(parsed, name) == (values[name] if reached else None)


@given(st.binary(max_size=SHORTEST - 1))
def test_too_few_bytes_are_refused(data):
    with pytest.raises(ConfigError):
        TcpInfo.parse(data)


@given(st.binary(min_size=SHORTEST, max_size=600))
def test_any_bytes_give_evidence_and_nothing_else_happens(data):
    parsed = TcpInfo.parse(data)

    assert parsed.state_name
    assert parsed.is_suspect in (True, False)
    assert parsed.silence is None or parsed.silence >= 0
    assert parsed.round_trip is None or parsed.round_trip > 0


def test_each_field_has_a_place_and_no_two_share_it():
    assert list(LAYOUT) == [one.name for one in fields(TcpInfo)]
    ends = 0
    for offset, form in LAYOUT.values():
        assert offset >= ends
        ends = offset + struct.calcsize(form)


def test_two_unanswered_questions_are_suspicious_and_one_is_not():
    assert not info(probes=1).is_suspect
    assert not info(retransmits=1).is_suspect
    assert info(probes=2).is_suspect
    assert info(retransmits=2).is_suspect


def test_a_closed_window_is_not_suspicious():
    # Measured on a live peer that reads nothing: these grow, the others do not.
    assert not info(backoff=8, ca_state=4, last_ack_recv_ms=28_000).is_suspect


def test_silence_is_since_anything_was_heard():
    assert info(last_data_recv_ms=9000, last_ack_recv_ms=250).silence == 0.25
    assert info(last_data_recv_ms=9000).silence == 9.0
    assert info().silence is None


def test_the_round_trip_to_plan_with_grows_only_with_wide_variation():
    assert info(rtt_us=20_000, rttvar_us=10_000).round_trip == 0.02
    assert info(rtt_us=20_000, rttvar_us=50_000).round_trip == 0.02
    assert info(rtt_us=20_000, rttvar_us=100_000).round_trip == 0.22
    assert info(rtt_us=0).round_trip is None
    assert info().round_trip is None


def test_a_fresh_connection_is_planned_for_the_one_round_trip_it_measured():
    # RFC 6298 (2.2): the variance is half of it until there is a second one.
    assert info(rtt_us=180_000, rttvar_us=90_000).round_trip == 0.18
    assert info(rtt_us=600_000, rttvar_us=300_000).round_trip == 0.6


@given(rtt_us=st.integers(1, 10**7), rttvar_us=st.integers(0, 10**7))
def test_the_round_trip_to_plan_with_covers_the_timeout_in_force(rtt_us, rttvar_us):
    in_force = (rtt_us + max(200_000, 4 * rttvar_us)) / 1e6
    planned = info(rtt_us=rtt_us, rttvar_us=rttvar_us).round_trip
    _, greatest = retransmission_timeout(planned, Defaults())
    assert greatest >= in_force - 1e-6


@linux
def test_the_kernels_own_evidence_is_understood():
    with pair() as (client, accepted):
        client.sendall(b"x" * 1000)
        assert len(accepted.recv(1000, socket.MSG_WAITALL)) == 1000
        accepted.sendall(b"y" * 500)
        assert len(client.recv(500, socket.MSG_WAITALL)) == 500
        evidence = read_tcp_info(client)

        assert evidence is not None
        assert evidence.state == TcpState.ESTABLISHED
        assert evidence.state_name == "ESTABLISHED"
        assert evidence.is_connected
        assert not evidence.is_suspect
        assert evidence.bytes_received == 500
        assert evidence.bytes_acked is not None
        assert 1000 <= evidence.bytes_acked <= 1001  # the SYN counts
        assert evidence.snd_wnd_bytes is not None
        assert evidence.snd_wnd_bytes > 0
        assert evidence.rto_us is not None
        assert evidence.rto_us >= 200_000
        assert evidence.round_trip is not None
        assert 0 < evidence.round_trip < 1


@linux
def test_a_listening_socket_says_so_and_has_no_queue():
    with listener(backlog=7) as server:
        evidence = read_tcp_info(server)

        assert evidence is not None
        assert evidence.state_name == "LISTEN"
        assert evidence.sacked == 7  # the backlog
        assert not evidence.is_connected
        assert read_queue(server) is None


@linux
def test_the_queue_counts_what_a_peer_does_not_take():
    with pair() as (client, _):
        sent = fill(client)
        queue = read_queue(client)

        assert queue is not None
        assert 0 < queue.unsent <= queue.unacknowledged <= sent


def test_an_unknown_state_is_named_by_its_number():
    assert info(state=99).state_name == "state 99"
