"""The frames after the HELLO: their bytes there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.core.frames import (
    HEADER_SIZE,
    LARGEST_FRAGMENT,
    LAST,
    Farewell,
    Kind,
    decode_bye,
    encode_beat,
    encode_bye,
    encode_data,
    encode_ping,
    encode_pong,
    farewell_word,
    frame_size,
)
from deadpeer.errors import LocalProtocolError, RemoteProtocolError


@given(sequence=st.integers(0, 65535))
def test_a_heartbeat_has_at_most_three_bytes(sequence):
    for frame in (encode_beat(), encode_ping(sequence), encode_pong(sequence)):
        assert len(frame) <= 3
        assert frame_size(frame, 0) == len(frame)


@pytest.mark.parametrize("encode", [encode_ping, encode_pong])
@pytest.mark.parametrize("sequence", [-1, 65536, 1.5, "1", None])
def test_a_sequence_that_does_not_fit_is_this_ends_mistake(encode, sequence):
    with pytest.raises(LocalProtocolError) as caught:
        encode(sequence)
    assert caught.value.breach == "bad-sequence"
    assert repr(sequence) in str(caught.value)


@given(size=st.integers(0, 3 * LARGEST_FRAGMENT + 1))
def test_fragments_hold_the_message_and_only_the_last_is_marked(size):
    message = bytes(range(256)) * (size // 256 + 1)
    frames = list(encode_data(message[:size]))

    assert b"".join(frame[HEADER_SIZE:] for frame in frames) == message[:size]
    assert [frame[0] & LAST for frame in frames] == [0] * (len(frames) - 1) + [1]
    assert all(frame_size(frame, 0) == len(frame) for frame in frames)
    assert all(len(frame) <= HEADER_SIZE + LARGEST_FRAGMENT for frame in frames)
    assert len(frames) == max(1, -(-size // LARGEST_FRAGMENT))


@given(reason=st.integers(0, 255), text=st.text())
def test_a_goodbye_comes_back_cut_at_a_character(reason, text):
    frame = encode_bye(reason, text)
    code, said = decode_bye(frame)

    assert frame_size(frame, 0) == len(frame)
    assert code == reason
    whole = text.encode("utf-8", "replace").decode()
    assert whole.startswith(said)
    assert said == whole or 252 <= len(said.encode()) <= 255


@pytest.mark.parametrize("reason", [-1, 256, "done", None, 1.0, True])
def test_a_reason_that_does_not_fit_is_this_ends_mistake(reason):
    with pytest.raises(LocalProtocolError, match="reason") as caught:
        encode_bye(reason)
    assert caught.value.breach == "bad-goodbye"


@pytest.mark.parametrize("text", [None, b"bytes", 7])
def test_a_goodbye_whose_text_is_none_is_this_ends_mistake(text):
    with pytest.raises(LocalProtocolError, match="text") as caught:
        encode_bye(0, text)
    assert caught.value.breach == "bad-goodbye"


def test_every_reason_has_a_word_of_its_own():
    words = [farewell_word(code) for code in range(256)]

    assert len(set(words)) == 256
    assert words[Farewell.TAKEN_FOR_DEAD] == "taken-for-dead"
    assert words[6] == "reason-6"
    assert words[128] == "application-128"


@given(first=st.integers(0, 255))
def test_each_first_byte_is_a_frame_or_a_breach(first):
    known = {Kind.BEAT, Kind.PING, Kind.PONG, Kind.DATA, Kind.DATA | LAST, Kind.BYE}
    frame = bytes((first, 0, 1))
    if first in known:
        assert frame_size(frame, 0) >= 1
        return
    with pytest.raises(RemoteProtocolError) as caught:
        frame_size(frame, 0)
    expected = "reserved-bits" if first & 0xF0 in known else "unknown-frame"
    if first == Kind.HELLO:
        expected = "second-hello"
    assert caught.value.breach == expected


@pytest.mark.parametrize(
    ("head", "size"),
    [
        ("40", 0),
        ("4100", 0),
        ("410000", 3),
        ("414000", 16387),
        ("5000", 0),
        ("5000ff", 258),
    ],
)
def test_a_size_is_known_from_the_head_alone(head, size):
    assert frame_size(bytes.fromhex(head), 0) == size


@pytest.mark.parametrize(
    ("head", "breach"), [("404001", "fragment-too-big"), ("400000", "empty-fragment")]
)
def test_a_fragment_is_refused_by_its_head_alone(head, breach):
    with pytest.raises(RemoteProtocolError) as caught:
        frame_size(bytes.fromhex(head), 0)
    assert caught.value.breach == breach
