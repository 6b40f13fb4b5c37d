"""What this end may send, when, and whose mistake it is if it may not."""

import itertools

import pytest

from deadpeer.core.arrivals import Goodbye, Message, Pinged
from deadpeer.core.conversation import Conversation
from deadpeer.core.frames import LARGEST_FRAGMENT, Farewell, Kind
from deadpeer.core.hello import Hello
from deadpeer.core.limits import Limits
from deadpeer.core.stages import FRAMES, Stage
from deadpeer.errors import ConfigError, LocalProtocolError

LIMITS = Limits()
SENDERS = {
    Kind.HELLO: lambda c: c.greeting(),
    Kind.PING: lambda c: c.ping(1),
    Kind.PONG: lambda c: c.pong(1),
    Kind.BEAT: lambda c: c.beat(),
    Kind.DATA: lambda c: b"".join(c.fragments(b"x")),
    Kind.BYE: lambda c: c.goodbye(),
}


def pair(**announced):
    one = Conversation(Hello(), LIMITS, now=0.0)
    other = Conversation(Hello(**announced), LIMITS, now=0.0)
    other.receive(one.greeting(), now=0.0)
    one.receive(other.greeting(), now=0.0)
    return one, other


def alone():
    return Conversation(Hello(), LIMITS, now=0.0)


def only_greeted():
    conversation = alone()
    conversation.greeting()
    return conversation


def in_conversation():
    return pair()[0]


def having_left():
    conversation = pair()[0]
    conversation.goodbye()
    return conversation


def left_by_the_peer():
    one, other = pair()
    one.receive(other.goodbye(), now=0.0)
    return one


def with_a_broken_peer():
    one, _ = pair()
    one.receive(b"\x10\xff", now=0.0)
    return one


MAY = {
    alone: {Kind.HELLO},
    only_greeted: {Kind.BYE},
    in_conversation: set(Kind) - {Kind.HELLO},
    having_left: set(),
    left_by_the_peer: {Kind.PONG, Kind.BYE},
    with_a_broken_peer: {Kind.PONG, Kind.BYE},
}


@pytest.mark.parametrize("situation", MAY, ids=lambda s: s.__name__)
@pytest.mark.parametrize("kind", Kind, ids=lambda k: k.name)
def test_what_may_be_sent_is_sent_and_else_it_is_our_mistake(situation, kind):
    conversation = situation()
    sending = conversation.sending
    if kind in MAY[situation]:
        frame = SENDERS[kind](conversation)
        assert frame[0] & 0xFE == kind
        assert conversation.sending is FRAMES[sending][kind]
        return
    with pytest.raises(LocalProtocolError) as caught:
        SENDERS[kind](conversation)
    assert caught.value.breach in {
        "before-hello",
        "after-goodbye",
        "second-hello",
        "unknown-frame",
    }
    assert conversation.sending is sending


def test_two_ends_understand_each_other():
    one, other = pair()
    said = [
        one.ping(65535),
        *one.fragments(b"hello"),
        one.beat(),
        one.goodbye(130, "x"),
    ]
    heard = other.receive(b"".join(said), now=1.0)

    assert [type(arrival).__name__ for arrival in heard] == [
        "Pinged",
        "Message",
        "Beat",
        "Goodbye",
    ]
    assert one.receive(other.pong(65535), now=1.0) == [(65535,)]
    assert (one.sending, other.receiving) == (Stage.GONE, Stage.GONE)


def test_heartbeats_pass_between_the_fragments_of_a_long_message():
    one, other = pair()
    message = bytes(range(256)) * 200
    heard = []
    for frame, sequence in zip(one.fragments(message), itertools.count()):
        heard += other.receive(frame + one.ping(sequence), now=float(sequence))

    assert [type(arrival) for arrival in heard] == [
        *[Pinged] * (len(message) // LARGEST_FRAGMENT),
        Message,
        Pinged,
    ]
    assert (message,) in heard


def test_a_message_that_the_peer_does_not_take_is_not_begun():
    one, _ = pair(largest_message=10)
    with pytest.raises(LocalProtocolError, match="11 bytes") as caught:
        one.fragments(b"x" * 11)
    assert caught.value.breach == "message-too-big"
    assert caught.value.hint
    assert b"".join(one.fragments(b"x" * 10))


def test_what_is_sent_is_a_copy_of_what_can_change():
    one, other = pair()
    message = bytearray(b"x" * 40_000)
    frames = one.fragments(message)
    data = next(frames)
    message[:] = b"y" * 40_000
    heard = other.receive(data + b"".join(frames), now=0.0)

    assert heard == [(b"x" * 40_000,)]


def test_the_size_of_a_message_is_that_of_its_bytes():
    one, other = pair(largest_message=10)
    two_bytes_each = memoryview(bytes(10)).cast("H")
    [arrival] = other.receive(b"".join(one.fragments(two_bytes_each)), now=0.0)
    assert arrival == Message(bytes(10))
    with pytest.raises(LocalProtocolError, match="12 bytes"):
        one.fragments(memoryview(bytes(12)).cast("H"))


@pytest.mark.parametrize("message", ["text", None, 5, [1, 2], b"x".hex])
def test_a_message_that_is_no_bytes_is_refused_with_a_remedy(message):
    one, other = pair()
    with pytest.raises(ConfigError, match="a message is bytes") as caught:
        one.fragments(message)
    assert caught.value.hint
    assert other.receive(one.beat(), now=0.0), "nothing of it was sent"


def test_a_number_that_does_not_fit_counts_as_no_question():
    one, other = pair()
    with pytest.raises(LocalProtocolError):
        one.ping(65536)
    other.receive(one.ping(1), now=0.0)
    assert one._unanswered == 1


def test_a_question_and_a_goodbye_in_one_read_can_both_be_answered():
    one, other = pair()
    heard = one.receive(other.ping(5) + other.goodbye(), now=0.0)

    assert [type(arrival) for arrival in heard] == [Pinged, Goodbye]
    assert one.pong(5)
    assert one.goodbye(Farewell.DONE)


def test_each_stage_has_its_row():
    assert set(FRAMES) == set(Stage)
    assert {kind for row in FRAMES.values() for kind in row} == set(Kind)
