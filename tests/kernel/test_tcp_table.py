"""The format of /proc/net/tcp, from real lines, made-up lines and nonsense."""

import ipaddress
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.errors import UnsupportedError
from deadpeer.kernel.tcp_info import TcpState
from deadpeer.kernel.tcp_table import Endpoint, TcpRow, Timer, parse_table

# As Linux 6.18 on x86-64 wrote them.
HEADING = (
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt"
    "   uid  timeout inode"
)
LISTENING = (
    "   0: 0100007F:8A7B 00000000:0000 0A 00000000:00000000 00:00000000 00000000"
    "  1000        0 31544 1 0000000000000000 100 0 0 10 0"
)
KEPT_ALIVE = (
    "   1: 0100007F:8022 0100007F:AA9B 01 00000000:00000005 02:000AFC7E 00000000"
    "     0        2 31546 2 0000000000000000 20 0 0 10 -1"
)
BUSY = (
    "   2: 0100007F:D2F0 0100007F:8A7B 01 00000001:00000000 01:00000015 00000003"
    "     0        0 8888 2 0000000000000000 120 0 0 1 7"
)
SIX = (
    "   3: 00000000000000000000000001000000:1F90"
    " B80D01200000000000000000EFBEADDE:C001 08 00000000:00000000 00:00000000 00000000"
    "     0        0 77 1 0000000000000000 20 0 0 10 -1"
)


def parsed(*lines: str, **more) -> list[TcpRow]:
    return list(parse_table(lines, **{"byteorder": "little"} | more))


def test_the_heading_and_empty_lines_are_no_rows():
    assert parsed(HEADING, "", "  ") == []


def test_a_listening_socket():
    assert parsed(HEADING, LISTENING) == [
        TcpRow(
            local=Endpoint(host="127.0.0.1", port=35451),
            remote=Endpoint(host="0.0.0.0", port=0),
            state=TcpState.LISTEN,
            unacknowledged=0,
            unread=0,
            timer=Timer.NONE,
            expires=0.0,
            retransmits=0,
            probes=0,
            uid=1000,
            inode=31544,
        )
    ]


def test_an_armed_keepalive_timer_is_told_in_seconds():
    row = parsed(KEPT_ALIVE)[0]

    assert (row.timer, row.expires) == (Timer.KEEPALIVE, 7199.98)
    assert (row.unread, row.probes, row.inode) == (5, 2, 31546)


def test_another_clock_counts_other_ticks():
    assert parsed(KEPT_ALIVE, ticks=1000)[0].expires == pytest.approx(719.998)


def test_data_in_flight_and_its_retransmissions():
    row = parsed(BUSY)[0]

    assert row.timer is Timer.RETRANSMIT
    assert (row.unacknowledged, row.retransmits, row.expires) == (1, 3, 0.21)


def test_ipv6_addresses_are_words_in_the_machines_order():
    row = parsed(SIX)[0]

    assert str(row.local) == "[::1]:8080"
    assert str(row.remote) == "[2001:db8::dead:beef]:49153"
    assert row.state is TcpState.CLOSE_WAIT


def test_a_big_endian_machine_writes_its_words_the_other_way():
    line = LISTENING.replace("0100007F", "7F000001")

    assert parsed(line, byteorder="big")[0].local.host == "127.0.0.1"


BROKEN = {
    "too few columns": "   1: 0100007F:8022 0100007F:AA9B 01",
    "no port": LISTENING.replace(":8A7B", ""),
    "a port too large": LISTENING.replace(":8A7B", ":18A7B"),
    "an odd address": LISTENING.replace("0100007F:8", "100007F:8"),
    "an address of no family": LISTENING.replace("0100007F:8", "0100007F0100007F:8"),
    "a state of the future": LISTENING.replace(" 0A ", " 7F "),
    "a timer of the future": LISTENING.replace("00:00000000 ", "09:00000000 "),
    "a sign": LISTENING.replace("1000 ", "-100 "),
    "hexadecimal with a prefix": LISTENING.replace(" 0A ", " 0xA "),
    "underscores": LISTENING.replace(" 31544 ", " 31_544 "),
    "other digits": LISTENING.replace(" 31544 ", " ٣١٥٤٤ "),
    "a time without end": LISTENING.replace("00:00000000 ", f"02:{'F' * 400} "),
}


@pytest.mark.parametrize("line", BROKEN.values(), ids=BROKEN)
def test_a_line_of_another_form_is_a_typed_error(line):
    with pytest.raises(UnsupportedError, match="TCP table is not understood") as caught:
        parsed(line)

    assert caught.value.option == "/proc/net/tcp"
    assert caught.value.hint


def written(row: TcpRow, byteorder: str) -> str:
    """Write a row as net/ipv4/tcp_ipv4.c and net/ipv6/tcp_ipv6.c do."""

    def end(endpoint: Endpoint) -> str:
        packed = ipaddress.ip_address(endpoint.host).packed
        words = [packed[at : at + 4] for at in range(0, len(packed), 4)]
        step = -1 if byteorder == "little" else 1
        address = "".join(word[::step].hex().upper() for word in words)
        return f"{address}:{endpoint.port:04X}"

    return (
        f"{17:4d}: {end(row.local)} {end(row.remote)} {row.state:02X}"
        f" {row.unacknowledged:08X}:{row.unread:08X}"
        f" {row.timer:02X}:{round(row.expires * 100):08X} {row.retransmits:08X}"
        f" {row.uid:5d} {row.probes:8d} {row.inode} 1 0000000000000000 20 0 0 10 -1"
    )


counts = st.integers(0, 2**32 - 1)


def endpoints(version: int):
    return st.builds(
        Endpoint,
        host=st.ip_addresses(v=version).map(str),
        port=st.integers(0, 65535),
    )


rows = st.sampled_from([4, 6]).flatmap(
    lambda version: st.builds(
        TcpRow,
        local=endpoints(version),
        remote=endpoints(version),
        state=st.sampled_from(TcpState),
        unacknowledged=counts,
        unread=counts,
        timer=st.sampled_from(Timer),
        expires=counts.map(lambda ticks: ticks / 100),
        retransmits=counts,
        probes=counts,
        uid=counts,
        inode=counts,
    )
)


@given(rows, st.sampled_from(["little", "big"]))
def test_every_row_that_a_kernel_can_write_is_read_back(row, byteorder):
    assert parsed(written(row, byteorder), byteorder=byteorder) == [row]


@given(st.lists(st.text()), st.sampled_from(["little", "big"]))
def test_any_text_is_rows_or_a_typed_error(lines, byteorder):
    try:
        found = parsed(*lines, byteorder=byteorder)
    except UnsupportedError:
        return
    assert all(isinstance(row, TcpRow) for row in found)


def test_an_endpoint_is_written_as_people_write_it():
    assert str(Endpoint(host="192.0.2.1", port=80)) == "192.0.2.1:80"
    assert str(Endpoint(host="::", port=0)) == "[::]:0"


def test_the_order_of_this_machine_is_the_usual_one():
    line = (
        LISTENING
        if sys.byteorder == "little"
        else LISTENING.replace("0100007F", "7F000001")
    )
    assert next(parse_table([line])).local.host == "127.0.0.1"
