"""PID, HOST:PORT, or a clear word about what is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.cli.target import Address, Process, parse_target
from deadpeer.errors import ConfigError

ports = st.integers(1, 65535)


@given(st.integers(1, 2**22))
def test_a_number_is_a_process(pid):
    assert parse_target(str(pid)) == Process(pid=pid)


@given(st.ip_addresses(v=4), ports)
def test_an_ipv4_address_and_a_port(address, port):
    found = parse_target(f"{address}:{port}")

    assert found == Address(host=str(address), port=port)
    assert parse_target(str(found)) == found


@given(st.ip_addresses(v=6), ports)
def test_an_ipv6_address_stands_in_brackets(address, port):
    found = parse_target(f"[{address}]:{port}")

    assert found == Address(host=str(address), port=port)
    assert parse_target(str(found)) == found


@pytest.mark.parametrize(
    "host", ["localhost", "db.example", "db.example.", "a_b", "x", "bücher.example"]
)
def test_a_name_and_a_port(host):
    assert parse_target(f"{host}:80") == Address(host=host, port=80)


def test_an_address_may_name_its_interface():
    assert parse_target("[fe80::1%eth0]:80") == Address(host="fe80::1%eth0", port=80)


WRONG = {
    "": "is neither a process id nor HOST:PORT",
    "localhost": "is neither a process id nor HOST:PORT",
    "-5": "is neither a process id nor HOST:PORT",
    "0": "has no process id: it is 1 to 4194304",
    "4194305": "has no process id: it is 1 to 4194304",
    "9" * 5000: "has no process id: it is 1 to 4194304",
    ":80": "names no host",
    "host:": "has no port number: ''",
    "host:http": "has no port number: 'http'",
    "host:-1": "has no port number: '-1'",
    "host:0": "has no port: it is 1 to 65535",
    "host:65536": "has no port: it is 1 to 65535",
    "::1:80": "is an IPv6 address without brackets",
    "host:80:81": "is an IPv6 address without brackets, or has two ports",
    "[::1:80": "has only one bracket",
    "::1]:80": "has only one bracket",
    "[::1]": "has no IPv6 address between its brackets",
    "[host]:80": "has no IPv6 address between its brackets",
    "[127.0.0.1]:80": "has no IPv6 address between its brackets",
    "ho st:80": "has no host name or address: 'ho st'",
    "-x:80": "has no host name or address: '-x'",
    "a..b:80": "has no host name or address: 'a..b'",
    "http://host:80": "is an IPv6 address without brackets, or has two ports",
    "host/:80": "has no host name or address: 'host/'",
    "a" * 254 + ":80": "has no host name or address",
    "a" * 64 + ".example:80": "has no host name: 'aaaa",
    "[fe80::1%" + "a" * 64 + "]:80": "has no host name: 'fe80::1%aaaa",
}


@pytest.mark.parametrize(
    ("text", "sentence"), WRONG.items(), ids=[text[:20] for text in WRONG]
)
def test_what_is_wrong_is_said(text, sentence):
    with pytest.raises(ConfigError) as caught:
        parse_target(text)

    assert sentence in caught.value.message
    assert "[IPV6]:PORT" in caught.value.hint
    assert caught.value.field == "target"
    assert caught.value.value == text
    assert len(str(caught.value)) < 700


@given(st.text())
def test_any_text_is_a_target_or_a_config_error(text):
    try:
        found = parse_target(text)
    except ConfigError:
        return
    assert isinstance(found, Process | Address)
