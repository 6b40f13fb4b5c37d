"""The HELLO: what it takes, how it travels, and who is no peer at all."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.core.hello import Hello, decode_hello, encode_hello, hello_size
from deadpeer.errors import ConfigError, RemoteProtocolError

MOST_MS = 2**32 - 1


@st.composite
def hellos(draw):
    interval = draw(st.integers(1, MOST_MS))
    return Hello(
        interval=interval / 1000,
        time_to_live=draw(st.integers(1, MOST_MS)) / 1000,
        heartbeat_gap=draw(st.integers(1, interval)) / 1000,
        largest_message=draw(st.integers(0, 2**32 - 1)),
        offers_beats=draw(st.booleans()),
        wants_beats=draw(st.booleans()),
        answers_pings=draw(st.booleans()),
        version=draw(st.integers(1, 255)),
        extensions=tuple(
            draw(
                st.lists(
                    st.tuples(st.integers(0, 255), st.binary(max_size=255)), max_size=4
                )
            )
        ),
    )


@given(hello=hellos())
def test_a_hello_comes_back_as_it_went(hello):
    frame = encode_hello(hello)

    assert hello_size(frame, largest=len(frame)) == len(frame)
    assert decode_hello(frame) == hello


@given(hello=hellos(), more=st.binary(max_size=8), cut=st.integers(0, 7))
def test_the_size_needs_the_head_and_no_more(hello, more, cut):
    frame = encode_hello(hello)

    assert hello_size(frame + more, largest=2**17) == len(frame)
    assert hello_size(frame[:8], largest=2**17) == len(frame)
    assert hello_size(frame[:cut], largest=2**17) == 0


@given(seconds=st.floats(1e-6, 4_294_967.0))
def test_durations_are_rounded_up_to_whole_milliseconds(seconds):
    hello = Hello(interval=max(seconds, 1), time_to_live=seconds)

    assert seconds * (1 - 1e-9) <= hello.time_to_live <= seconds + 0.001
    assert hello.time_to_live * 1000 == pytest.approx(round(hello.time_to_live * 1000))


def test_equal_frames_give_one_object():
    frame = encode_hello(Hello(interval=17))

    assert decode_hello(frame) is decode_hello(bytes(bytearray(frame)))


@pytest.mark.parametrize("name", ["interval", "time_to_live", "heartbeat_gap"])
@pytest.mark.parametrize(
    "value", [0, -1, math.nan, math.inf, 4294967.3, 10**400, "1", True, None]
)
def test_a_duration_that_cannot_travel_is_refused_by_name(name, value):
    with pytest.raises(ConfigError) as caught:
        Hello(**{name: value})
    assert caught.value.field == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("largest_message", -1),
        ("largest_message", 2**32),
        ("largest_message", 1.0),
        ("version", 0),
        ("version", 256),
        ("version", True),
        ("extensions", ((256, b""),)),
        ("extensions", ((1, bytes(256)),)),
        ("extensions", ((1, b"", b""),)),
        ("extensions", (7,)),
        ("extensions", ((1, "text"),)),
        ("extensions", ((1, 5),)),  # not five zeros
        ("extensions", ((1, 10**15),)),
        ("extensions", ((1, [1, 2]),)),
        ("extensions", None),
        ("offers_beats", 2),  # two is the bit of another flag
        ("wants_beats", None),
        ("answers_pings", "yes"),
        ("extensions", ((1, bytes(255)),) * 300),
        ("heartbeat_gap", 20.001),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(name, value):
    with pytest.raises(ConfigError) as caught:
        Hello(**{name: value})
    assert caught.value.field == name
    assert caught.value.hint


def test_a_value_that_can_change_is_copied():
    value = bytearray(b"now")
    hello = Hello(extensions=((1, value),))
    value[:] = b"later"

    assert hello.extensions == ((1, b"now"),)


@pytest.mark.parametrize(
    ("start", "breach"),
    [
        (b"GET / HTTP/1.1\r\n", "spoke-http"),
        (b"PRI * HTTP/2.0\r\n", "spoke-http"),
        (b"HTTP/1.1 400 Bad Request\r\n", "spoke-http"),
        (b"\x16\x03\x01\x00\xa5", "spoke-tls"),
        (b"\x15\x03\x03\x00\x02", "spoke-tls"),
        (b"SSH-2.0-", "wrong-magic"),
        (b"\xde\xadPS", "wrong-magic"),
        (b"\x00\x00\x00\x00", "wrong-magic"),
    ],
)
def test_a_stranger_is_named(start, breach):
    assert hello_size(start[:3], largest=100) == 0
    with pytest.raises(RemoteProtocolError, match="begins with") as caught:
        hello_size(start[:4], largest=100)
    assert caught.value.breach == breach
    assert "right port" in caught.value.hint


def test_a_size_is_refused_before_the_rest_is_there():
    frame = encode_hello(Hello(extensions=((1, bytes(100)),)))
    with pytest.raises(RemoteProtocolError) as caught:
        hello_size(frame[:8], largest=125)
    assert caught.value.breach == "hello-too-big"
    assert hello_size(frame[:8], largest=126) == 126


def test_what_a_later_version_adds_is_skipped_here_and_kept():
    later = Hello(version=7, extensions=((99, b"what is that"),))

    assert decode_hello(encode_hello(later)) == later
    assert replace(later, version=1, extensions=()) == Hello()
