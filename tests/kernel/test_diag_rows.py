"""One row of inet_diag: what is made of it on demand."""

import ipaddress
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.diag_samples import ID, INFO, row

from deadpeer.errors import UnsupportedError
from deadpeer.kernel.diag_rows import INET, INET6, MPTCP, DiagRow, address_text
from deadpeer.kernel.tcp_info import TcpInfo


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_written_as_everybody_does(address):
    assert address_text(INET, address.packed + bytes(12)) == str(address)


@given(st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None))
def test_an_ipv6_address_is_written_as_python_does(address):
    assert ipaddress.ip_address(address_text(INET6, address.packed)) == address


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_told_as_such(address):
    packed = bytes(10) + b"\xff\xff" + address.packed

    assert address_text(INET6, packed) == f"::ffff:{address}"


def test_both_ends_are_read_in_network_order():
    made = row(local=("192.0.2.1", 443), remote=("198.51.100.7", 50000))

    assert made.ends == ("192.0.2.1", 443, "198.51.100.7", 50000)
    assert not made.is_mapped


def test_an_ipv6_socket_that_speaks_ipv4_is_mapped():
    made = row(local=("::ffff:192.0.2.1", 443), remote=("::ffff:198.51.100.7", 5))

    assert made.family == INET6
    assert made.is_mapped
    assert made.ends.remote_host == "::ffff:198.51.100.7"


def test_an_ipv6_socket_that_listens_for_all_is_not_mapped():
    assert not row(local=("::", 80), remote=("::", 0)).is_mapped


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))
def test_the_cookie_is_what_getsockopt_gives(cookie, interface):
    made = row(cookie=cookie, interface=interface)

    assert made.cookie == cookie
    assert made.cookie_bytes == struct.pack("=Q", cookie)
    assert made.interface == interface


def test_the_vitals_are_those_of_the_whole_structure():
    whole = TcpInfo.parse(INFO)
    vitals = row(info=INFO).vitals

    assert vitals is not None
    assert {name: getattr(whole, name) for name in vitals._fields} == vitals._asdict()
    assert row(info=INFO).tcp_info == whole


@given(st.binary(min_size=76, max_size=300))
def test_the_vitals_agree_with_the_whole_structure_at_any_length(info):
    whole = TcpInfo.parse(info)
    vitals = row(info=info).vitals

    assert vitals is not None
    assert {name: getattr(whole, name) for name in vitals._fields} == vitals._asdict()


@pytest.mark.parametrize("info", [b"", b"\x01" * 5, b"\x01" * 75])
def test_without_tcp_info_there_are_no_vitals(info):
    assert row(info=info).vitals is None


def test_what_mptcp_says_is_not_taken_for_tcp_info():
    made = row(info=INFO, protocol=MPTCP)

    assert made.vitals is None
    assert made.tcp_info is None
    assert made.is_mptcp


def ulp(name: bytes) -> bytes:
    value = name + b"\0"
    whole = struct.pack("=HH", 4 + len(value), 1) + value
    return whole + bytes(-len(whole) % 4) + struct.pack("=HH", 8, 3) + bytes(4)


def test_a_subflow_is_told_from_a_plain_connection():
    assert row(ulp_info=ulp(b"mptcp")).is_mptcp
    assert row(ulp_info=ulp(b"tls")).ulp == "tls"
    assert not row(ulp_info=ulp(b"tls")).is_mptcp
    assert not row().is_mptcp
    assert row().ulp == ""


def test_an_upper_layer_without_a_name_has_none():
    assert row(ulp_info=struct.pack("=HHI", 8, 3, 0)).ulp == ""


def test_a_broken_upper_layer_is_an_error_of_ours():
    with pytest.raises(UnsupportedError, match="not understood"):
        _ = row(ulp_info=struct.pack("=HHI", 80, 1, 0)).ulp


def test_the_address_of_the_same_bytes_is_made_once():
    first, second = row().ends, row().ends

    assert first.local_host is second.local_host


def test_a_row_is_a_plain_tuple_that_can_be_hashed():
    assert isinstance(row(), tuple)
    assert hash(row()) == hash(DiagRow(*row()))
    assert len(ID) == 48
    assert socket.AF_INET == INET
