"""What a peer's bytes mean, in whatever pieces they come, and in what bounds."""

import itertools
import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.core.arrivals import (
    Beat,
    Goodbye,
    Greeted,
    Message,
    Pinged,
    Ponged,
)
from deadpeer.core.conversation import Conversation
from deadpeer.core.frames import encode_beat, encode_bye, encode_data, encode_ping
from deadpeer.core.hello import Hello, encode_hello
from deadpeer.core.limits import Limits
from deadpeer.core.reader import ANSWER
from deadpeer.core.stages import Stage
from deadpeer.errors import RemoteProtocolError

HELLO = Hello(largest_message=100, heartbeat_gap=1.0)
LIMITS = Limits(largest_message=100, heartbeat_gap=1.0)
THEIRS = Hello(interval=5)
GREETING = encode_hello(THEIRS)


def told(arrivals):
    """Return arrivals with their types, which tuples do not compare."""
    return [(type(arrival), *arrival) for arrival in arrivals]


def silent(hello=HELLO, limits=LIMITS):
    conversation = Conversation(hello, limits, now=0.0)
    conversation.greeting()
    return conversation


def greeted(hello=HELLO, limits=LIMITS):
    conversation = silent(hello, limits)
    conversation.receive(GREETING, now=0.0)
    return conversation


def breach_of(conversation, data, now=0.0):
    with pytest.raises(RemoteProtocolError) as caught:
        conversation.receive(data, now=now)
    assert caught.value is conversation.error
    return caught.value.breach


def outcome(conversation, data):
    """Return what bytes come to: arrivals, or the rule that they break."""
    try:
        return told(conversation.receive(data, now=0.0))
    except RemoteProtocolError as error:
        return error.breach


def state_of(conversation):
    error = conversation.error
    return conversation.receiving, conversation.deadline, error and error.breach


FRAMES = st.one_of(
    st.just(b"\x10"),
    st.integers(0, 65535).map(encode_ping),
    st.just(b"\x30\x00\x01"),
    st.binary(max_size=40).map(lambda message: b"".join(encode_data(message))),
    st.binary(min_size=1, max_size=40).map(
        lambda part: b"\x40\x00" + bytes((len(part),)) + part
    ),
    st.binary(max_size=3),
    st.just(encode_bye(1, "later")),
)


@given(
    frames=st.lists(FRAMES, max_size=8),
    cuts=st.lists(st.integers(0, 300), max_size=8),
    asked=st.integers(0, 2),
)
def test_the_same_is_heard_in_whatever_pieces_it_comes(frames, cuts, asked):
    data = GREETING + b"".join(frames)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    ways = (
        [data],
        [data[a:b] for a, b in itertools.pairwise(places)],
        [bytes((byte,)) for byte in data],
    )
    outcomes = []
    for pieces in ways:
        conversation = silent()
        conversation._unanswered = asked
        heard = []
        for piece in pieces:
            try:
                heard += told(conversation.receive(piece, now=0.0))
            except RemoteProtocolError:
                break
        outcomes.append((heard, str(conversation.error), conversation.receiving))

    assert outcomes[0] == outcomes[1] == outcomes[2]


@given(data=st.binary(max_size=200), open_=st.booleans())
def test_garbage_is_the_peers_fault_and_nothing_else(data, open_):
    conversation = greeted() if open_ else silent()
    for byte in data:
        try:
            conversation.receive(bytes((byte,)), now=0.0)
        except RemoteProtocolError as error:
            breach = error.breach
            assert breach_of(conversation, b"") == breach
            return


@given(messages=st.lists(st.binary(max_size=100), max_size=5))
def test_messages_arrive_whole_and_in_order(messages):
    conversation = greeted()
    data = b"".join(frame for message in messages for frame in encode_data(message))

    assert told(conversation.receive(data, now=0.0)) == [
        (Message, message) for message in messages
    ]


def test_a_story_of_every_frame():
    conversation = silent()
    data = GREETING + b"\x10\x20\x00\x07\x40\x00\x01a\x20\x00\x08\x41\x00\x01b"

    assert told(conversation.receive(data + encode_bye(3, "why"), now=0.0)) == [
        (Greeted, THEIRS),
        (Beat,),
        (Pinged, 7),
        (Pinged, 8),
        (Message, b"ab"),
        (Goodbye, 3, "why"),
    ]
    assert conversation.theirs == THEIRS
    assert conversation.receiving is Stage.GONE


def test_a_heartbeat_in_one_read_is_heard_like_any_other():
    conversation = greeted()
    conversation.ping(258)

    assert told(conversation.receive(b"\x20\xff\xfe", now=0.0)) == [(Pinged, 65534)]
    assert told(conversation.receive(b"\x30\x01\x02", now=0.0)) == [(Ponged, 258)]
    assert breach_of(conversation, b"\x30\x01\x02") == "unasked-pong"


