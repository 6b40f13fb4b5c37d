"""The codec of inet_diag: what is encoded is read back, and nonsense is said to be."""

import contextlib
import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.diag_samples import INFO, row, rows

from deadpeer.errors import UnsupportedError
from deadpeer.kernel.diag_messages import (
    DumpReader,
    acknowledged,
    encode_done,
    encode_error,
    encode_row,
    request_destroy,
    request_dump,
)
from deadpeer.kernel.diag_rows import INET, INET6, MPTCP, TCP

SEQUENCE = 7
NLM_F_DUMP_INTR = 0x10
ERRNOS = st.integers(1, 4095)


def read(*datagrams: bytes, protocol: int = TCP) -> DumpReader:
    reader = DumpReader(sequence=SEQUENCE, protocol=protocol)
    for datagram in datagrams:
        reader.feed(datagram)
    return reader


def encoded(row, **how) -> bytes:
    return encode_row(row, sequence=SEQUENCE, **how)


@given(st.lists(rows(), max_size=12), st.data())
def test_rows_are_read_back_in_whatever_datagrams_they_come(made, data):
    messages = [encoded(one) for one in made] + [encode_done(sequence=SEQUENCE)]
    cut = data.draw(st.integers(0, len(messages)))

    reader = read(b"".join(messages[:cut]), b"".join(messages[cut:]))

    assert reader.rows == made
    assert reader.is_done
    assert not reader.errno
    assert not reader.is_interrupted


@given(rows(MPTCP))
def test_the_protocol_is_that_of_the_request(made):
    assert read(encoded(made), protocol=MPTCP).rows == [made]


@given(rows(), st.integers(0, 3))
def test_a_message_that_lacks_its_last_padding_is_read_too(made, more):
    data = encoded(made)
    (length,) = struct.unpack_from("=I", data)

    assert read(data[:length]).rows == [made]
    assert read(data + bytes(more)).rows == [made]


@given(rows(), rows())
def test_rows_of_one_length_and_other_attributes_are_not_mixed_up(one, two):
    small = one._replace(info=b"", ulp_info=b"1234", cgroup=0, mark=0, shutdown=0)
    other = two._replace(info=b"5678", ulp_info=b"", cgroup=0, mark=0, shutdown=0)

    assert len(encoded(small)) == len(encoded(other))
    assert read(encoded(small) + encoded(other) + encoded(small)).rows == [
        small,
        other,
        small,
    ]


def test_attributes_that_are_not_known_are_passed_over():
    made = row(info=INFO, shutdown=1)
    strange = struct.pack("=HH5s3x", 9, 0x1FFF, b"hello")
    body = encoded(made)[16:] + strange
    data = struct.pack("=IHHII", 16 + len(body), 20, 2, SEQUENCE, 0) + body

    assert read(data).rows == [made]


def test_answers_to_another_request_are_ignored():
    stale = encode_row(row(), sequence=SEQUENCE - 1) + encode_done(
        sequence=SEQUENCE - 1
    )

    reader = read(stale)

    assert reader.rows == []
    assert not reader.is_done


def test_nothing_is_read_behind_the_end():
    reader = read(encode_done(sequence=SEQUENCE) + encoded(row()))

    assert reader.is_done
    assert reader.rows == []


@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_interruption_is_seen_on_whichever_message_it_is_told(at):
    messages = [
        encoded(row(), flags=2 | (NLM_F_DUMP_INTR if at == 0 else 0)),
        encoded(row(), flags=2 | (NLM_F_DUMP_INTR if at == 1 else 0)),
        encode_done(sequence=SEQUENCE, flags=2 | (NLM_F_DUMP_INTR if at == 2 else 0)),
    ]

    reader = read(b"".join(messages))

    assert reader.is_interrupted
    assert len(reader.rows) == 2


@given(ERRNOS)
def test_an_error_at_the_end_of_a_dump_is_an_error(number):
    reader = read(encode_done(sequence=SEQUENCE, errno=number))

    assert reader.is_done
    assert reader.errno == number


@given(ERRNOS)
def test_an_error_instead_of_a_dump_is_an_error(number):
    assert read(encode_error(sequence=SEQUENCE, errno=number)).errno == number


def test_the_end_of_a_dump_may_come_without_a_number():
    bare = struct.pack("=IHHII", 16, 3, 2, SEQUENCE, 0)

    assert read(bare).is_done


def test_messages_that_say_nothing_are_passed_over():
    nothing = struct.pack("=IHHII", 16, 1, 0, SEQUENCE, 0)

    assert read(nothing + encoded(row())).rows == [row()]


def test_an_answer_to_a_request_tells_if_it_was_done():
    assert acknowledged(encode_error(sequence=SEQUENCE), sequence=SEQUENCE) == 0
    gone = encode_error(sequence=SEQUENCE, errno=errno.ENOENT)
    assert acknowledged(gone, sequence=SEQUENCE) == errno.ENOENT
    assert acknowledged(gone, sequence=SEQUENCE + 1) is None


BROKEN = {
    "a message longer than its datagram": struct.pack("=IHHII", 99, 20, 0, 7, 0),
    "a message shorter than its heading": struct.pack("=IHHII", 15, 20, 0, 7, 0),
    "a message without a socket": struct.pack("=IHHII", 16, 20, 0, 7, 0),
    "an error without a number": struct.pack("=IHHII", 16, 2, 0, 7, 0),
    "an attribute that is too long": (
        struct.pack("=IHHII", 92, 20, 0, 7, 0) + bytes(72) + struct.pack("=HH", 9, 2)
    ),
    "an attribute that is too short": (
        struct.pack("=IHHII", 92, 20, 0, 7, 0) + bytes(72) + struct.pack("=HH", 3, 2)
    ),
    "a mark of two bytes": (
        struct.pack("=IHHII", 94, 20, 0, 7, 0)
        + bytes(72)
        + struct.pack("=HHH2x", 6, 15, 1)
    ),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=list(BROKEN))
def test_what_is_not_of_the_known_form_is_said_to_be(data):
    with pytest.raises(UnsupportedError, match="not understood") as caught:
        read(data)

    assert "report" in caught.value.hint


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data):
    with contextlib.suppress(UnsupportedError):
        read(data)


@given(rows(), st.data())
def test_a_damaged_message_is_read_or_refused(made, data):
    whole = bytearray(encoded(made) * 2)
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(UnsupportedError):
        read(bytes(whole))


def test_a_request_asks_for_the_family_and_the_states():
    data = request_dump(family=INET6, sequence=3, states=1 << 10)

    assert struct.unpack_from("=IHHII", data) == (72, 20, 0x301, 3, 0)
    assert struct.unpack_from("=BBBxI", data, 16) == (INET6, TCP, 2, 1 << 10)


def test_a_kernel_without_mptcp_cannot_take_its_request_for_another():
    data = request_dump(family=INET, sequence=3, protocol=MPTCP)

    assert struct.unpack_from("=BB", data, 16) == (INET, 0)
    assert data[-8:] == struct.pack("=HHI", 8, 3, MPTCP)


def test_a_filter_goes_with_the_request():
    data = request_dump(family=INET, sequence=3, bytecode=b"12345678")

    assert data[-12:] == struct.pack("=HH", 12, 1) + b"12345678"


@given(rows())
def test_a_connection_is_ended_by_its_whole_name(made):
    data = request_destroy(made, sequence=5)

    assert struct.unpack_from("=IHHII", data) == (72, 21, 0x5, 5, 0)
    assert data[16] == made.family
    assert data[24:72] == made.id
