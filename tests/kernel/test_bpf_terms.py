"""The record in the map: what is written can be read, and nothing else is taken."""

from hypothesis import given
from hypothesis import strategies as st

from deadpeer.kernel.bpf_terms import (
    RECORD_SIZE,
    Counts,
    Terms,
    counter_at,
    decode,
    encode,
    settings,
)
from deadpeer.policy import Keepalive

COUNTER = st.integers(0, 2**64 - 1)
TERMS = st.builds(
    Terms,
    keepalive=st.builds(
        Keepalive,
        on=st.sampled_from([True, None]),
        idle=st.none() | st.integers(1, 32767),
        interval=st.none() | st.integers(1, 32767),
        probes=st.none() | st.integers(1, 127),
        user_timeout=st.none() | st.integers(1, 10**6).map(lambda n: n / 1000),
        rto_max=st.none() | st.integers(1000, 120_000).map(lambda n: n / 1000),
    ),
    within=st.none() | st.integers(1, 86_400_000).map(lambda n: n / 1000),
    pin=st.booleans(),
    counts=st.builds(
        Counts, made=COUNTER, accepted=COUNTER, refused=COUNTER, swallowed=COUNTER
    ),
)


@given(TERMS)
def test_what_is_written_is_read(terms):
    record = encode(terms)
    read = decode(record)

    assert len(record) == RECORD_SIZE
    assert read
    assert read.effective == terms.effective
    assert (read.within, read.pin, read.counts) == (
        terms.within,
        terms.pin,
        terms.counts,
    )
    assert encode(read) == record


@given(st.binary(max_size=2 * RECORD_SIZE))
def test_a_record_of_others_is_none_of_ours(record):
    assert decode(record) is None


def test_a_record_of_another_version_is_not_understood():
    record = bytearray(encode(Terms(keepalive=Keepalive(idle=5))))
    record[4] += 1

    assert decode(bytes(record)) is None


def test_each_value_is_where_the_program_looks_for_it():
    terms = Terms(
        keepalive=Keepalive(idle=4, interval=2, user_timeout=3.5), counts=Counts(made=7)
    )
    record = encode(terms)

    for setting in settings(terms.keepalive):
        assert record[setting.at : setting.at + 4] == setting.value.to_bytes(
            4, byteorder="little" if record[0] == ord("d") else "big"
        )
    assert 7 in record[counter_at("made") : counter_at("accepted")]


def test_a_value_of_zero_is_left_alone():
    assert settings(Keepalive(user_timeout=0)) == ()