@given(
    st.lists(
        st.sampled_from([b"\x20\x00\x07", b"\x30\x00\x07", b"\x41\x00", b"\x00"])
        | st.binary(max_size=4),
        max_size=8,
    ),
    st.integers(0, 2),
)
def test_one_heartbeat_alone_is_taken_as_it_would_be_among_others(reads, asked):
    quick, usual = greeted(), greeted()
    for conversation in (quick, usual):
        for _ in range(asked):
            conversation.ping(7)

    for data in reads:
        number = quick.heartbeat(data, now=0.0)
        if number < 0:
            assert outcome(quick, data) == outcome(usual, data)
        else:
            kind = Ponged if number >= ANSWER else Pinged
            assert outcome(usual, data) == [(kind, number % ANSWER)]
        assert state_of(quick) == state_of(usual)


def test_a_heartbeat_is_taken_alone_whether_it_asks_or_answers():
    conversation = greeted()
    conversation.ping(258)

    assert conversation.heartbeat(b"\x20\xff\xfe", now=0.0) == 65534
    assert conversation.heartbeat(b"\x30\x01\x02", now=0.0) == ANSWER + 258
    assert conversation.heartbeat(b"\x30\x01\x02", now=0.0) < 0
    assert conversation.error is None


def test_three_bytes_that_are_no_heartbeat_are_no_heartbeat():
    conversation = greeted()

    assert told(conversation.receive(b"\x41\x00\x00", now=0.0)) == [(Message, b"")]
    assert told(conversation.receive(b"\x41\x00\x03", now=0.0)) == []
    assert told(conversation.receive(b"\x20\x00\x00", now=0.0)) == [
        (Message, b"\x20\x00\x00")
    ]


def test_what_arrived_before_a_breach_is_not_lost():
    conversation = greeted()

    assert told(conversation.receive(b"\x10\xff\x10", now=0.0)) == [(Beat,)]
    assert conversation.error.breach == "unknown-frame"
    assert conversation.receiving is Stage.BROKEN
    assert breach_of(conversation, b"") == "unknown-frame"
    assert breach_of(conversation, b"\x20\x00\x00") == "unknown-frame"


def test_buffers_that_change_later_are_copied():
    conversation = greeted()
    data = bytearray(b"\x41\x00\x02hi")
    arrivals = conversation.receive(data, now=0.0)
    rest = bytearray(b"\x41\x00\x02h")
    conversation.receive(memoryview(rest), now=0.0)
    data[:] = rest[:] = b""

    assert told(arrivals) == [(Message, b"hi")]
    assert told(conversation.receive(b"o", now=0.0)) == [(Message, b"ho")]


def test_any_kind_of_bytes_will_do():
    conversation = silent()
    data = GREETING + b"\x41\x00\x02hi" + encode_bye(0, "so long")
    arrivals = conversation.receive(memoryview(bytearray(data)), now=0.0)

    assert told(arrivals) == [
        (Greeted, THEIRS),
        (Message, b"hi"),
        (Goodbye, 0, "so long"),
    ]


# ---------------------------------------------------------------------- bounds


def held(conversation):
    return sum(
        sys.getsizeof(buffer)
        for buffer in (conversation._buffer, conversation._message)
        if buffer is not None
    )


def test_an_idle_conversation_costs_less_than_400_bytes():
    conversation = greeted()
    conversation.receive(b"\x40\x00\x01a", now=1.0)
    conversation.receive(b"\x41\x00", now=1.0)
    conversation.receive(b"\x01b", now=1.0)
    own = [conversation._since_at, conversation._allowance_at]
    size = sys.getsizeof(conversation) + sum(map(sys.getsizeof, own))

    assert not hasattr(conversation, "__dict__")
    assert held(conversation) == 0
    assert size < 400
    # What is large is shared.
    assert conversation.theirs is greeted().theirs
    assert conversation.limits is LIMITS


def test_a_message_in_tiny_fragments_takes_no_more_memory_than_it_has_bytes():
    limits = Limits(largest_message=100_000)
    conversation = greeted(Hello(largest_message=100_000), limits)
    for _ in range(50_000):
        conversation.receive(b"\x40\x00\x02ab", now=0.0)

    assert held(conversation) < 1.2 * limits.most_bytes
    assert breach_of(conversation, b"\x40\x00\x02") == "message-too-big"
    assert held(conversation) == 0


def test_a_size_is_refused_before_anything_is_kept():
    assert breach_of(greeted(), b"\x40\x00\x65") == "message-too-big"
    assert breach_of(greeted(), b"\x40\x40\x01") == "fragment-too-big"
    assert breach_of(silent(), GREETING[:6] + b"\xff\xff") == "hello-too-big"


def test_a_message_of_exactly_the_largest_size_is_taken():
    message = bytes(100)
    [arrival] = greeted().receive(b"".join(encode_data(message)), now=0.0)

    assert arrival == (message,)
    conversation = greeted()
    conversation.receive(b"\x40\x00\x63" + bytes(99), now=0.0)
    assert conversation.receive(b"\x41\x00\x01\x00", now=0.0) == [(message,)]


# ------------------------------------------------------------------- heartbeats


