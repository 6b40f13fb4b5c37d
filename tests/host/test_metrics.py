"""What Prometheus is told: counted as it should be, and never without bounds."""

import socket
import struct
import threading

import pytest
from tests.host.looks import (
    PROTECTED,
    UNKNOWN,
    UNPROTECTED,
    about,
    look,
    quiet,
    unheard,
)

from deadpeer.errors import ConfigError, KernelRefused
from deadpeer.host.metrics import MOST_NAMES, Metrics, census, parse_address
from deadpeer.host.sampling import Sampler


def with_rtt(cookie: int, rtt_us: int):
    info = bytearray(232)
    struct.pack_into("=I", info, 68, rtt_us)
    return quiet(cookie, info=bytes(info))


def sampled(*known) -> Sampler:
    """A sampler that knows these: rows, each with what is known of it."""
    sampler = Sampler()
    sampler.see(1, look(*(row for row, _ in known)), now=0)
    facts = {row.cookie: fact for row, fact in known}
    for stranger in sampler.strangers():
        if facts[stranger.row.cookie]:
            sampler.learn(stranger, facts[stranger.row.cookie], now=0)
    return sampler


def test_connections_are_counted_by_process_and_protection():
    sampler = sampled(
        (quiet(1), about(PROTECTED, "game")),
        (quiet(2), about(UNPROTECTED, "game")),
        (unheard(3), about(UNPROTECTED, "game")),
        (quiet(4), about(UNKNOWN, "db")),
        (quiet(5), None),
    )
    counted = census(sampler.watched())

    assert counted.limited() == {
        ("game", "protected"): 1,
        ("game", "unprotected"): 2,
        ("db", "unknown"): 1,
        ("(unknown)", "unknown"): 1,
    }
    assert counted.suspects == 1


def test_round_trips_fall_into_buckets_and_those_not_measured_into_none():
    sampler = sampled(*((with_rtt(n, us), None) for n, us in
                        enumerate([0, 500, 501, 9_000, 5_000_000])))  # fmt: skip
    counted = census(sampler.watched())

    assert counted.rtt_counts == [1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert counted.rtt_sum == pytest.approx(5.010001)


def test_many_names_of_processes_make_no_more_series():
    names = [f"p{n}" for n in range(MOST_NAMES + 50)]
    sampler = sampled(*((quiet(n), about(PROTECTED, x)) for n, x in enumerate(names)))
    counted = census(sampler.watched()).limited()

    assert len(counted) == MOST_NAMES + 1
    assert counted["(other)", "protected"] == 50


def test_a_name_that_is_no_text_can_be_told():
    name = b"\xc3\xa9\xff".decode(errors="surrogateescape")
    sampler = sampled((quiet(1), about(PROTECTED, name)))

    assert census(sampler.watched()).limited() == {("\xe9\\udcff", "protected"): 1}


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":9109", ("0.0.0.0", 9109)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:80", ("::1", 80)),
        ("localhost:80", ("localhost", 80)),
    ],
)
def test_addresses_are_read_as_people_write_them(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "9109", ":", ":x", ":65536", ":-1", "a:b:", ":" + 5000 * "9"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ConfigError, match="no address"):
        parse_address(text)


def test_a_host_that_is_no_name_is_told_in_a_line():
    with pytest.raises(ConfigError, match="no name of a host"):
        Metrics(None, address=("a..b", 0), lock=threading.Lock())


def test_an_address_that_is_taken_is_told_in_a_line():
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(KernelRefused, match="cannot be listened on"),
    ):
        Metrics(None, address=taken.getsockname(), lock=threading.Lock())