@given(
    gaps=st.lists(st.floats(1.0, 50.0), max_size=50),
    held_up=st.lists(st.floats(0.0, 100.0), max_size=50),
)
def test_who_keeps_the_gap_is_never_blamed_however_late_its_heartbeats_come(
    gaps, held_up
):
    conversation = greeted()
    sent_at = arrived_at = 0.0
    for gap, late in zip(gaps, held_up, strict=False):
        arrived_at = max(arrived_at, sent_at + late)  # a network keeps the order
        conversation.receive(b"\x20\x00\x00", now=arrived_at)
        sent_at += gap

    assert conversation.error is None


@pytest.mark.parametrize("frame", [encode_ping(1), encode_beat()])
def test_heartbeats_that_wait_behind_a_lost_hello_are_forgiven(frame):
    # Its first segment was repeated after 9 s, and all that it sent meanwhile,
    # one heartbeat a second, comes with it.
    conversation = silent()
    heard = conversation.receive(GREETING + frame * 9, now=9.0)

    assert conversation.error is None
    assert len(heard) == 10


@pytest.mark.parametrize("frame", [encode_ping(1), encode_beat()])
@pytest.mark.parametrize("idle", [0.0, 1.0, 10.0, 600.0, 100_000.0])
def test_a_flood_of_heartbeats_ends_after_what_was_saved_up(frame, idle):
    conversation = greeted()
    saved = min(idle, LIMITS.longest_patience)
    for _ in range(int(saved) + 1 + LIMITS.strikes):
        assert conversation.receive(frame, now=idle)

    assert breach_of(conversation, frame, now=idle) == "too-many-heartbeats"


def test_questions_and_promised_beats_do_not_use_up_each_others_allowance():
    conversation = greeted()
    for second in range(1000):
        conversation.receive(encode_beat(), now=second + 0.5)
        conversation.receive(encode_ping(1), now=second + 0.6)

    assert conversation.error is None


def test_strikes_are_forgiven():
    conversation = greeted()
    for round_ in range(20):
        now = round_ * 3.0
        for _ in range(3):
            conversation.receive(b"\x10", now=now)

    assert breach_of(conversation, b"\x10", now=57.0) == "too-many-heartbeats"


def test_there_are_as_many_answers_as_questions():
    conversation = greeted()
    for sequence in range(5):
        conversation.ping(sequence)
    conversation.receive(b"\x30\x00\x00" * 5, now=0.0)

    assert breach_of(conversation, b"\x10\x30\x00\x00"[1:]) == "unasked-pong"


# -------------------------------------------------------------------- deadlines


def test_a_handshake_has_its_time_and_no_more():
    conversation = silent()
    conversation.receive(GREETING[:-1], now=9.0)

    assert conversation.deadline == 10.0
    conversation.expired(now=9.999)
    with pytest.raises(RemoteProtocolError) as caught:
        conversation.expired(now=10.0)
    assert caught.value.breach == "handshake-too-slow"
    assert breach_of(conversation, GREETING[-1:]) == "handshake-too-slow"
    assert conversation.deadline == math.inf


def test_a_conversation_between_frames_has_no_deadline():
    conversation = greeted()

    assert conversation.deadline == math.inf
    conversation.expired(now=1e9)
    conversation.receive(b"\x10\x41\x00\x00", now=50.0)
    assert conversation.deadline == math.inf


def test_half_a_frame_for_ever_ends():
    conversation = greeted()
    conversation.receive(b"\x41\x00\x02", now=100.0)
    conversation.receive(b"h", now=120.0)

    assert conversation.deadline == 130.0
    with pytest.raises(RemoteProtocolError) as caught:
        conversation.expired(now=130.0)
    assert caught.value.breach == "frame-too-slow"


def test_half_a_frame_behind_whole_ones_has_its_own_deadline():
    conversation = greeted()
    conversation.receive(b"\x10\x20", now=100.0)
    assert conversation.deadline == 130.0
    conversation.receive(b"\x00\x01\x41", now=110.0)
    assert conversation.deadline == 140.0


def test_heartbeats_do_not_prolong_a_message_and_fragments_do():
    conversation = greeted()
    conversation.receive(b"\x40\x00\x01a", now=100.0)
    for now in (105.0, 115.0, 125.0):
        conversation.receive(b"\x10\x20\x00", now=now)
        conversation.receive(b"\x00", now=now + 1)
    assert conversation.deadline == 130.0

    conversation.receive(b"\x40\x00\x01b", now=129.0)
    assert conversation.deadline == 159.0
    conversation.receive(b"\x41\x00\x01c", now=130.0)
    assert conversation.deadline == math.inf


def test_a_pause_of_our_own_does_not_count():
    conversation = greeted()
    conversation.receive(b"\x41\x00\x02h", now=100.0)
    conversation.resumed(now=1000.0)

    conversation.expired(now=1029.0)
    assert told(conversation.receive(b"i", now=1029.5)) == [(Message, b"hi")]


def test_a_goodbye_in_a_message_leaves_no_deadline():
    conversation = greeted()
    conversation.receive(b"\x40\x00\x01a" + encode_bye(0), now=100.0)

    assert conversation.deadline == math.inf
    assert held(conversation) == 0
